"""PSGD from Hessian-vector products: Newton's method with |H|, from noisy curvature."""

from __future__ import annotations

import math

from .._chain import Part
from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.hutchinson import hutchinson
from ..schedules import evenly
from ..transforms.clipping import clip_by_global_norm
from ..transforms.decay import decay_weights, descend
from ..transforms.psgd import newton_by_kron
from ..transforms.psgd_low_rank import newton_by_low_rank
from .psgd import BALANCE, averages, numbers_that_fit
from .psgd_lra import TURN_U


def _chain(p: float, exact: bool, newton: Part, max_norm: float, weight_decay: float, lr: float) -> Chain:
    clip = [clip_by_global_norm(max_norm)] if max_norm < math.inf else []
    return chain(hutchinson(evenly(p), exact), newton, *clip, decay_weights(weight_decay), descend(lr))


@optimizer
def PSGDKronNewton(
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192,
    preconditioner_max_skew: float = 1.0,
    preconditioner_update_probability: float = 1.0,
    cached: bool = False,
    exact: bool = False,
    grad_clip_max_norm: float = math.inf,
) -> Chain:
    """A Newton-type step whose |H|⁻¹ is a Kronecker product for each tensor, fitted to Hessian-vector products.

        h = ∇²f(w) v,   v ∈ {-1, 1}ⁿ drawn anew;    A = Q_L h Q_Rᵀ;   B = Q_L⁻ᵀ v Q_R⁻¹
        Q_L ← Q_L - μ/ℓ_L triu(AAᵀ - BBᵀ) Q_L;   Q_R ← Q_R - μ/ℓ_R triu(AᵀA - BᵀB) Q_R
        m ← βm + (1-β)g;   p ← p - η (Q_LᵀQ_L m Q_RᵀQ_R + λp)

    Needs ``step(closure)``; three evaluations in a step that fits, one in the others; ``exact`` differentiates twice
    and needs a ``piste.closure``. For losses whose Hessian means something at mini-batch noise (scientific problems,
    small nets, RNNs): the fit bears noisy products, an indefinite Hessian gives |H|, and neither damping nor a search
    is tuned. lr is a share of Newton's step. A single vector with ``preconditioner_max_skew`` as large as it is long
    has one dense triangular factor, the paper's dense form. ``grad_clip_max_norm`` holds the step over all tensors.

    Equal to the authors' code (class KronNewton of lixilinx/psgd_torch at a8616f1, dQ="EQ") to 2e-16 over 40 steps in
    float64, given the same probes and bound of the spectral norm. Differs from it: v is random signs, not normal
    numbers, the products are central differences of gradients by default, the start (E v²)^¼ (E h⁴)^-⅛ is each
    tensor's own; further as :class:`PSGDKron` does.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    Reference: "Preconditioned Stochastic Gradient Descent", Xi-Lin Li, 2015, https://arxiv.org/abs/1512.04202
    """
    numbers_that_fit("PSGDKronNewton", damping, betaL=betaL)
    _, inner = averages(momentum, True)
    newton = newton_by_kron(
        inner, lr_preconditioner, betaL, damping, preconditioner_init_scale, preconditioner_max_size,
        preconditioner_max_skew, cached, BALANCE,
    )  # fmt: skip
    return _chain(preconditioner_update_probability, exact, newton, grad_clip_max_norm, weight_decay, lr)


@optimizer
def PSGDLRANewton(
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    rank_of_approximation: int = 10,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_update_probability: float = 1.0,
    exact: bool = False,
    grad_clip_max_norm: float = math.inf,
) -> Chain:
    """A Newton-type step over all weights together: |H|⁻¹ as a diagonal and a change of low rank r.

        Q = (1 + UVᵀ) diag(d);   h = ∇²f(w) v,   v ∈ {-1, 1}ⁿ drawn anew;   a = Qh;   b = Q⁻ᵀv
        d ← d - μ/ℓ_d (h ⊙ Ph - v ⊙ P⁻¹v) ⊙ d
        U ← U - μ/ℓ_U (aaᵀ - bbᵀ) V (1 + VᵀU)   or   V ← V - μ/ℓ_V (1 + VUᵀ) (aaᵀ - bbᵀ) U
        m ← βm + (1-β)g;   p ← p - η (QᵀQ m + λp)

    Needs ``step(closure)``; three evaluations in a step that fits, one in the others; ``exact`` differentiates twice
    and needs a ``piste.closure``. Of 2r + 2 copies of the weights; rank 0 is a diagonal Newton method. lr is a share of
    Newton's step.

    Equal to the authors' code (class LRANewton of lixilinx/psgd_torch at a8616f1) to 1e-16 over 40 steps in float64,
    given the same probes, first U and V, and choices between U and V. Differs from it: v is random signs, not normal
    numbers, the products are central differences of gradients by default; further as :class:`PSGDLRA` does.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    Reference: "Black Box Lie Group Preconditioners for SGD", Xi-Lin Li, 2022, https://arxiv.org/abs/2211.04422
    """
    numbers_that_fit("PSGDLRANewton", damping, rank_of_approximation, betaL=betaL)
    _, inner = averages(momentum, True)
    newton = newton_by_low_rank(
        inner, rank_of_approximation, lr_preconditioner, betaL, damping, preconditioner_init_scale, TURN_U
    )
    return _chain(preconditioner_update_probability, exact, newton, grad_clip_max_norm, weight_decay, lr)
