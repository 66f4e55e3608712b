"""PSGD: a preconditioner P = QᵀQ fitted step by step, Q moving in a Lie group of Kronecker products.

P is where E[hᵀPh + vᵀP⁻¹v] is least, for a probe v ~ N(0, 1) and h either the gradient (P whitens it: P E[gg']P = 1) or
the Hessian's product with v (P is |H|⁻¹, Newton's method without a sign). Every step multiplies Q by something near 1,
of a length that the curvature of this criterion fixes, so that Q stays invertible and nothing is inverted or damped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._transform import factor, scalar, transform
from ..linalg.triangular import (
    gram_norm,
    lower_times,
    solve_lower,
    upper_gram,
    upper_times,
    upper_times_upper,
)
from ._numbers import where
from .axes import axes

Pair = tuple[Tensor | None, Tensor | None]  # of the rows and of the columns; None: nothing there


def at_first(step: int) -> bool:
    return step == 1


def always(step: int) -> bool:
    return True


def never(step: int) -> bool:
    return False


def _dense(side: int, stored: bool = False) -> Callable[[int, int, Mapping[str, Any]], bool]:
    """Whether this side (0: rows, 1: columns) has a matrix: it is not too long, and not too long for the other one."""

    def keeps(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
        k = (m, n)[side]
        fits = k <= hyper["preconditioner_max_size"] and k * k <= hyper["preconditioner_max_skew"] * m * n
        return axes(m, n)[side] and k > 1 and fits and (not stored or bool(hyper["cached"]))

    return keeps


def _diagonal(side: int) -> Callable[[int, int, Mapping[str, Any]], bool]:
    """Whether this side has but a diagonal."""
    dense = _dense(side)
    return lambda m, n, hyper: axes(m, n)[side] and not dense(m, n, hyper)


def _counts(side: int) -> Callable[[int, int, Mapping[str, Any]], bool]:
    return lambda m, n, hyper: axes(m, n)[side]


SLOTS = {
    "Q_L": factor("m m", eye=1.0, when=_dense(0)),
    "Q_R": factor("n n", eye=1.0, when=_dense(1)),
    "q_L": factor("m", fill=1.0, when=_diagonal(0)),
    "q_R": factor("n", fill=1.0, when=_diagonal(1)),
    "P_L": factor("m m", eye=1.0, when=_dense(0, stored=True)),
    "P_R": factor("n n", eye=1.0, when=_dense(1, stored=True)),
    "L_L": scalar(when=_counts(0)),
    "L_R": scalar(when=_counts(1)),
}


def _columns(left: Tensor | None, diagonal: Tensor | None, right: Tensor | None, row: Tensor | None) -> Pair:
    """Both factors: a matrix [k, k] or a diagonal [k, 1] each."""
    return (
        left if left is not None else diagonal,
        right if right is not None else None if row is None else row.mT,
    )


def _is_dense(q: Tensor) -> bool:
    return q.shape[-1] == q.shape[-2] and q.shape[-1] > 1


def _slots(q: Pair, p: Pair, ell: Pair) -> tuple[Tensor | None, ...]:
    """The slots in their order, from both factors."""
    (left, right), dense = q, [x is not None and _is_dense(x) for x in q]
    return (
        left if dense[0] else None,
        right if dense[1] else None,
        None if dense[0] else left,
        None if dense[1] or right is None else right.mT,
        *p,
        *ell,
    )


def _both(fn: Callable[[Tensor, Tensor], Tensor], q: Pair, x: Tensor) -> Tensor:
    """``fn`` of the columns' factor from the right, then of the rows' from the left."""
    x = x if q[1] is None else fn(q[1], x.mT).mT
    return x if q[0] is None else fn(q[0], x)


def _apply(q: Tensor, x: Tensor) -> Tensor:
    return upper_times(q, x) if _is_dense(q) else q * x


def _solve(q: Tensor, x: Tensor) -> Tensor:
    return solve_lower(q, x) if _is_dense(q) else x / q


def _longest(ell: Tensor, new: Tensor, beta: Any) -> Tensor:
    """The curvature by which a step is divided: an average that never lags behind what is seen now."""
    new = new.clamp(min=torch.finfo(new.dtype).tiny).reshape(ell.shape).to(ell.dtype)
    return torch.maximum(beta * ell + (1 - beta) * new, new)


def _rate(lr: Any, ell: Tensor, like: Tensor) -> Tensor:
    return (lr / ell).to(like.dtype)


def fit_triangular(q: Pair, ell: Pair, h: Tensor, v: Tensor, lr: Any, beta: Any) -> tuple[Pair, Pair]:
    """One step of both factors in the group of (triangular ⊗ triangular) matrices, from a pair (h, v).

        A = Q_L h Q_Rᵀ;   B = Q_L⁻ᵀ v Q_R⁻¹
        Q_L ← Q_L - μ/ℓ triu(AAᵀ - BBᵀ) Q_L,   ℓ ≥ ‖AAᵀ + BBᵀ‖;   Q_R likewise with AᵀA, BᵀB

    AAᵀ - BBᵀ is the symmetric part of (A - B)(A + B)ᵀ: one product for two.
    """
    a, b = _both(_apply, q, h), _both(_solve, q, v)
    new, seen = [], []
    for side, (factor_, ell_) in enumerate(zip(q, ell, strict=True)):
        if factor_ is None or ell_ is None:
            new.append(None), seen.append(None)
            continue
        x, y = (a, b) if side == 0 else (a.mT, b.mT)
        if _is_dense(factor_):
            ell_ = _longest(ell_, gram_norm(x, y), beta)
            error = (x - y) @ (x + y).mT
            step = upper_times_upper(torch.triu(error + error.mT), factor_) * (_rate(lr, ell_, x) / 2)
        else:
            ell_ = _longest(ell_, (x.square() + y.square()).sum(-1).amax(-1), beta)
            step = ((x - y) * (x + y)).sum(-1, keepdim=True) * factor_ * _rate(lr, ell_, x)
        new.append(factor_ - step), seen.append(ell_)
    return (new[0], new[1]), (seen[0], seen[1])


def _balanced(q: Pair) -> Pair:
    """Both factors with equal largest entries; their Kronecker product stays."""
    left, right = q
    if left is None or right is None:
        return q
    sizes = [x.abs().amax((-2, -1), keepdim=True) for x in (left, right)]
    ratio = (sizes[1] / sizes[0]).sqrt()
    return left * ratio, right / ratio


def _scaled(q: Pair, size: Any) -> Pair:
    """Both factors, their Kronecker product times a number."""
    shared = size ** (1 / max(1, sum(x is not None for x in q)))
    return tuple(None if x is None else x * shared for x in q)  # type: ignore[return-value]


def _start(h: Tensor, v: Tensor | None, damping: Any, scale: Any) -> Any:
    """By what Q begins to be more or less than 1: ``scale``, or where that is 0 what fits the first pair (1 if h = 0):
    (E v²)^¼ (E h⁴)^-⅛."""
    fourth = h.square().square().mean()
    fits = torch.where(fourth > 0, (fourth + damping**4) ** (-1 / 8), 1.0)
    if v is not None:
        fits = fits * torch.where(fourth > 0, v.square().mean() ** (1 / 4), 1.0)
    return where(scale > 0, scale, fits)


def damped(h: Tensor, noise: Tensor, damping: Any) -> Tensor:
    """h with a little noise in it, which bounds P by 1 / damping: h + (δ + ε|h|) noise, ε the rounding of its dtype."""
    return h + (damping + torch.finfo(h.dtype).eps * h.abs()) * noise


def _products(q: Pair) -> Pair:
    return tuple(None if x is None or not _is_dense(x) else upper_gram(x) for x in q)  # type: ignore[return-value]


def _precondition(q: Pair, p: Pair, x: Tensor, gram: Any, twice: Any) -> Tensor:
    """QᵀQ x over both sides; with P = QᵀQ where it is kept, or cheaper made than Q applied twice."""

    def side(q: Tensor | None, p: Tensor | None, x: Tensor) -> Tensor:
        if q is None:
            return x
        if not _is_dense(q):
            return q.square() * x
        if p is None and x.shape[-2] > x.shape[-1]:
            return twice(q, x)
        return (gram(q) if p is None else p) @ x

    return side(q[0], p[0], side(q[1], p[1], x.mT).mT)


def _twice(q: Tensor, x: Tensor) -> Tensor:
    return lower_times(q, upper_times(q, x))


def _kron(
    x: Any, h: Tensor | None, v: Tensor | None, noise: Tensor | None, q: Pair, p: Pair, ell: Pair, lr: Any, beta: Any,
    damping: Any, start: Any, balance: bool,
) -> Any:  # fmt: skip
    """Fit (unless h is None), then precondition ``x``."""
    if start is not None:
        q = _scaled(q, start)
    if h is not None and noise is not None:
        h = damped(h, noise, damping)
        q, ell = fit_triangular(q, ell, h, noise if v is None else v, lr, beta)
    if balance:
        q = _balanced(q)
    kept = [x is not None for x in p]
    if any(kept) and (h is not None or balance or start is not None):
        p = tuple(new if keep else None for new, keep in zip(_products(q), kept, strict=True))  # type: ignore[assignment]
    return _precondition(q, p, x, upper_gram, _twice), *_slots(q, p, ell)


@transform(scope="tensor", holds=("inner",), only={"noise": "refresh"}, invariant=(), **SLOTS)
def whiten_by_kron(
    g: Tensor, noise: Tensor | None, inner: Any, Q_L: Tensor | None, Q_R: Tensor | None, q_L: Tensor | None,
    q_R: Tensor | None, P_L: Tensor | None, P_R: Tensor | None, L_L: Tensor | None, L_R: Tensor | None, *,
    lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9, preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192, preconditioner_max_skew: float = 1.0, cached: bool = False,
    refresh: bool = always, balance: bool = never, first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """u = P inner(g), P = (Q_LᵀQ_L) ⊗ (Q_RᵀQ_R) fitted so that it whitens g: P E[gg'] P = 1, its factors triangular.

        h = g + δv,   v ~ N(0, 1) drawn anew
        A = Q_L h Q_Rᵀ;   B = Q_L⁻ᵀ v Q_R⁻¹
        Q_L ← Q_L - μ/ℓ_L triu(AAᵀ - BBᵀ) Q_L,   ℓ_L ≥ ‖AAᵀ + BBᵀ‖;   Q_R likewise with AᵀA, BᵀB
        u = Q_LᵀQ_L inner(g) Q_RᵀQ_R

    where ``refresh`` holds, from Q = scale · 1. An axis longer than ``preconditioner_max_size``, or whose square is more
    than ``preconditioner_max_skew`` times the matrix's size, has a diagonal factor. Both factors are balanced where
    ``balance`` holds. ``cached`` keeps the products QᵀQ as well: worth it when they are renewed in few steps.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li, 2024,
    https://arxiv.org/abs/2402.04553
    """
    q, p, ell = _columns(Q_L, q_L, Q_R, q_R), (P_L, P_R), (L_L, L_R)
    start = _start(g, None, damping, preconditioner_init_scale) if first else None
    h = g if refresh else None
    return _kron(inner(g), h, None, noise, q, p, ell, lr_preconditioner, betaL, damping, start, balance)


@transform(scope="tensor", holds=("inner",), **SLOTS)
def newton_by_kron(
    g: Tensor, hvp: Tensor | None, vector: Tensor | None, noise: Tensor, inner: Any, Q_L: Tensor | None,
    Q_R: Tensor | None, q_L: Tensor | None, q_R: Tensor | None, P_L: Tensor | None, P_R: Tensor | None,
    L_L: Tensor | None, L_R: Tensor | None, *,
    lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9, preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192, preconditioner_max_skew: float = 1.0, cached: bool = False,
    balance: bool = never, first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """u = P inner(g), P → |H|⁻¹: :func:`whiten_by_kron`'s fit from pairs of a vector v and the Hessian's product Hv in
    place of (v, g), in the steps in which an oracle gives one.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li, 2024,
    https://arxiv.org/abs/2402.04553
    """
    q, p, ell = _columns(Q_L, q_L, Q_R, q_R), (P_L, P_R), (L_L, L_R)
    start = None
    if first and hvp is not None:
        start = _start(hvp, vector, damping, preconditioner_init_scale)
    return _kron(inner(g), hvp, vector, noise, q, p, ell, lr_preconditioner, betaL, damping, start, balance)
