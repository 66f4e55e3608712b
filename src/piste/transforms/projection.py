"""Constraints: the step, then the nearest point of the allowed set. These write the new weights themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from .._transform import total, transform


@transform(room="point")
def project_box(u: Tensor, param: Tensor, *, low: float, high: float) -> Tensor:
    """p ← the nearest point to p + δ with every weight in [low, high].

    Reference: "Convex programming in Hilbert space", A. A. Goldstein, 1964,
    https://doi.org/10.1090/S0002-9904-1964-11178-2
    """
    return (param + u).clamp(low, high)


@transform(room="point", sums={"norm_sq": total(lambda param, u: (param + u).square())})
def project_ball(u: Tensor, param: Tensor, norm_sq: Tensor, *, radius: float) -> Tensor:
    """p ← the nearest point to p + δ whose tensor has Euclidean norm at most r.

    Reference: "Convex programming in Hilbert space", A. A. Goldstein, 1964,
    https://doi.org/10.1090/S0002-9904-1964-11178-2
    """
    norm = norm_sq.sqrt()
    outside = norm > radius
    return (param + u) * torch.where(outside, radius / torch.where(outside, norm, 1.0), 1.0)
