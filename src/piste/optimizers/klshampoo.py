"""KL-Shampoo and KL-SOAP: Kronecker factors estimated by minimizing a Kullback-Leibler divergence."""

from __future__ import annotations

from .._chain import Chain, Part
from .._define import optimizer
from .._transform import chain
from ..schedules import every
from ..transforms.adaptive import scale_by_raw_adam
from ..transforms.bases import in_kl_eigenbasis, scale_by_spectrum
from ..transforms.decay import decay_new_weights, descend
from ..transforms.layerwise import normalize_rms
from ..transforms.momentum import ema


def _stepping(basis: Part, lr: float, weight_decay: float, normalize_grads: bool) -> Chain:
    even = [normalize_rms()] if normalize_grads else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    return chain(basis, *even, descend(lr), *decay)


@optimizer
def KLShampoo(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.98),
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
    normalize_grads: bool = False,
    init_factor: float = 0.1,
    max_clamp_value: float = 4000.0,
) -> Chain:
    """Shampoo whose two factors whiten each other's gradients, so that their product estimates the second moment.

        m ← β₁m + (1-β₁)g;   p ← p - η Q_L [Q_Lᵀ m Q_R / (√(a bᵀ) + ε)] Q_Rᵀ;   p ← (1-ηλ)p
        L ← βL + (1-β) g R⁻¹ gᵀ / n;   R ← βR + (1-β) gᵀ L⁻¹ g / m;   a, b their eigenvalues, at every step
        every k steps: Q_L, Q_R ← the orthogonal factors of L Q_L, R Q_R       β = shampoo_beta, or β₂ when negative

    The power is ½ (the step is whitened), and no grafting is needed: L ⊗ R has the gradients' scale, so lr is on
    AdamW's, and no second moment is kept. In the authors' language models it does better than SOAP, and than
    :class:`KLSOAP`. They take k = 10.

    Follows the authors' code where it says more than the paper: the first gradient only makes the bases, all
    eigenvalues begin at ``init_factor``, 1/√a is held below max(10, min(length of the axis, ``max_clamp_value``)),
    there is no bias correction, and the decay acts on the new weights. Differs from it: computed in the arithmetic's
    dtype (there bf16 by default); a tensor of more than two axes is one matrix [first axis, the others] (there of three
    at most, each with a factor of its own); an axis longer than ``max_precond_dim``, and a vector unless
    ``precondition_1d``, keeps the eigenvalues in the coordinates as they are (there neither is possible). The average
    is kept in the basis and turned with it, which is the same. Equal to that code (yorkerlin/KL-Methods at a02e622, its
    bf16 and float32 widened) to 1e-14 over 40 steps in float64.

    Reference: "Understanding and Improving Shampoo and SOAP via Kullback-Leibler Minimization", Wu Lin, Scott C. Lowe,
    Felix Dangel, Runa Eschenhagen, Zikun Xu, Roger B. Grosse, 2025, https://arxiv.org/abs/2509.03378
    """
    beta = shampoo_beta if shampoo_beta >= 0 else betas[1]
    refresh = every(precondition_frequency, start=1)
    rule = chain(ema(betas[0]), scale_by_spectrum(eps))
    basis = in_kl_eigenbasis(
        rule, beta, max_precond_dim, precondition_1d, init_factor, max_clamp_value, refresh
    )
    return _stepping(basis, lr, weight_decay, normalize_grads)


@optimizer
def KLSOAP(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.98),
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
    normalize_grads: bool = False,
    init_factor: float = 0.1,
    max_clamp_value: float = 4000.0,
) -> Chain:
    """Adam in the eigenbasis of KL-Shampoo's factors: SOAP with statistics that whiten each other.

        g' = Q_Lᵀ g Q_R;   m ← β₁m + (1-β₁)g';   v ← β₂v + (1-β₂)g'²
        p ← p - η Q_L [m / (√v + ε)] Q_Rᵀ;   p ← (1-ηλ)p
        L, R, Q_L, Q_R as in :class:`KLShampoo`

    For a comparison with SOAP at the price of a product more per step; the authors find :class:`KLShampoo`, which needs
    no v, to be as good or better.

    Follows the authors' code: no bias correction, so the first steps are small (β₂ 0.98 against β₁ 0.9: short for 50);
    v is left as it is when the basis turns, whose columns are not sorted. Equal to it (yorkerlin/KL-Methods at a02e622,
    its bf16 and float32 widened) to 4e-14 over 40 steps in float64. For the rest, and the differences, see
    :class:`KLShampoo`.

    Reference: "Understanding and Improving Shampoo and SOAP via Kullback-Leibler Minimization", Wu Lin, Scott C. Lowe,
    Felix Dangel, Runa Eschenhagen, Zikun Xu, Roger B. Grosse, 2025, https://arxiv.org/abs/2509.03378
    """
    beta = shampoo_beta if shampoo_beta >= 0 else betas[1]
    refresh = every(precondition_frequency, start=1)
    rule = scale_by_raw_adam(*betas, eps)
    basis = in_kl_eigenbasis(
        rule, beta, max_precond_dim, precondition_1d, init_factor, max_clamp_value, refresh
    )
    return _stepping(basis, lr, weight_decay, normalize_grads)
