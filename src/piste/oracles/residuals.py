"""Systems of equations: the residuals and their Jacobian, by its products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import oracle
from ..linalg.krylov import lanczos
from ._vectors import space


@oracle(provides=("loss", "vector"), whole="always")
def levenberg_marquardt(
    evaluate: Any, params: Sequence[Tensor], *, eta: float = 1.0, xi: float = 1.0, omega: float = 0.0,
    products: int = 256,
) -> Any:  # fmt: skip
    """Half the squared residuals and their gradient, and the direction of Levenberg and Marquardt:

        vector = (JᵀJ + μI)⁻¹ Jᵀr,    μ = ξ ‖r‖^η + ω ‖Jᵀr‖^η,    J = ∂r/∂w

    in Krylov's space of JᵀJ and Jᵀr, of at most ``products`` products: exact from the number of weights (or equations)
    on. Needs ``piste.closure(..., residuals=True)`` and whole weights.

    Reference: "Local convergence of the Levenberg-Marquardt method under Hölder metric subregularity",
    Masoud Ahookhosh, Francisco J. Aragón Artacho, Ronan M. T. Fleming, Phan T. Vuong, 2019,
    https://arxiv.org/abs/1703.07461
    """
    evaluate.refuse_residuals()
    loss, grads = evaluate()
    where = space(params, grads)
    if where is None:
        return loss, grads, None
    g = where.flat(grads)
    steep = float(where.dots(g.unsqueeze(0), g)) ** 0.5
    mu = xi * float(2 * loss) ** (eta / 2) + omega * steep**eta
    found = lanczos(
        lambda x: where.flat(evaluate.gauss_newton(where.lists(x))), g, where.dots, products,
        4 * torch.finfo(where.dtype).eps,
    )  # fmt: skip
    if not steep > 0 or not mu > 0:
        return loss, grads, where.locals(torch.zeros_like(g))
    return loss, grads, where.locals(found.apply(lambda values: 1 / (values.clamp(min=0) + mu)))
