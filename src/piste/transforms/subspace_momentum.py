"""Momentum kept in a subspace of few dimensions, with plain descent in what is orthogonal to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import basis, counter, moment, transform
from .factored import is_matrix, is_vector
from .subspaces import _leading


@transform(
    invariant=("sign",),
    scope="tensor",
    P=basis("short rank&short", eye=1.0, when=is_matrix),
    inside=moment("rank&short long", when=is_matrix),
    exp_avg=moment(when=is_vector),
    recovered=counter,
)
def subspace_momentum(
    u: Tensor, P: Tensor | None, inside: Tensor | None, exp_avg: Tensor | None, recovered: Tensor | None, *,
    momentum: float, rank: int, refresh: bool = True,
) -> Any:  # fmt: skip
    """Momentum in the span of a gradient's leading singular vectors on the shorter side, none outside of it.

        where ``refresh`` holds: P ← the leading left singular vectors of u (m < n; else of uᵀ, [n, rank]);  m ← 0
        m ← μm + (1-μ) Pᵀu;   u ← Pm + (u - PPᵀu)                             (m < n; else with uᵀ for u)

    The state of a matrix is rank × (m + n) numbers. A vector has all its momentum. A refresh on a gradient that is zero
    or not finite leaves P and m as they were and is counted in ``recovered``.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    if P is None or inside is None:
        assert exp_avg is not None
        m = exp_avg.lerp(u, 1 - momentum)
        return m, None, None, m, None
    tall, lost, span = u.shape[-2] >= u.shape[-1], None, P
    if refresh:
        span, lost = _leading(u, P)
        inside = torch.where(lost, inside, torch.zeros_like(inside))
    x = u.mT if tall else u
    within = span.mT @ x
    m = inside.lerp(within, 1 - momentum)
    out = x + span @ (m - within)
    count = None if recovered is None else 0 * recovered if lost is None else lost.to(torch.float64)
    return (out.mT if tall else out), span, m, None, count
