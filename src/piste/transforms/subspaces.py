"""Rules run in a subspace of few dimensions, where their slots are as small as it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import basis, counter, transform


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    P=basis("short rank&short", eye=1.0, when=lambda m, n, hyper: min(m, n) > 1),
    recovered=counter,
)
def in_subspace(
    u: Tensor, rule: Any, P: Tensor | None, recovered: Tensor | None, *,
    rank: int, scale: float = 1.0, refresh: bool = True, carry: bool = False,
) -> Any:  # fmt: skip
    """Any rule, run in the span of the ``rank`` leading singular vectors of a gradient on the matrix's shorter side.

        where ``refresh`` holds: P ← the leading left singular vectors of u (m < n; else of uᵀ, [n, rank])
        u ← scale · P rule(Pᵀ u)                                          (m < n; else with uᵀ for u)

    The rule's slots are rank × the longer side; P is the shorter side × rank. As the authors have it the rule's slots
    stay as they are when P turns; with ``carry`` its moments are projected into the new subspace, and its squares with
    the squared entries of the projection. A vector is left to the rule as it is. A refresh on a gradient that is zero
    or not finite leaves P as it was (the first coordinates, to begin with) and is counted in ``recovered``.

    Reference: "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection", Jiawei Zhao, Zhenyu Zhang,
    Beidi Chen, Zhangyang Wang, Anima Anandkumar, Yuandong Tian, 2024, https://arxiv.org/abs/2403.03507
    """
    m, n = u.shape[-2:]
    tall, lost = m >= n, None

    def lying(x: Tensor) -> Tensor:
        return x.mT if tall else x

    if P is None:
        return lying(rule(lying(u), into=lying)), None, None
    if refresh:
        old = P
        P, lost = _leading(u, P, tall)
        if carry:
            move = P.mT @ old
            rule.turn(moment=lambda x: move @ x, square=lambda x: move.square() @ x)
    basis = P

    def into(x: Tensor) -> Tensor:
        return basis.mT @ lying(x)

    out = lying(basis @ rule(into(u), into=into)) * scale
    count = None if recovered is None else 0 * recovered if lost is None else lost.to(torch.float64)
    return out, P, count


def _leading(u: Tensor, old: Tensor, tall: bool) -> tuple[Tensor, Tensor]:
    """Leading singular vectors on the shorter side (the old ones where there are none), and whether there were none."""
    good = u.isfinite().all(-1).all(-1) & (u != 0).any(-1).any(-1)
    keep = good.unsqueeze(-1).unsqueeze(-1)
    left, _, right = torch.linalg.svd(torch.where(keep, u, 0.0), full_matrices=False)
    new = (right.mT if tall else left)[..., : old.shape[-1]]
    return torch.where(keep, new, old), ~good
