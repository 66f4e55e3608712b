"""SOAP."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.adaptive import debias_adam, scale_by_raw_adam
from ..transforms.bases import in_eigenbasis
from ..transforms.decay import decay_new_weights, descend
from ..transforms.layerwise import normalize_rms


@optimizer
def SOAP(
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
    normalize_grads: bool = False,
    correct_bias: bool = True,
) -> Chain:
    """Adam in the slowly turning eigenbasis of Shampoo's statistics.

        g' = Q_Lᵀ g Q_R;   m ← β₁m + (1-β₁)g';   v ← β₂v + (1-β₂)g'²
        p ← p - η √(1-β₂ᵗ)/(1-β₁ᵗ) Q_L [m / (√v + ε)] Q_Rᵀ;   p ← (1-ηλ)p
        L ← βL + (1-β)ggᵀ;   R ← βR + (1-β)gᵀg               β = shampoo_beta, or β₂ when negative
        every k steps: Q_L, Q_R ← one step of orthogonal iteration towards the eigenbases of L, R

    For runs where a step is worth more than its price: two pairs of square matrices per weight matrix, some products
    with them at every step and a QR every k. The authors take lr 3e-3, betas (0.95, 0.95) and k = 10, and note in their
    code that ``normalize_grads`` helps at k near 100 and hurts near 10.

    Follows the authors' code, not the paper, where they differ: the first gradient only makes the bases (no step is
    taken or counted); the basis is turned after the step, so that no gradient enters its own basis; its columns are
    kept sorted; ε is added before the bias correction; the decay acts on the new weights. Differs from that code: a
    tensor of more than two axes is one matrix [first axis, the others] (there each axis has a basis of its own, and
    ``merge_dims`` joins some), and given a module a fused projection is one matrix per part; bases are computed in the
    arithmetic's dtype (there always float32); a matrix of one row counts as a vector.

    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    """
    beta1, beta2 = betas
    beta = shampoo_beta if shampoo_beta >= 0 else beta2
    refresh = every(precondition_frequency, start=1)
    rule = scale_by_raw_adam(beta1, beta2, eps)
    even = [normalize_rms()] if normalize_grads else []
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    basis = in_eigenbasis(rule, beta, max_precond_dim, precondition_1d, refresh)
    return chain(basis, *even, *debiased, descend(lr), *decay)
