"""Today's value beside its average: quasi-hyperbolic discounting."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import square, transform
from ._numbers import debias


@transform(invariant=("sign",), holds=("average",))
def beside_average(u: Tensor, average: Any, *, nu: float) -> Tensor:
    """u ← (1-ν) u + ν average(u): the plain update at ν = 0, its average at 1; Nesterov's look ahead at ν = μ.

    Reference: "Quasi-hyperbolic momentum and Adam for deep learning", Jerry Ma, Denis Yarats, 2019,
    https://arxiv.org/abs/1810.06801
    """
    return u.lerp(average(u), nu)


@transform(invariant=("sign",), exp_avg_sq=square)
def divide_by_hyperbolic_rms(
    u: Tensor, grad: Tensor, step: Any, exp_avg_sq: Tensor, *, beta2: float, nu: float, eps: float
) -> Any:
    """v ← β₂v + (1-β₂) grad²;  u ← u / (√((1-ν) grad² + ν v/(1-β₂ᵗ)) + ε): Adam's denominator at ν = 1.

    Reference: "Quasi-hyperbolic momentum and Adam for deep learning", Jerry Ma, Denis Yarats, 2019,
    https://arxiv.org/abs/1810.06801
    """
    fresh = grad.square()
    v = exp_avg_sq.lerp(fresh, 1 - beta2)
    return u / (fresh.lerp(debias(v, beta2, step), nu).sqrt() + eps), v
