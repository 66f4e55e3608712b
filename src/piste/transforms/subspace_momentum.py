"""Momentum kept in a subspace of few dimensions, with plain descent in what is orthogonal to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import basis, counter, moment, transform
from ._shapes import matrices, vectors
from .subspaces import counted, leading


@transform(
    invariant=("sign",),
    scope="tensor",
    P=basis("short rank&short", eye=1.0, when=matrices),
    tall_inside=moment("m rank&short", when=lambda m, n, hyper: m >= n > 1),
    wide_inside=moment("rank&short n", when=lambda m, n, hyper: n > m > 1),
    exp_avg=moment(when=vectors),
    recovered=counter,
)
def subspace_momentum(
    u: Tensor, P: Tensor | None, tall_inside: Tensor | None, wide_inside: Tensor | None, exp_avg: Tensor | None,
    recovered: Tensor | None, *, momentum: float, rank: int, refresh: bool = True,
) -> Any:  # fmt: skip
    """Momentum in the span of a gradient's leading singular vectors on the shorter side, none outside of it.

        where ``refresh`` holds: P ← the leading left singular vectors of u (m < n; else of uᵀ, [n, rank]);  m ← 0
        m ← μm + (1-μ) Pᵀu;   u ← Pm + (u - PPᵀu)                             (m < n; else with uᵀ for u)

    The state of a matrix is rank × (m + n) numbers. A vector has all its momentum. A refresh on a gradient that is zero
    or not finite leaves P and m as they were and is counted in ``recovered``.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    tall = tall_inside is not None
    kept = tall_inside.mT if tall else wide_inside
    if P is None or kept is None:
        assert exp_avg is not None
        m = exp_avg.lerp(u, 1 - momentum)
        return m, None, None, None, m, None
    lost, span = None, P
    if refresh:
        span, lost = leading(u, P)
        kept = torch.where(lost, kept, torch.zeros_like(kept))
    x = u.mT if tall else u
    within = span.mT @ x
    m = kept.lerp(within, 1 - momentum)
    out = x + span @ (m - within)
    count = counted(recovered, lost)
    if tall:
        return out.mT, span, m.mT, None, None, count
    return out, span, None, m, None, count
