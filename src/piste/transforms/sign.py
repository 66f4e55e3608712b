"""Steps of one size."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, square, transform
from ._numbers import debias


@transform(normalizes=True, invariant=("sign", "scale"), exp_avg=moment)
def scale_by_lion(g: Tensor, exp_avg: Tensor, *, beta1: float, beta2: float) -> Any:
    """u = sign(β₁m + (1-β₁)g), then m ← β₂m + (1-β₂)g.

    Reference: "Symbolic Discovery of Optimization Algorithms", Xiangning Chen et al., 2023,
    https://arxiv.org/abs/2302.06675
    """
    return exp_avg.lerp(g, 1 - beta1).sign(), exp_avg.lerp(g, 1 - beta2)


@transform(invariant=("sign",), exp_avg_sq=square)
def scale_by_ano(g: Tensor, step: Any, exp_avg_sq: Tensor, *, beta2: float, eps: float) -> Any:
    """v ← β₂v + (1-β₂) sign(g² - v) g²;  u = g / √(v/(1-β₂ᵗ) + ε): how far Ano goes.

    A gradient smaller than √v takes away from v (which stays positive for β₂ ≥ ½), so that v forgets large ones sooner.

    Reference: "ANO : Faster is Better in Noisy Landscape", Adrien Kegreisz, 2025, https://arxiv.org/abs/2508.18258
    """
    squared = g.square()
    v = exp_avg_sq.lerp((squared - exp_avg_sq).sign() * squared, 1 - beta2)
    return g / (debias(v, beta2, step) + eps).sqrt(), v
