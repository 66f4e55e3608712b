"""Steps for weights whose length does not matter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import transform
from ._numbers import where

ROWS, WHOLE = (-1,), (-2, -1)


@transform(scope="tensor")
def project_scale_invariant(
    u: Tensor, param: Tensor, grad: Tensor, *,
    weight_decay: float = 0.0, delta: float = 0.1, wd_ratio: float = 0.1, eps: float = 1e-8,
) -> Tensor:  # fmt: skip
    """Takes the radial part of a step away where today's gradient has none, and decays those weights less.

        if max_i |cos(gᵢ, pᵢ)| < δ/√n over the rows of an m × n matrix:  u_i ← u_i - (p̂ᵢᵀuᵢ) p̂ᵢ,  p̂ᵢ = pᵢ/(‖pᵢ‖ + ε)
        else if |cos(g, p)| < δ/√(mn):  the same with the whole matrix for a row
        u ← u + λp,  and rλp where it was projected,  r = ``wd_ratio``

    A gradient at right angles to the weights is what normalisation behind them leaves; momentum brings a radial part
    back, by which the weights grow and the effective rate decays. A single row (a vector, a number) is left as it is.

    Whole matrices are asked for, though it is made of sums: which projection applies is decided by the largest of a
    function of the rows' sums, and sums are of entries only.

    Reference: "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights", Byeongho Heo,
    Sanghyuk Chun, Seong Joon Oh, Dongyoon Han, Sangdoo Yun, Gyuwan Kim, Youngjung Uh, Jung-Woo Ha, 2021,
    https://arxiv.org/abs/2006.08217
    """
    m, n = u.shape[-2:]
    if m == 1:
        return u + weight_decay * param
    free_rows = _cosine(grad, param, ROWS, eps).amax(dim=-2, keepdim=True) < delta / n**0.5
    free = _cosine(grad, param, WHOLE, eps) < delta / (m * n) ** 0.5
    level = torch.where(free, _level(u, param, WHOLE, eps), u)
    level = torch.where(free_rows, _level(u, param, ROWS, eps), level)
    ratio = torch.where(free_rows | free, torch.ones_like(free, dtype=u.dtype) * wd_ratio, 1.0)
    return level + weight_decay * ratio * param


def _cosine(a: Tensor, b: Tensor, over: tuple[int, ...], eps: Any) -> Tensor:
    """|cos|, of rows or of the whole; lengths are bounded below by ε."""
    sizes = [torch.linalg.vector_norm(x, dim=over, keepdim=True) for x in (a, b)]
    least = [where(size > eps, size, torch.ones_like(size) * eps) for size in sizes]
    return (a * b).sum(dim=over, keepdim=True).abs() / (least[0] * least[1])


def _level(u: Tensor, param: Tensor, over: tuple[int, ...], eps: Any) -> Tensor:
    """u without its part along p."""
    along = param / (torch.linalg.vector_norm(param, dim=over, keepdim=True) + eps)
    return u - along * (along * u).sum(dim=over, keepdim=True)
