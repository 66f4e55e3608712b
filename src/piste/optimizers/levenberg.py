"""Levenberg-Marquardt with an adaptive damping."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.residuals import levenberg_marquardt
from ..transforms.decay import descend
from ..transforms.newton import follow


@optimizer(needs=("closure", "residuals"))
def LevenbergMarquardt(
    lr: float = 1.0, eta: float = 1.0, xi: float = 1.0, omega: float = 1.0, products: int = 256
) -> Chain:
    """Solves equations r(p) = 0, damped by their own size, so that solutions may be degenerate.

        μ = ξ ‖r‖^η + ω ‖Jᵀr‖^η,    J = ∂r/∂p
        p ← p - lr (JᵀJ + μI)⁻¹ Jᵀr

    Needs ``step(piste.closure(residual_of, batches, model, residuals=True))`` on all equations, and whole weights. For
    nonlinear systems and least squares with small residuals, near a solution (there is no line search):
    physics-informed networks, fits, steady states. Leave lr at 1. η = 1 suits most; the smaller the exponent with which
    ‖r‖ bounds the distance to the solutions, the smaller η must be.

    The directions are exact up to ``products`` weights or equations. ξ and ω may move (``opt.schedules``), as the
    paper's ξ_k and ω_k.

    Reference: "Local convergence of the Levenberg-Marquardt method under Hölder metric subregularity",
    Masoud Ahookhosh, Francisco J. Aragón Artacho, Ronan M. T. Fleming, Phan T. Vuong, 2019,
    https://arxiv.org/abs/1703.07461
    """
    return chain(levenberg_marquardt(eta, xi, omega, products), follow(), descend(lr))
