"""Low-rank adapters, one behind another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._noise import normal, stream
from .._registry import register


class LowRankLinear(nn.Module):
    """A frozen linear layer and a pair of thin matrices beside it: y = Wx + b + (α/r) BAx. B begins at zero."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(base.weight.new_zeros(rank, base.in_features))
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scale * F.linear(F.linear(x, self.A), self.B)

    @torch.no_grad()
    def tie(self, key: int) -> None:
        """Add the product to the weight, and begin a new pair: A ~ N(0, 1/n), B = 0."""
        delta = self.scale * (
            self.B.float() @ self.A.float() if self.B.dtype.itemsize < 4 else self.B @ self.A
        )
        self.base.weight.copy_(self.base.weight.to(delta.dtype) + delta)
        self.A.copy_(normal(self.A, key) / self.base.in_features**0.5)
        self.B.zero_()


class ChainOfLoRA:
    """LoRA, merged into the weights and begun anew again and again: a sum of low-rank changes, which is not one.

        W ← W₀;  for each link:  min over A, B of loss(W + (α/r) BA);   W ← W + (α/r) BA      (:meth:`tie`)

    For fine-tuning in LoRA's memory where one pair of that rank is not enough: each link learns what the ones before it
    left (the authors see in it Frank and Wolfe's steps). After k links the change has a rank of up to kr.

        chain = ChainOfLoRA(model, rank=8)
        optimizer = piste.AdamW(chain.parameters(), lr=1e-3)
        for link in range(3):
            train(model, optimizer)
            chain.tie(optimizer)            # merge, a new pair, the optimizer's state begins anew
        model = chain.merge()               # the plain model

    Linear layers that ``choose(name, layer)`` takes (all of them as a rule) become :class:`LowRankLinear`; everything
    else is frozen. The optimizer begins anew with each link, as the paper has it; schedules are yours. ``alpha`` is
    LoRA's α (r as a rule: a scale of 1). A begins with numbers that depend on the seed, the layer's name and the link
    alone. Written from the paper's algorithm as secondary texts give it; no code of the authors was found, so that the
    law of A (theirs is called Gaussian) has the variance chosen here, and their study of ranks that fall is left out.

    Reference: "Chain of LoRA: Efficient Fine-tuning of Language Models via Residual Learning", Wenhan Xia, Chengwei
    Qin, Elad Hazan, 2024, https://arxiv.org/abs/2401.04151
    """

    def __init__(
        self, model: nn.Module, rank: int = 8, alpha: float | None = None, seed: int = 0,
        choose: Callable[[str, nn.Linear], bool] = lambda name, layer: True,
    ) -> None:  # fmt: skip
        found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and choose(n, m)}
        if not found:
            raise ValueError(
                f"ChainOfLoRA: {type(model).__name__} has no linear layer, or choose takes none of them"
            )
        for name, layer in found.items():
            if not 1 <= rank <= min(layer.weight.shape):
                raise ValueError(
                    f"ChainOfLoRA: rank {rank} of {name!r}, with a weight of {tuple(layer.weight.shape)}: "
                    f"take 1 to {min(layer.weight.shape)}, or leave it out with choose="
                )
        model.requires_grad_(False)
        self.model, self.seed, self.links = model, seed, 0
        self.layers = dict[str, LowRankLinear]()
        for name, layer in found.items():
            made = LowRankLinear(layer, rank, rank if alpha is None else alpha)
            made.tie(stream(seed, name, 0))
            made.train(layer.training)
            self.layers[name] = made
            if name:
                model.set_submodule(name, made)
            else:
                self.model = made

    def parameters(self) -> list[nn.Parameter]:
        """The pairs."""
        return [p for layer in self.layers.values() for p in (layer.A, layer.B)]

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return [(f"{n}.{own}", getattr(layer, own)) for n, layer in self.layers.items() for own in ("A", "B")]

    def tie(self, optimizer: Any = None) -> None:
        """Merge the pairs into their weights and begin new ones; what the optimizer keeps of the old is dropped."""
        self.links += 1
        for name, layer in self.layers.items():
            layer.tie(stream(self.seed, name, self.links))
        for p in self.parameters():
            p.grad = None
            if optimizer is not None and p in optimizer.state:
                optimizer.state[p] = {}

    def merge(self) -> nn.Module:
        """The model with its plain layers, the last pairs merged; everything trainable again."""
        self.tie()
        for name, layer in self.layers.items():
            if name:
                self.model.set_submodule(name, layer.base)
            else:
                self.model = layer.base
        self.layers.clear()
        return self.model.requires_grad_(True)


register("memory", "ChainOfLoRA", ChainOfLoRA)
