"""Rules run in a subspace of few dimensions, where their slots are as small as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._transform import basis, counter, factor, moment, transform
from ._shapes import matrices
from .adaptive import scale_by_adam

Lying = Callable[[Tensor], Tensor]


thin = basis("short rank&short", eye=1.0, when=matrices)
of_thin = factor("short rank&short", when=matrices)  # statistics of a basis: no moment of the gradient


def laid(u: Tensor) -> Lying:
    """Puts a matrix so that its shorter side are the rows, and back."""
    return (lambda x: x.mT) if u.shape[-2] >= u.shape[-1] else (lambda x: x)


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    P=thin,
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
    lying = laid(u)
    if P is None:
        return lying(rule(lying(u), into=lying)), None, None
    P, lost = renewed(rule, u, P, refresh, carry)
    return scale * lying(P @ inside(rule, u, P)), P, counted(recovered, lost)


def inside(rule: Any, u: Tensor, P: Tensor, **inputs: Any) -> Tensor:
    """rule(Pᵀu): what the rule makes of a matrix in the span of P's columns, in P's coordinates."""
    lying = laid(u)

    def into(x: Tensor) -> Tensor:
        return P.mT @ lying(x)

    return rule(into(u), into=into, **inputs)


def renewed(rule: Any, u: Tensor, P: Tensor, refresh: bool, carry: bool) -> tuple[Tensor, Tensor | None]:
    """The leading singular vectors on the shorter side, and whether there were none (None where nobody asked for new
    ones)."""
    if not refresh:
        return P, None
    new, lost = leading(u, P)
    if carry:
        move = new.mT @ P
        rule.turn(moment=lambda x: move @ x, square=lambda x: move.square() @ x)
    return new, lost


def leading(u: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
    """Leading singular vectors on the shorter side (the old ones where there are none), and whether there were none.
    Of the matrix as it stands: that of its transpose may have other signs, which the rule's moments would feel."""
    good = u.isfinite().all(-1).all(-1) & (u != 0).any(-1).any(-1)
    keep = good.unsqueeze(-1).unsqueeze(-1)
    left, _, right = torch.linalg.svd(torch.where(keep, u, 0.0), full_matrices=False)
    new = (right.mT if u.shape[-2] >= u.shape[-1] else left)[..., : old.shape[-1]]
    return torch.where(keep, new, old), ~good


def counted(recovered: Tensor | None, lost: Tensor | None) -> Tensor | None:
    return None if recovered is None else 0 * recovered if lost is None else lost.to(torch.float64)


# a subspace that is tracked ---------------------------------------------------------------------------------------


def at_one(step: int) -> bool:
    return step == 1


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    P=thin,
    P_exp_avg=of_thin,
    P_exp_avg_sq=of_thin,
    recovered=counter,
)
def in_tracked_subspace(
    u: Tensor, step: Any, rule: Any, P: Tensor | None, P_exp_avg: Tensor | None, P_exp_avg_sq: Tensor | None,
    recovered: Tensor | None, *,
    rank: int, scale: float = 1.0, projection_lr: float = 0.005, projection_decay: float = 0.01,
    first: bool = at_one,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """Any rule, run in a subspace that follows the gradients by one step of online PCA each time.

        where ``first`` holds: P ← the ``rank`` leading left singular vectors of u        (m < n; else of uᵀ)
        u ← scale · P rule(Pᵀ u)                                                          (m < n; else with uᵀ for u)
        else, behind that: P ← a step of AdamW, of rate ``projection_lr``, on ‖û - P Pᵀ û‖²,  û = u / ‖u‖

    The loss of P has the gradient 2 (P YYᵀ + ûYᵀ PᵀP - 2 ûYᵀ), Y = Pᵀû: three products of the cost of a projection, in
    place of a singular value decomposition. Its AdamW keeps two more matrices of P's size. Nothing holds P's columns
    orthonormal but that loss. A gradient that is zero or not finite leaves P as it was.

    Reference: "Memory-Efficient LLM Training with Online Subspace Descent", Kaizhao Liang, Bo Liu, Lizhang Chen, Qiang
    Liu, 2024, https://arxiv.org/abs/2408.12857
    """
    lying = laid(u)
    if P is None or P_exp_avg is None or P_exp_avg_sq is None:
        return lying(rule(lying(u), into=lying)), None, None, None, None
    P, lost = renewed(rule, u, P, first, carry=False)
    out = scale * lying(P @ inside(rule, u, P))
    if first:
        return out, P, P_exp_avg, P_exp_avg_sq, counted(recovered, lost)
    new, m, v = _followed(lying(u), step - 1, P, P_exp_avg, P_exp_avg_sq, projection_lr, projection_decay)
    return out, new, m, v, counted(recovered, None)


def _followed(
    flat: Tensor, step: Any, P: Tensor, m: Tensor, v: Tensor, lr: Any, decay: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of AdamW on what P leaves of a matrix of norm 1."""
    size = flat.norm(dim=(-2, -1), keepdim=True)
    good = size.isfinite() & (size > 0)
    unit = torch.where(good, flat, 0.0) / torch.where(good, size, 1.0)
    y = P.mT @ unit
    seen = unit @ y.mT
    slope = 2 * (P @ (y @ y.mT) + seen @ (P.mT @ P) - 2 * seen)
    floor = v.clamp(min=1e-30)  # far below ε: at full rank P loses nothing, and √ has no slope at 0
    move, new_m, new_v = scale_by_adam.fn(slope, step, m, floor, beta1=0.9, beta2=0.999, eps=1e-8)
    moved = P * (1 - lr * decay) - lr * move
    return torch.where(good, moved, P), torch.where(good, new_m, m), torch.where(good, new_v, v)


@transform(invariant=("sign",), exp_avg=moment)
def interpolated_momentum(u: Tensor, exp_avg: Tensor, *, beta1: float, beta2: float) -> Any:
    """β₁m + (1-β₁)u, then m ← β₂m + (1-β₂)u: Lion's momentum, before its sign is taken.

    Reference: "Symbolic Discovery of Optimization Algorithms", Xiangning Chen et al., 2023,
    https://arxiv.org/abs/2302.06675
    """
    return exp_avg.lerp(u, 1 - beta1), exp_avg.lerp(u, 1 - beta2)
