"""Kronecker products that move in a Lie group: the state, the fit and the use of PSGD's preconditioners of matrices.

A preconditioner P = QᵀQ, Q = Q_L ⊗ Q_R, is fitted where E[hᵀPh + vᵀP⁻¹v] is least, for a probe v ~ N(0, 1) and h the
gradient (P whitens it: P E[gg'] P = 1) or the Hessian's product with v (P = |H|⁻¹). Every step multiplies Q by
something near 1, of a length that the curvature of this criterion fixes, so that Q stays invertible.

A factor is a matrix [k, k] or a diagonal [k, 1]; a side of length 1 has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._transform import factor, scalar
from ..linalg.products import symmetric
from ..linalg.triangular import (
    gram_norm,
    lower_times,
    solve_lower,
    upper_gram,
    upper_times,
    upper_times_upper,
)
from ._numbers import where
from .axes import Keeps, axes

Pair = tuple[Tensor | None, Tensor | None]  # of the rows and of the columns


class Kron(NamedTuple):
    """What is kept of one matrix: factors Q, products QᵀQ where those are stored, and the curvatures of the fit."""

    q: Pair
    p: Pair
    ell: Pair


class Group(NamedTuple):
    """How Q moves, and what follows from its shape: QᵀQ, and QᵀQ x."""

    fit: Callable[[Kron, Tensor, Tensor | None, Tensor, Any, Any], tuple[Pair, Pair]]
    gram: Callable[[Tensor], Tensor]
    twice: Callable[[Tensor, Tensor], Tensor]


# state ---------------------------------------------------------------------------------------------------------------


def _dense(side: int, stored: bool = False) -> Keeps:
    """Whether this side (0: rows, 1: columns) has a matrix: it is not too long, and not too long for the other one."""

    def keeps(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
        k = (m, n)[side]
        fits = k <= hyper["preconditioner_max_size"] and k * k <= hyper["preconditioner_max_skew"] * m * n
        return axes(m, n)[side] and k > 1 and fits and (not stored or bool(hyper["cached"]))

    return keeps


def _diagonal(side: int) -> Keeps:
    """Whether this side has but a diagonal."""
    dense = _dense(side)
    return lambda m, n, hyper: axes(m, n)[side] and not dense(m, n, hyper)


def _counts(side: int) -> Keeps:
    return lambda m, n, hyper: axes(m, n)[side]


SLOTS: dict[str, Any] = {
    "Q_L": factor("m m", eye=1.0, when=_dense(0)),
    "Q_R": factor("n n", eye=1.0, when=_dense(1)),
    "q_L": factor("m", fill=1.0, when=_diagonal(0)),
    "q_R": factor("n", fill=1.0, when=_diagonal(1)),
    "P_L": factor("m m", eye=1.0, when=_dense(0, stored=True)),
    "P_R": factor("n n", eye=1.0, when=_dense(1, stored=True)),
    "L_L": scalar(when=_counts(0)),
    "L_R": scalar(when=_counts(1)),
}


def load(
    Q_L: Tensor | None, Q_R: Tensor | None, q_L: Tensor | None, q_R: Tensor | None, P_L: Tensor | None,
    P_R: Tensor | None, L_L: Tensor | None, L_R: Tensor | None,
) -> Kron:  # fmt: skip
    """From the slots."""
    left = Q_L if Q_L is not None else q_L
    right = Q_R if Q_R is not None else None if q_R is None else q_R.mT
    return Kron((left, right), (P_L, P_R), (L_L, L_R))


def save(kron: Kron) -> tuple[Tensor | None, ...]:
    """To the slots, in their order."""
    (left, right), dense = kron.q, [x is not None and is_dense(x) for x in kron.q]
    return (
        left if dense[0] else None,
        right if dense[1] else None,
        None if dense[0] else left,
        None if dense[1] or right is None else right.mT,
        *kron.p,
        *kron.ell,
    )


def is_dense(q: Tensor) -> bool:
    return q.shape[-1] == q.shape[-2] and q.shape[-1] > 1


# steps of the fit ----------------------------------------------------------------------------------------------------


def _both(fn: Callable[[Tensor, Tensor], Tensor], q: Pair, x: Tensor) -> Tensor:
    """``fn`` of the columns' factor from the right, then of the rows' from the left."""
    x = x if q[1] is None else fn(q[1], x.mT).mT
    return x if q[0] is None else fn(q[0], x)


def _apply(q: Tensor, x: Tensor) -> Tensor:
    return upper_times(q, x) if is_dense(q) else q * x


def _solve(q: Tensor, x: Tensor) -> Tensor:
    return solve_lower(q, x) if is_dense(q) else x / q


def longest(ell: Tensor, new: Tensor, beta: Any) -> Tensor:
    """The curvature by which a step is divided: an average that never lags behind what is seen now."""
    new = new.clamp(min=torch.finfo(new.dtype).tiny).reshape(ell.shape).to(ell.dtype)
    return torch.maximum(beta * ell + (1 - beta) * new, new)


def _each(
    kron: Kron, a: Tensor, b: Tensor | None, step: Callable[..., tuple[Tensor, Tensor]]
) -> tuple[Pair, Pair]:
    """``step(q, ell, x, y)`` on both sides: x, y are a, b with the side's axis in front."""
    new: list[tuple[Tensor | None, Tensor | None]] = []
    for side, (q, ell) in enumerate(zip(kron.q, kron.ell, strict=True)):
        if q is None or ell is None:
            new.append((None, None))
        else:
            new.append(step(q, ell, *(z if side == 0 or z is None else z.mT for z in (a, b))))
    (left, ell_left), (right, ell_right) = new
    return (left, right), (ell_left, ell_right)


