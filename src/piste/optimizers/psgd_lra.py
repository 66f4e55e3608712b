"""PSGD over all weights at once."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import chance, evenly
from ..transforms.decay import decay_weights, descend
from ..transforms.psgd_low_rank import clip_by_tree_amplitude, whiten_by_low_rank
from .psgd import averages, numbers_that_fit

TURN_U = chance(0.5)


@optimizer
def PSGDLRA(
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    rank_of_approximation: int = 10,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_update_probability: float = 1.0,
    whiten_grad: bool = True,
    grad_clip_max_amps: tuple[float, float] = (2.0, 10.0),
) -> Chain:
    """The gradient whitened over all weights together, by a diagonal and a change of low rank r.

        Q = (1 + UVᵀ) diag(d);   h = g + δv,   v ~ N(0, 1);   a = Qh;   b = Q⁻ᵀv
        d ← d - μ/ℓ_d (h ⊙ Ph - v ⊙ P⁻¹v) ⊙ d
        U ← U - μ/ℓ_U (aaᵀ - bbᵀ) V (1 + VᵀU)   or   V ← V - μ/ℓ_V (1 + VUᵀ) (aaᵀ - bbᵀ) U
        m ← βm + (1-β)g;   p ← p - η (clip(QᵀQ m) + λp)

    For models whose layers curve one another's: P is not block-diagonal. Keeps 2r + 2 copies of the weights, and costs
    inner products only. The rank is 10 for the authors; 0 is a diagonal preconditioner.

    Equal to the authors' code (class LRAWhiten of lixilinx/psgd_torch at a8616f1) to 1e-16 over 40 steps in float64,
    given the same probes, first U and V, and choices between U and V. Differs from it: those are drawn by counter, the
    first ones from one random number per weight; P is fitted in evenly spread steps; the start for a zero gradient is
    1; the decay is decoupled, as in their wrappers of other forms.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    Reference: "Black Box Lie Group Preconditioners for SGD", Xi-Lin Li, 2022, https://arxiv.org/abs/2211.04422
    """
    numbers_that_fit("PSGDLRA", damping, rank_of_approximation, betaL=betaL)
    ahead, inner = averages(momentum, whiten_grad)
    whiten = whiten_by_low_rank(
        inner, rank_of_approximation, lr_preconditioner, betaL, damping, preconditioner_init_scale,
        evenly(preconditioner_update_probability), TURN_U,
    )  # fmt: skip
    clip = clip_by_tree_amplitude(*grad_clip_max_amps)
    return chain(ahead, whiten, clip, decay_weights(weight_decay), descend(lr))
