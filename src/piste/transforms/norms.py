"""Where a linear model of the loss is least over a ball: linear minimisation oracles, one for every norm.

For a norm ‖·‖ the oracle is lmo(u) = argmin ⟨u, d⟩ over ‖d‖ ≤ 1, and ⟨u, lmo(u)⟩ = -‖u‖_*, the dual norm of u. The
rules here give -lmo(u), which is what ``descend`` takes away; each has one size, whatever came in. The norms that
measure a layer by what it does to its inputs have the factors of their papers: a matrix m × n maps n inputs to m
outputs.

    ball                                            -lmo(u)                     here
    spectral, inputs and outputs by their RMS       √(m/n) UVᵀ, u = USVᵀ        orthogonalize, rms_to_rms
    every entry at most 1                           sign u                      take_sign
    every row of RMS 1 (a table's row is a token)   √n uᵢ / ‖uᵢ‖                normalize_rows
    every column of RMS 1                           √m uⱼ / ‖uⱼ‖                normalize_columns
    RMS 1 over the tensor                           √(mn) u / ‖u‖               normalize_rms (layerwise)
    length 1 over all parameters                    u / ‖u‖                     normalize_tree
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import mean, total, transform


@transform(normalizes=True, invariant=("sign", "scale", "transpose"))
def take_sign(u: Tensor) -> Tensor:
    """u ← sign u: the least of a linear model where no entry moves by more than 1.

    Reference: "Old Optimizer, New Norm: An Anthology", Jeremy Bernstein, Laker Newhouse, 2024,
    https://arxiv.org/abs/2409.20325
    """
    return u.sign()


@transform(
    normalizes=True, invariant=("sign", "scale"), sums={"mean_sq": mean(lambda u: u.square(), over="row")}
)
def normalize_rows(u: Tensor, mean_sq: Tensor) -> Tensor:
    """Every row divided by its root mean square, 0 where the row is: the ball of the norm from ℓ1 to RMS of a table of
    embeddings, whose rows are the tokens (the authors' ColNorm with ``transpose``), and, times 1/n, of RowNorm.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return _over(u, mean_sq)


@transform(
    normalizes=True, invariant=("sign", "scale"), sums={"mean_sq": mean(lambda u: u.square(), over="col")}
)
def normalize_columns(u: Tensor, mean_sq: Tensor) -> Tensor:
    """Every column divided by its root mean square, 0 where the column is: the ball of the norm from ℓ1 to RMS of a
    layer, whose columns are what it makes of one input (the authors' ColNorm).

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return _over(u, mean_sq)


def _over(u: Tensor, mean_sq: Tensor) -> Tensor:
    return torch.where(mean_sq > 0, u / torch.where(mean_sq > 0, mean_sq, 1.0).sqrt(), 0.0)


@transform(
    normalizes=True,
    invariant=("sign", "transpose"),
    sums={"norm_sq": total(lambda u: u.square(), over="tree")},
)
def normalize_tree(u: Tensor, norm_sq: Tensor) -> Tensor:
    """u / ‖u‖ with the length over all parameters, 0 where it is: normalized SGD.

    Reference: "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization",
    Dmitry Kovalev, 2025, https://arxiv.org/abs/2503.12645
    """
    return _over(u, norm_sq)


@transform(sums={"width": total(lambda u: torch.ones_like(u), over="row")})
def divide_by_width(u: Tensor, width: Tensor) -> Tensor:
    """u / n for a matrix m × n: what turns a bound on entries or rows into one on the outputs of n inputs.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return u / width


@transform
def scale_by_radius(u: Tensor, *, radius: float) -> Tensor:
    """u ρ: from the ball of radius 1 to that of radius ρ.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return radius * u


@transform(scope="tensor", holds=("lmo",), invariant=("sign",))
def scale_by_dual_norm(u: Tensor, lmo: Any) -> Tensor:
    """u ← ⟨u, d⟩ d, d = -lmo(u): steepest descent, the least of ⟨u, d⟩ + ½‖d‖², whose length is the dual norm of u.

    ``lmo`` is the rule that gives the direction: ``scale_by_dual_norm(take_sign())`` is ‖u‖₁ sign u, with
    ``orthogonalize`` it is the nuclear norm of u times UVᵀ, with ``normalize_rms`` u itself times its size.

    Reference: "Old Optimizer, New Norm: An Anthology", Jeremy Bernstein, Laker Newhouse, 2024,
    https://arxiv.org/abs/2409.20325
    """
    d = lmo(u)
    return d * (u * d).sum(dim=(-2, -1), keepdim=True)


@transform(room="length")
def step_in_box(u: Tensor, param: Tensor, *, lr: float, l1: float = 0.0, weight_decay: float = 0.0) -> Tensor:
    """The step to the x that minimises ⟨u, x⟩ + λ₁‖x‖₁ where no entry of x - (1-ηλ)p is larger than η:

        c = (1-ηλ)p;    x = c - η sign u where |u| ≥ λ₁, else c - clamp(c, -η, η)

    So an entry whose slope is under λ₁ goes to zero and stays. With λ₁ = 0 it is the sign of u with decoupled decay.

    Reference: "Understanding Gradient Orthogonalization for Deep Learning via Non-Euclidean Trust-Region Optimization",
    Dmitry Kovalev, 2025, https://arxiv.org/abs/2503.12645
    """
    centre = (1 - lr * weight_decay) * param
    to_zero = centre.sign() * torch.minimum(centre.abs(), lr * torch.ones_like(centre))
    return centre - torch.where(u.abs() >= l1, lr * u.sign(), to_zero) - param
