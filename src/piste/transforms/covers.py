"""Sums of squares under covers: one number for every row and one for every column bound those of all entries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import square, transform
from ._shapes import matrices, vectors

rows = square("m", when=matrices)
columns = square("n", when=matrices)
entries = square(when=vectors)


@transform(invariant=("sign",), scope="tensor", row_cover=rows, col_cover=columns, sum=entries)
def scale_by_sm3(
    g: Tensor, row_cover: Tensor | None, col_cover: Tensor | None, sum: Tensor | None, *, eps: float = 1e-30
) -> Any:
    """ν = min(r_i, c_j) + g²;  r_i ← max_j ν;  c_j ← max_i ν;  u = g / √(ν + ε): SM3-II.

    ν is at least AdaGrad's sum of squares, at most SM3-I's bound on it, and never falls. A vector keeps all its own
    sums, which is AdaGrad.

    Reference: "Memory-Efficient Adaptive Optimization", Rohan Anil, Vineet Gupta, Tomer Koren, Yoram Singer, 2019,
    https://arxiv.org/abs/1901.11150
    """
    if row_cover is None or col_cover is None:
        return _adagrad(g, sum, eps)
    nu = torch.minimum(row_cover, col_cover) + g.square()
    return g / (nu + eps).sqrt(), nu.amax(-1, keepdim=True), nu.amax(-2, keepdim=True), None


@transform(invariant=("sign",), scope="tensor", row_cover=rows, col_cover=columns, sum=entries)
def scale_by_sm3_one(
    g: Tensor, row_cover: Tensor | None, col_cover: Tensor | None, sum: Tensor | None, *, eps: float = 1e-30
) -> Any:
    """r_i ← r_i + max_j g²;  c_j ← c_j + max_i g²;  ν = min(r_i, c_j);  u = g / √(ν + ε): SM3-I, the looser bound.

    Reference: "Memory-Efficient Adaptive Optimization", Rohan Anil, Vineet Gupta, Tomer Koren, Yoram Singer, 2019,
    https://arxiv.org/abs/1901.11150
    """
    if row_cover is None or col_cover is None:
        return _adagrad(g, sum, eps)
    x = g.square()
    r, c = row_cover + x.amax(-1, keepdim=True), col_cover + x.amax(-2, keepdim=True)
    return g / (torch.minimum(r, c) + eps).sqrt(), r, c, None


def _adagrad(g: Tensor, sum: Tensor | None, eps: float) -> tuple[Tensor, None, None, Tensor]:
    assert sum is not None
    s = sum + g.square()
    return g / (s + eps).sqrt(), None, None, s
