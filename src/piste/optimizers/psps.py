"""SGD with a preconditioned Polyak step."""

from __future__ import annotations

import math

from .._chain import Part
from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.backprop import backprop
from ..oracles.hutchinson import hutchinson
from ..schedules import every
from ..transforms.adaptive import scale_by_adagrad, scale_by_debiased_rms
from ..transforms.decay import descend
from ..transforms.polyak import (
    scale_by_hessian_diagonal,
    scale_by_polyak,
    scale_by_polyak_l1,
    scale_by_polyak_l2,
)


def _probed(hessian_every: int, exact: bool) -> Part:
    return hutchinson(every(hessian_every, phase=1, start=1), exact)


@optimizer
def PSPS(
    lr: float = 1.0,
    beta: float = 0.999,
    alpha: float = 0.1,
    f_star: float = 0.0,
    max_step: float = math.inf,
    hessian_every: int = 1,
    exact: bool = False,
) -> Chain:
    """SGD that finds its own step, in the metric of the Hessian's diagonal.

        D ← the average of z ⊙ ∇²f z over random signs z;   B = max(|D|, α)
        γ = (f - f*) / gᵀB⁻¹g;   p ← p - η min(γ, γ_max) B⁻¹g

    Needs ``step(closure)``. For models that can fit every batch (interpolation), with features of very different
    scales, and no rate to tune: leave ``lr`` at 1. f* is the least loss of a batch (0 for most). Where it is not
    reached, bound the step (``max_step``), or take PSPSL1 or PSPSL2. A Hessian product costs two more evaluations (one
    more backward with ``exact``): ``hessian_every`` steps apart will do.

    As the authors' code (fxrshed/ScaledSPS at 46517ee), whose first D is the mean of 100 products; here D is the
    debiased average from the first one on. Where the Hessian is constant and diagonal they are the same: equal to 4e-14
    over 40 steps in float64, PSPSL1 and PSPSL2 too.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    metric = scale_by_hessian_diagonal(beta, alpha)
    return chain(_probed(hessian_every, exact), metric, scale_by_polyak(f_star, max_step), descend(lr))


@optimizer
def PSPSL1(
    lr: float = 1.0,
    beta: float = 0.999,
    alpha: float = 0.1,
    penalty: float = 0.01,
    hessian_every: int = 1,
    exact: bool = False,
) -> Chain:
    """PSPS with a slack for losses that do not all vanish, penalized by λ|s|.

        γ̂ = max(0, f - s + λ) / (1 + gᵀB⁻¹g);   p ← p - η min(γ̂, f / gᵀB⁻¹g) B⁻¹g;   s ← max(0, s - λ + γ̂)

    B, the closure and the deviation as in PSPS; ``penalty`` is the authors' ``lmd``.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    metric = scale_by_hessian_diagonal(beta, alpha)
    return chain(_probed(hessian_every, exact), metric, scale_by_polyak_l1(penalty), descend(lr))


@optimizer
def PSPSL2(
    lr: float = 1.0,
    beta: float = 0.999,
    alpha: float = 0.1,
    penalty: float = 0.01,
    hessian_every: int = 1,
    exact: bool = False,
) -> Chain:
    """PSPS with a slack for losses that do not all vanish, penalized by λs².

        λ̂ = 1 / (1 + λ);   γ = max(0, f - λ̂s) / (gᵀB⁻¹g + λ̂);   p ← p - ηγB⁻¹g;   s ← λ̂ (s + γ)

    B, the closure and the deviation as in PSPS; ``penalty`` is the authors' ``lmd``.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    metric = scale_by_hessian_diagonal(beta, alpha)
    return chain(_probed(hessian_every, exact), metric, scale_by_polyak_l2(penalty), descend(lr))


@optimizer
def PSPSAdam(
    lr: float = 1.0,
    beta2: float = 0.999,
    eps: float = 1e-8,
    f_star: float = 0.0,
    max_step: float = math.inf,
) -> Chain:
    """SGD that finds its own step, in the metric of Adam's second moment.

        v ← β₂v + (1-β₂)g²;   B = √v̂ + ε;   γ = (f - f*) / gᵀB⁻¹g;   p ← p - η min(γ, γ_max) B⁻¹g

    Needs ``step(closure)``, and no Hessian; otherwise as PSPS.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    return chain(
        backprop(), scale_by_debiased_rms(beta2, eps), scale_by_polyak(f_star, max_step), descend(lr)
    )


@optimizer
def PSPSAdaGrad(
    lr: float = 1.0, eps: float = 1e-10, f_star: float = 0.0, max_step: float = math.inf
) -> Chain:
    """SGD that finds its own step, in the metric of AdaGrad's sum of squares.

        G ← G + g²;   B = √G + ε;   γ = (f - f*) / gᵀB⁻¹g;   p ← p - η min(γ, γ_max) B⁻¹g

    Needs ``step(closure)``, and no Hessian; otherwise as PSPS.

    Reference: "Stochastic Gradient Descent with Preconditioned Polyak Step-size", Farshed Abdukhakimov, Chulu Xiang,
    Dmitry Kamzolov, Martin Takáč, 2023, https://arxiv.org/abs/2310.02093
    """
    return chain(backprop(), scale_by_adagrad(eps), scale_by_polyak(f_star, max_step), descend(lr))
