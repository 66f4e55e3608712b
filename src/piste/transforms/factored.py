"""Second moments of a matrix as averages over its rows and its columns, and the steps that go with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import mean, moment, probe, square, transform
from ._numbers import minimum, sqrt
from ._shapes import matrices, vectors


def _rank_one(x: Tensor, row: Tensor, col: Tensor, beta: Any) -> tuple[Tensor, Tensor, Tensor]:
    """One over the root of what stands for the average of each entry of x, and the two averages with x in them."""
    row = row.lerp(x.mean(-1, keepdim=True), 1 - beta)
    col = col.lerp(x.mean(-2, keepdim=True), 1 - beta)
    # root by root: where a row and a column of zeros cross their product would vanish in float32
    return (row / row.mean(-2, keepdim=True)).rsqrt() * col.rsqrt(), row, col


@transform(
    invariant=("sign",),
    scope="tensor",
    row_var=square("m", when=matrices),
    col_var=square("n", when=matrices),
    variance=square(when=vectors),
)
def scale_by_factored_rms(
    g: Tensor, row_var: Tensor | None, col_var: Tensor | None, variance: Tensor | None, *, beta2: float,
    eps: float = 1e-30,
) -> Any:  # fmt: skip
    """r ← β₂r + (1-β₂) mean_j (g² + ε);  c ← β₂c + (1-β₂) mean_i (g² + ε);  u = g / √(rcᵀ / mean r).

    An m × n matrix keeps m + n numbers, and a vector all of its own (v ← β₂v + (1-β₂)(g² + ε), u = g / √v). Of all
    matrices of rank one rcᵀ / mean r is the nearest to the average of squares in the I-divergence, and it is that
    average where its rank is one.

    Reference: "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", Noam Shazeer, Mitchell Stern, 2018,
    https://arxiv.org/abs/1804.04235
    """
    x = g.square() + eps
    if row_var is None or col_var is None:
        assert variance is not None
        v = variance.lerp(x, 1 - beta2)
        return g / v.sqrt(), None, None, v
    scale, r, c = _rank_one(x, row_var, col_var, beta2)
    return g * scale, r, c, None


@transform(
    invariant=("sign",),
    scope="tensor",
    exp_avg=moment,
    exp_avg_res_row=square("m", when=matrices),
    exp_avg_res_col=square("n", when=matrices),
)
def scale_by_confidence(
    u: Tensor, exp_avg: Tensor, exp_avg_res_row: Tensor | None, exp_avg_res_col: Tensor | None, *, beta1: float,
    beta3: float, eps: float = 1e-16,
) -> Any:  # fmt: skip
    """m ← β₁m + (1-β₁)u;  u = m / √s, s a factored average at rate β₃ of (u - m)² + ε; u = m for a vector.

    Where the steps asked for agree with their average, it is trusted and goes far.

    Reference: "CAME: Confidence-guided Adaptive Memory Efficient Optimization", Yang Luo, Xiaozhe Ren, Zangwei Zheng,
    Zhuo Jiang, Xin Jiang, Yang You, 2023, https://arxiv.org/abs/2307.02047
    """
    m = exp_avg.lerp(u, 1 - beta1)
    if exp_avg_res_row is None or exp_avg_res_col is None:
        return m, m, None, None
    scale, r, c = _rank_one((u - m).square() + eps, exp_avg_res_row, exp_avg_res_col, beta3)
    return m * scale, m, r, c


@transform(
    invariant=("sign", "transpose"), sums={"mean_sq": mean(lambda u: u.square())}, clips=True, clipped=probe
)
def clip_by_rms(u: Tensor, mean_sq: Tensor, clipped: Tensor | None, *, max_rms: float = 1.0) -> Any:
    """u / max(1, RMS(u)/d), the root mean square taken over the parameter.

    Behind a rule that divides by a running average of squares, where it bounds the steps of gradients that have
    outgrown that average; d = 1 is the authors'.

    Reference: "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", Noam Shazeer, Mitchell Stern, 2018,
    https://arxiv.org/abs/1804.04235
    """
    above = (mean_sq.sqrt() / max_rms).clamp(min=1.0)
    share = None if clipped is None else (above > 1).to(torch.float64).mean()
    return u / above, share


@transform(invariant=("sign",), sums={"mean_sq": mean(lambda param: param.square())})
def scale_by_param_rms(u: Tensor, mean_sq: Tensor, *, eps: float = 1e-3) -> Tensor:
    """u max(ε, RMS(p)): steps relative to the size of the parameter, and of at least ε times their own.

    Reference: "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", Noam Shazeer, Mitchell Stern, 2018,
    https://arxiv.org/abs/1804.04235
    """
    return u * mean_sq.sqrt().clamp(min=eps)


@transform(room="length")
def descend_ever_slower(
    u: Tensor, param: Tensor, step: Any, *, lr: float, weight_decay: float = 0.0
) -> Tensor:
    """δ = -min(η, 1/√t) u - ηλp.

    Reference: "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", Noam Shazeer, Mitchell Stern, 2018,
    https://arxiv.org/abs/1804.04235
    """
    return -minimum(lr, 1 / sqrt(step)) * u - lr * weight_decay * param
