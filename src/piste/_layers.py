"""Layers that are one matrix between rows: which parameters they own, and the rows of one backward pass.

Linear layers and convolutions (as matrices on unfolded windows) whose ``forward`` is torch's own. Not: grouped and
transposed convolutions, attention's inner projection (its weight is used without a call of the layer), parametrized
weights, and parameters that stand in two places.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_FORWARDS = tuple(kind.forward for kind in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
_UNCALLED = nn.modules.linear.NonDynamicallyQuantizableLinear


@dataclass(frozen=True, eq=False)
class Place:
    """Where a parameter stands: the layer that owns it, as its ``attr``, "weight" or "bias"."""

    module: nn.Module
    attr: str


def owned(root: nn.Module) -> dict[int, Place]:
    """The parameters of the layers that can be watched, by id."""
    found: dict[int, Place] = {}
    count: Counter[int] = Counter()
    for module in root.modules():
        for attr, p in module._parameters.items():
            if p is None:
                continue
            count[id(p)] += 1
            if _watchable(module) and attr in ("weight", "bias"):
                found[id(p)] = Place(module, attr)
    return {key: place for key, place in found.items() if count[key] == 1}


def _watchable(module: nn.Module) -> bool:
    plain = type(module).forward in _FORWARDS and not isinstance(module, _UNCALLED)
    # a weight that is computed from others (weight norm) is no parameter of the layer
    return plain and module._parameters.get("weight") is not None and getattr(module, "groups", 1) == 1


def rows(module: nn.Module, x: Tensor, g: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Inputs [N, R, n] (the last column ones, where the layer has a bias) and gradients at the outputs [N, R, m]."""
    if isinstance(module, nn.Linear):
        a, g = x.reshape(-1, 1, x.shape[-1]), g.reshape(-1, 1, g.shape[-1])
    else:
        axes = len(module.kernel_size)  # type: ignore[arg-type]
        x, g = (t if t.dim() == axes + 2 else t.unsqueeze(0) for t in (x, g))
        a, g = windows(module, x), g.flatten(2).mT
    a, g = a.to(dtype), g.to(dtype)
    if module._parameters.get("bias") is not None:
        a = torch.cat([a, a.new_ones((*a.shape[:-1], 1))], dim=-1)
    return a, g


def windows(conv: nn.Module, x: Tensor) -> Tensor:
    """What a convolution multiplies by its weight [out, in · window]: [N, places, in · window]."""
    c: nn.modules.conv._ConvNd = conv  # type: ignore[assignment]
    mode = "constant" if c.padding_mode == "zeros" else c.padding_mode
    if any(c._reversed_padding_repeated_twice):
        x = nn.functional.pad(x, c._reversed_padding_repeated_twice, mode=mode)
    for axis, (size, stride, gap) in enumerate(
        zip(c.kernel_size, c.stride, c.dilation, strict=True), start=2
    ):
        x = x.unfold(axis, gap * (size - 1) + 1, stride)[..., ::gap]
    axes = len(c.kernel_size)
    order = (0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes))
    return x.permute(order).flatten(1 + axes).flatten(1, axes)
