"""Nonlinear conjugate gradients."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..searches import strong_wolfe
from ..transforms.quasinewton import conjugate


@optimizer
def NonlinearCG(
    lr: float = 1.0,
    c1: float = 1e-4,
    c2: float = 0.1,
    max_ls: int = 25,
    tolerance_grad: float = 1e-7,
    tolerance_change: float = 1e-9,
) -> Chain:
    """Conjugate gradients with a line search, for smooth losses on the full batch.

        u = g + βd,  d the last u,  β = max(0, gᵀ(g - g₋) / ‖g₋‖²);   p ← p - tu
        t by a search for the strong Wolfe conditions that starts at lr

    Needs ``step(closure)`` with the same data at every evaluation of a step, and keeps two copies of the weights where
    LBFGS keeps twenty. Give it float64 when the loss is to become very small: in float32 the search stalls once
    differences of losses drown in rounding, and the tolerances are to be lowered with it. ``c2`` = 0.1 as Nocedal and
    Wright advise for conjugate gradients; torch has no such method.

    Reference: "Note sur la convergence de méthodes de directions conjuguées", E. Polak, G. Ribière, 1969,
    https://doi.org/10.1051/m2an/196903R100351
    Reference: "Training Neural Networks in Single vs Double Precision", Tomas Hrycej, Bernhard Bermeitinger,
    Siegfried Handschuh, 2022, https://doi.org/10.5220/0011577900003335
    """
    return chain(conjugate(), strong_wolfe(lr, c1, c2, max_ls, tolerance_grad, tolerance_change))