def fit_triangular(
    kron: Kron, h: Tensor, v: Tensor | None, noise: Tensor, lr: Any, beta: Any
) -> tuple[Pair, Pair]:
    """One step of both factors in the group of triangular matrices, from a pair (h, v); v = noise for the gradient.

        A = Q_L h Q_Rᵀ;   B = Q_L⁻ᵀ v Q_R⁻¹
        Q_L ← Q_L - μ/ℓ triu(AAᵀ - BBᵀ) Q_L,   ℓ ≥ ‖AAᵀ + BBᵀ‖;   Q_R likewise with AᵀA, BᵀB

    AAᵀ - BBᵀ is the symmetric part of (A - B)(A + B)ᵀ: one product for two.
    """
    a, b = _both(_apply, kron.q, h), _both(_solve, kron.q, noise if v is None else v)

    def step(q: Tensor, ell: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if not is_dense(q):
            ell = longest(ell, (x.square() + y.square()).sum(-1).amax(-1), beta)
            return q - ((x - y) * (x + y)).sum(-1, keepdim=True) * q * (lr / ell).to(q.dtype), ell
        ell = longest(ell, gram_norm(x, y), beta)
        error = (x - y) @ (x + y).mT
        half = (lr / ell / 2).to(q.dtype)
        return q - upper_times_upper(torch.triu(error + error.mT), q) * half, ell

    return _each(kron, a, b, step)


def fit_symmetric(
    kron: Kron, h: Tensor, v: Tensor | None, noise: Tensor, lr: Any, beta: Any
) -> tuple[Pair, Pair]:
    """One step dQ = Q^½ E Q^1½ of factors that are kept near symmetric ones by rotations: no inverse at all.

    A = P h;   Q_L ← Q_L - μ/ℓ (AAᵀ - C) Q_L,   C = vvᵀ, or its mean n·1 where v is None;   Q_L ← rotated
    """
    a = precondition(kron, h, SYMMETRIC)

    def step(q: Tensor, ell: Tensor, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        many = x.shape[-1]
        if not is_dense(q):
            xx = x.square().sum(-1, keepdim=True)
            yy = torch.full_like(xx, many) if y is None else y.square().sum(-1, keepdim=True)
            ell = longest(ell, (xx + yy).amax((-2, -1)), beta)
            return q - (xx - yy) * q * (lr / ell).to(q.dtype), ell
        ell = longest(ell, gram_norm(x) + many if y is None else gram_norm(x, y), beta)
        rate = (lr / ell).to(q.dtype)
        if y is None:
            moved = q * (1 + rate * many) - (symmetric(x, x.mT) @ q) * rate
        else:
            error = (x - y) @ (x + y).mT
            moved = q - (error + error.mT) @ q * (rate / 2)
        return rotated(moved), ell

    return _each(kron, a, v, step)


def rotated(q: Tensor, longest: float = 1 / 8) -> Tensor:
    """q turned towards a symmetric matrix: exp(aR) q to second order, R = (qᵀ - q) / ‖qᵀ - q‖, with the a up to
    ``longest`` that makes its trace largest."""
    r = q.mT - q
    size = r.abs().amax((-2, -1), keepdim=True)
    r = r / torch.where(size > 0, size, 1.0)
    norm = gram_norm(r).sqrt()
    r = r / torch.where(norm > 0, norm, 1.0)
    rq = r @ q
    rrq = r @ rq
    slope, bend = (x.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] for x in (rq, rrq))
    best = (-slope / torch.where(bend < 0, bend, -1.0)).clamp(max=longest)
    a = torch.where(bend < 0, best, longest)
    return q + a * (rq + 0.5 * a * rrq)


# use -----------------------------------------------------------------------------------------------------------------


def precondition(kron: Kron, x: Tensor, group: Group) -> Tensor:
    """QᵀQ x over both sides; with P = QᵀQ where it is kept, or cheaper made than Q applied twice."""

    def side(q: Tensor | None, p: Tensor | None, x: Tensor) -> Tensor:
        if q is None:
            return x
        if not is_dense(q):
            return q.square() * x
        if p is None and x.shape[-2] > x.shape[-1]:
            return group.twice(q, x)
        return (group.gram(q) if p is None else p) @ x

    return side(kron.q[0], kron.p[0], side(kron.q[1], kron.p[1], x.mT).mT)


def damped(h: Tensor, noise: Tensor, damping: Any) -> Tensor:
    """h + (δ + ε|h|) noise, ε the rounding of its dtype: it bounds P by 1/δ where h vanishes."""
    return h + (damping + torch.finfo(h.dtype).eps * h.abs()) * noise


def first_size(h: Tensor, v: Tensor | None, damping: Any, scale: Any) -> Any:
    """How large Q begins: ``scale``, or where that is 0 what fits the first pair, (E v²)^¼ (E h⁴)^-⅛ (1 if h = 0)."""
    fourth = h.square().square().mean()
    fits = (fourth + damping**4) ** (-1 / 8)
    if v is not None:
        fits = fits * v.square().mean() ** (1 / 4)
    return where(scale > 0, scale, torch.where(fourth > 0, fits, 1.0))


def _scaled(q: Pair, size: Any) -> Pair:
    """Both factors, their Kronecker product times a number."""
    shared = size ** (1 / max(1, sum(x is not None for x in q)))
    left, right = (None if x is None else x * shared for x in q)
    return left, right


def _balanced(q: Pair) -> Pair:
    """Both factors with equal largest entries; their Kronecker product stays."""
    left, right = q
    if left is None or right is None:
        return q
    sizes = [x.abs().amax((-2, -1), keepdim=True) for x in (left, right)]
    ratio = (sizes[1] / sizes[0]).sqrt()
    return left * ratio, right / ratio


def advance(
    kron: Kron, group: Group, h: Tensor | None, v: Tensor | None, noise: Tensor | None, lr: Any, beta: Any,
    damping: Any, size: Any, balance: bool,
) -> Kron:  # fmt: skip
    """The state after a step: scaled at first (where ``size`` is given), fitted to a pair (where there is one),
    balanced now and then."""
    if size is not None:
        kron = _renewed(kron, _scaled(kron.q, size), group)
    if h is None and not balance:
        return kron
    q, ell = kron.q, kron.ell
    if h is not None and noise is not None:
        q, ell = group.fit(kron, damped(h, noise, damping), v, noise, lr, beta)
    return _renewed(Kron(q, kron.p, ell), _balanced(q) if balance else q, group)


def _renewed(kron: Kron, q: Pair, group: Group) -> Kron:
    """With other factors, and products to match where they are stored."""
    left, right = (None if p is None or x is None else group.gram(x) for p, x in zip(kron.p, q, strict=True))
    return Kron(q, (left, right), kron.ell)


TRIANGULAR = Group(fit_triangular, upper_gram, lambda q, x: lower_times(q, upper_times(q, x)))
SYMMETRIC = Group(fit_symmetric, lambda q: symmetric(q.mT, q), lambda q, x: q.mT @ (q @ x))
