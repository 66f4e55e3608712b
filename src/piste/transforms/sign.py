"""Steps of one size."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, transform


@transform(normalizes=True, invariant=("sign", "scale"), exp_avg=moment)
def scale_by_lion(g: Tensor, exp_avg: Tensor, *, beta1: float, beta2: float) -> Any:
    """u = sign(β₁m + (1-β₁)g), then m ← β₂m + (1-β₂)g.

    Reference: "Symbolic Discovery of Optimization Algorithms", Xiangning Chen et al., 2023,
    https://arxiv.org/abs/2302.06675
    """
    return exp_avg.lerp(g, 1 - beta1).sign(), exp_avg.lerp(g, 1 - beta2)
