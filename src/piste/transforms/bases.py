"""Rules run in another basis: that of Shampoo's statistics, or of others, which turns slowly.

A basis is a composite that holds a rule. It declares its statistics (slots of kind ``factor``) and its bases (kind
``basis``, None for an axis that keeps the identity), and does four things: it *learns* its statistics from the
gradient, maps it and every other input in and the step out (`inside`), *follows* the statistics where ``refresh`` holds
(`follow`), and lets the rule's slots turn along by their kinds (`turn`). So every rule runs in every basis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._transform import basis, counter, factor, probe, transform
from ..linalg.eigen import eigenbasis, orthogonal_iteration
from ..linalg.products import gram_added
from .axes import axes, short

Side = Tensor | None
SIDES = ("both", "left", "right", "smaller")


def _turning(side: int) -> Callable[[int, int, Mapping[str, Any]], bool]:
    kept = short(side)

    def when(m: int, n: int, hyper: Mapping[str, Any]) -> bool:
        turned = kept(m, n, hyper) and (m > 1 or hyper["precondition_1d"])
        return turned and _chosen(side, m, n, hyper.get("sides", "both"))

    return when


def _chosen(side: int, m: int, n: int, sides: str) -> bool:
    if sides not in SIDES:
        raise ValueError(f"sides must be one of {', '.join(map(repr, SIDES))}, got {sides!r}")
    return sides == "both" or side == {"left": 0, "right": 1, "smaller": int(m > n)}[sides]


def _at_zero(step: int) -> bool:
    return step == 0


def inside(rule: Any, u: Tensor, left: Side, right: Side, **inputs: Any) -> Tensor:
    """left rule(leftᵀ u right) rightᵀ, a missing side being the identity."""

    def into(x: Tensor) -> Tensor:
        return rotate(x, left, right)

    return rotate(rule(into(u), into=into, **inputs), *(None if q is None else q.mT for q in (left, right)))


def rotate(x: Tensor, left: Side, right: Side) -> Tensor:
    """leftᵀ x right, a missing side being the identity."""
    x = x if left is None else left.mT @ x
    return x if right is None else x @ right


def first_basis(h: Side) -> tuple[Side, Side, Any]:
    """The statistics with which a run begins, their eigenbasis, and whether they had none (its basis is then a
    permutation)."""
    if h is None:
        return None, None, 0
    h, good = _sound(h)
    return h, eigenbasis(h), ~good


def follow(h: Side, q: Side, sort: bool = True) -> tuple[Side, Side, Side, Any]:
    """One step of a basis towards the eigenbasis of its statistics: (statistics, basis, order, whether it could not).

    Statistics without a direction (rank zero: no gradient yet) leave the basis as it is; so do those with an infinite
    or undefined entry (a square that overflowed), which begin anew.
    """
    if h is None or q is None:
        return h, q, None, 0
    h, good = _sound(h)
    new, order = orthogonal_iteration(h, q, sort)
    good = good & _finite(new)
    kept = torch.arange(order.shape[-1], device=order.device)
    good_rows, good_entries = good.unsqueeze(-1), good.unsqueeze(-1).unsqueeze(-1)
    return h, torch.where(good_entries, new, q), torch.where(good_rows, order, kept) if sort else None, ~good


def _sound(h: Tensor) -> tuple[Tensor, Tensor]:
    """Statistics that are finite, and whether they were and are not zero."""
    finite = _finite(h)
    h = torch.where(finite.unsqueeze(-1).unsqueeze(-1), h, 0.0)
    return h, finite & (h.diagonal(dim1=-2, dim2=-1).amax(-1) > 0)


def _finite(h: Tensor) -> Tensor:
    """Whether all entries of a matrix are finite: its largest magnitude tells, in one pass."""
    return h.abs().amax((-2, -1)).isfinite()


def turn(rule: Any, left: tuple[Side, Side, Side], right: tuple[Side, Side, Side]) -> None:
    """Carry the rule's slots from the old bases into the new ones (each side: old, new, order of the columns): moments
    are rotated, squares permuted with the columns."""
    (old_l, new_l, rows), (old_r, new_r, columns) = left, right
    rule.turn(
        moment=lambda m: _carry(_carry(m, old_l, new_l).mT, old_r, new_r).mT,
        square=lambda v: _permute(v, rows, columns),
    )


def _carry(x: Tensor, old: Side, new: Side) -> Tensor:
    """newᵀ old x, in the order that costs less."""
    if old is None or new is None or x.shape[-2] != old.shape[-2]:
        return x
    return (new.mT @ old) @ x if x.shape[-2] <= x.shape[-1] else new.mT @ (old @ x)


def _permute(v: Tensor, rows: Side, columns: Side) -> Tensor:
    """Where an axis was averaged away there is nothing to permute."""
    if rows is not None and v.shape[-2] == rows.shape[-1]:
        v = v.gather(-2, rows.unsqueeze(-1).expand_as(v))
    if columns is not None and v.shape[-1] == columns.shape[-1]:
        v = v.gather(-1, columns.unsqueeze(-2).expand_as(v))
    return v


def stale(h: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """How far statistics are from diagonal in a basis (the share of their norm that is off the diagonal: 0 in their
    eigenbasis), and how unequal their diagonal is there: largest over smallest entry."""
    diagonal = (q * (h @ q)).sum(-2)
    whole, tiny = h.square().sum((-2, -1)), torch.finfo(h.dtype).tiny
    share = (1 - diagonal.square().sum(-1) / whole.clamp(min=tiny)).clamp(min=0).sqrt()
    spread = diagonal.amax(-1) / diagonal.amin(-1).clamp(
        min=torch.finfo(h.dtype).eps * diagonal.amax(-1) + tiny
    )
    return torch.where(whole > 0, share, 0.0), spread


def _looked(probes: tuple[Side, Side], sides: tuple[tuple[Side, Side], ...]) -> tuple[Side, Side]:
    """What the probes show: the mean off-diagonal share and the larger spread of the sides there are."""
    if all(p is None for p in probes):
        return None, None
    seen = [stale(h, q) for h, q in sides if h is not None and q is not None]
    if not seen:
        return None, None
    shares, spreads = (torch.stack(x).to(torch.float64) for x in zip(*seen, strict=True))
    return shares.mean(0), spreads.amax(0)


def _count(recovered: Side, *lost: Any) -> Side:
    return (
        None
        if recovered is None
        else sum(torch.as_tensor(x, dtype=torch.float64) for x in lost) + 0 * recovered
    )


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    primes=True,
    L=factor("m m", when=_turning(0)),
    R=factor("n n", when=_turning(1)),
    Q_L=basis("m m", when=_turning(0)),
    Q_R=basis("n n", when=_turning(1)),
    off_diagonal=probe,
    spread=probe,
    recovered=counter,
)
def in_eigenbasis(
    u: Tensor, rule: Any, L: Side, R: Side, Q_L: Side, Q_R: Side, off_diagonal: Side, spread: Side, recovered: Side, *,
    beta: float, max_precond_dim: int = 10000, precondition_1d: bool = False, refresh: bool = True,
    first: bool = _at_zero, sides: str = "both",  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """Any rule, run in the eigenbasis of Shampoo's averaged statistics.

        u ← Q_L rule(Q_Lᵀ u Q_R) Q_Rᵀ
        L ← βL + (1-β)uuᵀ;   R ← βR + (1-β)uᵀu
        where ``refresh`` holds: Q ← a step of orthogonal iteration towards the eigenbasis of L (of R)

    When the basis turns the rule's moments are rotated with it, its squares permuted. The first gradient only makes
    the bases. An axis longer than ``max_precond_dim`` keeps the identity, and so does a vector unless
    ``precondition_1d``, and all but one side where ``sides`` is "left", "right" or "smaller". Statistics that are zero
    or not finite leave the basis where it is (see `follow`), and are counted.

    Probes, at the price of a product a side while someone looks: ``off_diagonal``, how stale the basis is (the share of
    the statistics' norm off the diagonal in it), ``spread``, the largest over the smallest diagonal entry there,
    an estimate of the condition number, and ``recovered``, how many factors had to keep their basis.

    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    """
    L, R = (None if h is None else gram_added(h, x, beta, 1 - beta) for h, x in ((L, u), (R, u.mT)))
    if first:
        (L, Q_L, lost), (R, Q_R, gone) = first_basis(L), first_basis(R)
        return u, L, R, Q_L, Q_R, None, None, _count(recovered, lost, gone)
    out = inside(rule, u, Q_L, Q_R)
    looked = _looked((off_diagonal, spread), ((L, Q_L), (R, Q_R)))
    if not refresh:
        return out, L, R, Q_L, Q_R, *looked, _count(recovered)
    L, new_L, rows, lost = follow(L, Q_L)
    R, new_R, columns, gone = follow(R, Q_R)
    turn(rule, (Q_L, new_L, rows), (Q_R, new_R, columns))
    return out, L, R, new_L, new_R, *looked, _count(recovered, lost, gone)


def _kept(side: int) -> Callable[[int, int, Mapping[str, Any]], bool]:
    return lambda m, n, hyper: axes(m, n)[side]


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    provides=("spectrum",),
    primes=True,
    L=factor("m m", when=_turning(0)),
    R=factor("n n", when=_turning(1)),
    Q_L=basis("m m", when=_turning(0)),
    Q_R=basis("n n", when=_turning(1)),
    eigenvalues_L=factor("m", fill="init_factor", when=_kept(0)),
    eigenvalues_R=factor("n", fill="init_factor", when=_kept(1)),
    off_diagonal=probe,
    spread=probe,
    recovered=counter,
)
def in_kl_eigenbasis(
    u: Tensor, rule: Any, L: Side, R: Side, Q_L: Side, Q_R: Side, eigenvalues_L: Side, eigenvalues_R: Side,
    off_diagonal: Side, spread: Side, recovered: Side, *,
    beta: float, max_precond_dim: int = 10000, precondition_1d: bool = False, init_factor: float = 0.1,
    max_clamp_value: float = 4000.0, refresh: bool = True, first: bool = _at_zero,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """Any rule, run in the eigenbasis of the Kronecker factors whose Gaussian is nearest to the gradients' in KL.

        u ← Q_L rule(h) Q_Rᵀ,   h = Q_Lᵀ u Q_R                     a, b: estimated eigenvalues of L, R (each begins at
        L ← βL + (1-β)/n (u R⁻¹ uᵀ),   R⁻¹ = Q_R diag(1/b) Q_Rᵀ    ``init_factor``)
        R ← βR + (1-β)/m (uᵀ L⁻¹ u),   L⁻¹ = Q_L diag(1/a) Q_Lᵀ
        aᵢ ← βaᵢ + (1-β) mean_j h²ᵢⱼ/bⱼ;   bⱼ ← βbⱼ + (1-β) mean_i h²ᵢⱼ/aᵢ
        where ``refresh`` holds: Q ← the orthogonal factor of LQ (of RQ)

    Unlike Shampoo's, each factor is estimated from gradients that the other one has whitened, so that L ⊗ R is itself
    an estimate of the gradients' second moment. Its eigenvalues, a bᵀ, are the input ``spectrum`` of the rule. They
    are estimated at every step, whatever the age of the basis. Columns are not sorted. An axis longer than
    ``max_precond_dim`` keeps the identity and its diagonal. 1/√a is held below max(10, min(its length,
    ``max_clamp_value``)). The first gradient only makes the bases, of L = uuᵀ/n. Probes as in `in_eigenbasis`.

    Reference: "Understanding and Improving Shampoo and SOAP via Kullback-Leibler Minimization", Wu Lin, Scott C. Lowe,
    Felix Dangel, Runa Eschenhagen, Zikun Xu, Roger B. Grosse, 2025, https://arxiv.org/abs/2509.03378
    """
    m, n = u.shape[-2:]
    a, b = (1.0 if x is None else x for x in (eigenvalues_L, eigenvalues_R))
    y = u if Q_R is None or first else u @ Q_R
    z = u if Q_L is None or first else Q_L.mT @ u
    whitened = (y, z.mT) if first else (y * b**-0.5, (z * a**-0.5).mT)
    L, R = (
        None if h is None else gram_added(h, x, beta, (1 - beta) / x.shape[-1])
        for h, x in zip((L, R), whitened, strict=True)
    )
    if first:
        (L, Q_L, lost), (R, Q_R, gone) = first_basis(L), first_basis(R)
        return u, L, R, Q_L, Q_R, eigenvalues_L, eigenvalues_R, None, None, _count(recovered, lost, gone)
    h = y if Q_L is None else Q_L.mT @ y
    spectrum = torch.ones_like(h[..., :1, :1]) * a * b

    def into(x: Tensor) -> Tensor:
        return h if x is u else rotate(x, Q_L, Q_R)

    out = rotate(rule(h, into=into, spectrum=spectrum), *(None if q is None else q.mT for q in (Q_L, Q_R)))
    squares = h.square()
    new_a = _estimated(
        eigenvalues_L, (squares / b).mean(-1, keepdim=True), beta, init_factor, m, max_clamp_value
    )
    new_b = _estimated(
        eigenvalues_R, (squares / a).mean(-2, keepdim=True), beta, init_factor, n, max_clamp_value
    )
    looked = _looked((off_diagonal, spread), ((L, Q_L), (R, Q_R)))
    if not refresh:
        return out, L, R, Q_L, Q_R, new_a, new_b, *looked, _count(recovered)
    L, new_L, _, lost = follow(L, Q_L, sort=False)
    R, new_R, _, gone = follow(R, Q_R, sort=False)
    turn(rule, (Q_L, new_L, None), (Q_R, new_R, None))
    return out, L, R, new_L, new_R, new_a, new_b, *looked, _count(recovered, lost, gone)


def _estimated(old: Side, seen: Tensor, beta: Any, start: Any, size: int, clamp: Any) -> Side:
    """Eigenvalues, averaged and held above the clamp; one that overflowed begins anew."""
    if old is None:
        return None
    most = torch.as_tensor(clamp).clamp(max=size).clamp(min=10.0)
    new = old.lerp(seen, 1 - beta)
    return torch.where(new.isfinite(), new.clamp(min=(most**-2).to(new.dtype)), start)


@transform(invariant=("sign",))
def scale_by_spectrum(u: Tensor, spectrum: Tensor, *, eps: float = 1e-8) -> Tensor:
    """u / (√λ + ε), λ the second moments that a basis around it estimates (`in_kl_eigenbasis`): KL-Shampoo's root.

    Reference: "Understanding and Improving Shampoo and SOAP via Kullback-Leibler Minimization", Wu Lin, Scott C. Lowe,
    Felix Dangel, Runa Eschenhagen, Zikun Xu, Roger B. Grosse, 2025, https://arxiv.org/abs/2509.03378
    """
    return u / (spectrum.sqrt() + eps)
