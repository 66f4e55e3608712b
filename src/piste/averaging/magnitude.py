"""Layers that keep the expected size of activations, weights and updates, so that their learning rate means one thing
all along and averages of any length are of one size.

Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696, section 2 and appendix B
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._registry import register


def normalize(x: Tensor, dim: int | Sequence[int] | None = None, eps: float = 1e-4) -> Tensor:
    """x / (ε + RMS over ``dim``); all axes but the first unless it is given. In float32 inside."""
    dims = [*range(1, x.ndim)] if dim is None else dim
    norm = torch.linalg.vector_norm(
        x, dim=dims, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)
    )
    return x / (eps + norm * math.sqrt(norm.numel() / x.numel())).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """SiLU over 0.596: its square is 1 on average for a unit normal input."""
    return F.silu(x) / 0.596


def mp_sum(a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """((1-t)a + tb) / √((1-t)² + t²)."""
    return a.lerp(b, t) / math.sqrt((1 - t) ** 2 + t**2)


def mp_cat(a: Tensor, b: Tensor, dim: int = 1, t: float = 0.5) -> Tensor:
    """Side by side, each with a share of the size that does not depend on how many channels it has."""
    na, nb = a.shape[dim], b.shape[dim]
    c = math.sqrt((na + nb) / ((1 - t) ** 2 + t**2))
    return torch.cat([c / math.sqrt(na) * (1 - t) * a, c / math.sqrt(nb) * t * b], dim)


def _unit(layer: nn.Module, gain: Tensor | float) -> Tensor:
    """The layer's weight [out, in, …] with rows of norm ``gain``; in training the weight itself goes back to rows of
    RMS 1 first."""
    weight = layer.get_parameter("weight")
    if layer.training:
        with torch.no_grad():
            weight.copy_(normalize(weight))
    return normalize(weight) * (gain / math.sqrt(weight[0].numel()))


class MPLinear(nn.Module):
    """A linear layer without bias whose output has its input's size. ``gain``: a learned number, where one is wanted.

        y = x (g ŵ / √fan_in)ᵀ,  ŵ the weight with rows of RMS 1, to which the weight itself is set in training

    Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
    Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        return F.linear(x, _unit(self, gain).to(x.dtype))


class MPConv(nn.Module):
    """As :class:`MPLinear` for images, padded to keep their size.

    Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
    Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        return F.conv2d(x, _unit(self, gain).to(x.dtype), padding=self.weight.shape[-1] // 2)


class MPFourier(nn.Module):
    """√2 cos(2π(fx + φ)) for numbers x [batch]: features [batch, channels] of unit variance, frequencies drawn once.

    Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
    Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696
    """

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels) * bandwidth)
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float().unsqueeze(-1) * self.freqs + self.phases
        return (math.sqrt(2) * y.cos()).to(x.dtype)


register("average", "MPLinear", MPLinear)
register("average", "MPConv", MPConv)
register("average", "MPFourier", MPFourier)
