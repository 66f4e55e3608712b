"""Steps in a geometry other than the Euclidean one, and steps taken from where the path began."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, total, transform, weights


@transform(room="point", sums={"mass": total(lambda param, u: param * u.exp())})
def exponentiate(u: Tensor, param: Tensor, mass: Tensor) -> Tensor:
    """p ← p exp(δ) / Σ p exp(δ): mirror descent with the entropy, for weights that are positive and add up to 1.

    Reference: "Mirror descent and nonlinear projected subgradient methods for convex optimization", Amir Beck, Marc
    Teboulle, 2003, https://doi.org/10.1016/S0167-6377(02)00231-6
    """
    return param * u.exp() / mass


@transform(room="delta", origin=weights, gathered=moment)
def dual_average(u: Tensor, param: Tensor, origin: Tensor, gathered: Tensor) -> Any:
    """s ← s + δ; p ← p₀ + s: dual averaging, whose steps all start at p₀ and forget what projections did.

    Without a projection behind it it changes nothing; with one it is the lazily projected method.

    Reference: "Primal-dual subgradient methods for convex problems", Yurii Nesterov, 2009,
    https://doi.org/10.1007/s10107-007-0149-x
    """
    together = gathered + u
    return origin + together - param, origin, together
