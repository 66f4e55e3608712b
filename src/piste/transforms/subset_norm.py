"""One second moment for many entries: by neuron, or by the rows or columns of which there are more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .._transform import mean, moment, square, total, transform
from ._numbers import debias, inverse, sqrt
from ._shapes import vectors


@transform(
    invariant=("sign",),
    sums={"mean_sq": mean(lambda u: u.square(), over="row")},
    exp_avg=moment,
    exp_avg_sq=square("m"),
)
def scale_by_row_adam(
    g: Tensor, step: Any, mean_sq: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *, beta1: float, beta2: float,
    eps: float,
) -> Any:  # fmt: skip
    """Adam with one second moment a row: v_i ← β₂v_i + (1-β₂) mean_j g²;  u = m̂ / (√v̂ + ε). A vector is one row.

    Reference: "Adam-mini: Use Fewer Learning Rates To Gain More", Yushun Zhang, Congliang Chen, Ziniu Li, Tian Ding,
    Chenwei Wu, Diederik P. Kingma, Yinyu Ye, Zhi-Quan Luo, Ruoyu Sun, 2024, https://arxiv.org/abs/2406.16793
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v = exp_avg_sq.lerp(mean_sq, 1 - beta2)
    return debias(m, beta1, step) / (v.sqrt() * inverse(sqrt(1 - beta2**step)) + eps), m, v


def _by_row(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
    return m >= n > 1


def _by_column(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
    return n > m > 1


SUMS = {
    "row_sum": total(lambda u: u.square(), over="row"),
    "col_sum": total(lambda u: u.square(), over="col"),
}
by_row = square("m", when=_by_row)
by_column = square("n", when=_by_column)
by_entry = square(when=vectors)


@transform(sums=SUMS, row_norm_sq=by_row, col_norm_sq=by_column, exp_avg_sq=by_entry)
def average_subsets(
    g: Tensor, row_sum: Tensor, col_sum: Tensor, row_norm_sq: Tensor | None, col_norm_sq: Tensor | None,
    exp_avg_sq: Tensor | None, *, beta2: float, eps: float,
) -> Any:  # fmt: skip
    """√v + ε for every entry, v ← β₂v + (1-β₂) ‖g over its subset‖²: what a step is to be divided by.

    The subsets of an m × n matrix are its rows where m ≥ n and else its columns, max(m, n) of them, whose norms are
    sums; every entry of a vector is one.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    seen = (row_sum, col_sum, g.square())
    new = [
        v if v is None else v.lerp(x, 1 - beta2)
        for v, x in zip((row_norm_sq, col_norm_sq, exp_avg_sq), seen, strict=True)
    ]
    return _roots(g, new, eps), *new


@transform(sums=SUMS, row_norm_sq=by_row, col_norm_sq=by_column, exp_avg_sq=by_entry)
def add_up_subsets(
    g: Tensor, row_sum: Tensor, col_sum: Tensor, row_norm_sq: Tensor | None, col_norm_sq: Tensor | None,
    exp_avg_sq: Tensor | None, *, eps: float,
) -> Any:  # fmt: skip
    """√s + ε for every entry, s ← s + ‖g over its subset‖²: between AdaGrad and AdaGrad-Norm. Subsets as
    :func:`average_subsets`.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    seen = (row_sum, col_sum, g.square())
    new = [
        s if s is None else s + x for s, x in zip((row_norm_sq, col_norm_sq, exp_avg_sq), seen, strict=True)
    ]
    return _roots(g, new, eps), *new


def _roots(g: Tensor, squares: list[Tensor | None], eps: float) -> Tensor:
    kept = next(v for v in squares if v is not None)
    return (kept.sqrt() + eps).expand_as(g)


@transform(holds=("over", "under"))
def divide(u: Tensor, over: Any, under: Any) -> Tensor:
    """u ← over(u) / under(u): a momentum of any kind over a size of any kind, each with a state of its own.

    Adam is ``divide(ema(beta1), ...)`` with the root of an average of squares, without its bias correction.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    return over(u) / under(u)
