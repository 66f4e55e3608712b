"""Rules run in another basis: that of Shampoo's statistics, which turns slowly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .._transform import basis, factor, transform
from ..linalg.eigen import eigenbasis, orthogonal_iteration
from ..linalg.products import symmetric
from .axes import short


def _turning(side: int) -> Callable[[int, int, Mapping[str, Any]], bool]:
    kept = short(side)
    return lambda m, n, hyper: kept(m, n, hyper) and (m > 1 or hyper["precondition_1d"])


def _at_zero(step: int) -> bool:
    return step == 0


def _rotate(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """leftᵀ x right, a missing side being the identity."""
    x = x if left is None else left.mT @ x
    return x if right is None else x @ right


def _turned(h: Tensor | None, q: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if h is None or q is None else orthogonal_iteration(h, q)


def _carry(x: Tensor, old: Tensor | None, new: Tensor | None) -> Tensor:
    """newᵀ old x, in the order that costs less."""
    if old is None or new is None:
        return x
    return (new.mT @ old) @ x if x.shape[-2] <= x.shape[-1] else new.mT @ (old @ x)


def _permute(v: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    v = v if rows is None else v.gather(-2, rows.unsqueeze(-1).expand_as(v))
    return v if columns is None else v.gather(-1, columns.unsqueeze(-2).expand_as(v))


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    primes=True,
    L=factor("m m", when=_turning(0)),
    R=factor("n n", when=_turning(1)),
    Q_L=basis("m m", when=_turning(0)),
    Q_R=basis("n n", when=_turning(1)),
)
def in_eigenbasis(
    u: Tensor, rule: Any, L: Tensor | None, R: Tensor | None, Q_L: Tensor | None, Q_R: Tensor | None, *,
    beta: float, max_precond_dim: int = 10000, precondition_1d: bool = False, refresh: bool = True,
    first: bool = _at_zero,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """Any rule, run in the eigenbasis of Shampoo's averaged statistics.

        u ← Q_L rule(Q_Lᵀ u Q_R) Q_Rᵀ
        L ← βL + (1-β)uuᵀ;   R ← βR + (1-β)uᵀu
        where ``refresh`` holds: Q ← a step of orthogonal iteration towards the eigenbasis of L (of R)

    When the basis turns the rule's moments are rotated with it, its squares permuted. The first gradient only makes
    the bases. An axis longer than ``max_precond_dim`` keeps the identity, and so does a vector unless
    ``precondition_1d``.

    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    """
    L, R = (None if h is None else h.lerp(symmetric(x, x.mT), 1 - beta) for h, x in ((L, u), (R, u.mT)))
    if first:
        return u, L, R, *(None if h is None else eigenbasis(h) for h in (L, R))

    def into(x: Tensor) -> Tensor:
        return _rotate(x, Q_L, Q_R)

    out = _rotate(rule(into(u), into=into), *(None if q is None else q.mT for q in (Q_L, Q_R)))
    if not refresh:
        return out, L, R, Q_L, Q_R
    (new_L, rows), (new_R, columns) = _turned(L, Q_L), _turned(R, Q_R)
    rule.turn(
        moment=lambda m: _carry(_carry(m, Q_L, new_L).mT, Q_R, new_R).mT,
        square=lambda v: _permute(v, rows, columns),
    )
    return out, L, R, new_L, new_R
