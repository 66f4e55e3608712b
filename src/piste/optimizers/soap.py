"""SOAP: Adam, and other rules, in the eigenbasis of Shampoo's statistics."""

from __future__ import annotations

from .._chain import Part
from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every, half_life, linear
from ..transforms.adaptive import debias_adam, scale_by_ademamix, scale_by_raw_adam
from ..transforms.bases import in_eigenbasis
from ..transforms.decay import decay_new_weights, descend
from ..transforms.layerwise import normalize_rms
from ..transforms.sign import scale_by_lion


def _rate(shampoo_beta: float, beta2: float) -> float:
    """Of the statistics' average: the rule's own where none is given."""
    return shampoo_beta if shampoo_beta >= 0 else beta2


def _stepping(
    basis: Part,
    lr: float,
    weight_decay: float,
    normalize_grads: bool = False,
    betas: tuple[float, float] | None = None,
) -> Chain:
    """What stands behind the basis: the update evened out, Adam's correction, the step, decay of new weights."""
    even = [normalize_rms()] if normalize_grads else []
    debiased = [debias_adam(*betas)] if betas is not None else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    return chain(basis, *even, *debiased, descend(lr), *decay)


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
    refresh = every(precondition_frequency, start=1)
    rule, beta = scale_by_raw_adam(*betas, eps), _rate(shampoo_beta, betas[1])
    basis = in_eigenbasis(rule, beta, max_precond_dim, precondition_1d, refresh)
    return _stepping(basis, lr, weight_decay, normalize_grads, betas if correct_bias else None)


@optimizer
def OneSidedSOAP(
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    normalize_grads: bool = False,
    correct_bias: bool = True,
    sides: str = "smaller",
) -> Chain:
    """SOAP that turns one side of each matrix only, the smaller: less memory and half the products.

        m < n:  g' = Q_Lᵀ g;   p ← p - η Q_L Adam(g')            else  g' = g Q_R;   p ← p - η Adam(g') Q_Rᵀ

    Everything else is as in :class:`SOAP`, of which this is the variant in section 7 of its paper: there it costs a
    little progress per step and saves the larger pair of square matrices, which for an embedding or a feed-forward
    layer is most of them. ``sides`` may also be "left" or "right", for all matrices alike ("both" is SOAP). A square
    matrix has its left side turned. Vectors are left to Adam. Equal to the authors' code (nikhilvyas/SOAP at a1e5535,
    with a ``max_precond_dim`` between the sides) to 2e-8 over 40 steps, its bases being in float32.

    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    """
    refresh = every(precondition_frequency, start=1)
    rule, beta = scale_by_raw_adam(*betas, eps), _rate(shampoo_beta, betas[1])
    basis = in_eigenbasis(rule, beta, max_precond_dim, refresh=refresh, sides=sides)
    return _stepping(basis, lr, weight_decay, normalize_grads, betas if correct_bias else None)


@optimizer
def SOAPLion(
    lr: float = 3e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    shampoo_beta: float = 0.95,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
) -> Chain:
    """Lion in SOAP's basis: signs of a momentum along the eigenvectors of Shampoo's statistics, one buffer only.

        g' = Q_Lᵀ g Q_R;   p ← p - η Q_L sign(β₁m + (1-β₁)g') Q_Rᵀ;   m ← β₂m + (1-β₂)g';   p ← (1-ηλ)p
        L, R, Q_L, Q_R as in :class:`SOAP`, with β = shampoo_beta

    Every step of a matrix has the norm η√(mn), whatever the gradient: lr is on Lion's scale, 3-10 times below
    AdamW's. No paper has it; it is the basis of the one and the rule of the other. Where the eigenvectors are those of
    the coordinates it is Lion (with the decay on the new weights).

    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    Reference: "Symbolic Discovery of Optimization Algorithms", Xiangning Chen et al., 2023,
    https://arxiv.org/abs/2302.06675
    """
    refresh = every(precondition_frequency, start=1)
    basis = in_eigenbasis(scale_by_lion(*betas), shampoo_beta, max_precond_dim, precondition_1d, refresh)
    return _stepping(basis, lr, weight_decay)


@optimizer
def SOAPAdEMAMix(
    lr: float = 3e-3,
    betas: tuple[float, float, float] = (0.95, 0.95, 0.9999),
    alpha: float = 2.0,
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    beta3_warmup: int = 0,
    alpha_warmup: int = 0,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
) -> Chain:
    """AdEMAMix in SOAP's basis: Adam with a second, far slower average of the gradients, turned with the basis.

        g' = Q_Lᵀ g Q_R;   m₁ ← β₁m₁ + (1-β₁)g';   m₂ ← β₃m₂ + (1-β₃)g';   v ← β₂v + (1-β₂)g'²
        p ← p - η Q_L [(m̂₁ + αm₂) / (√v̂ + ε)] Q_Rᵀ;   p ← (1-ηλ)p
        L, R, Q_L, Q_R as in :class:`SOAP`

    A slow average is worth most where it can remember many steps (β₃ 0.999 to 0.9999), which it can only if it is
    carried along with the basis: moments are rotated. α rises from 0 to ``alpha`` in ``alpha_warmup`` steps and β₃'s
    half-life from β₁'s to its own in ``beta3_warmup``; the authors take the whole run for both (0: at once, which with
    large α may diverge early). No paper has it; the basis is SOAP's and the rule AdEMAMix's (with ε outside of the
    root of the debiased v, as there). Three moments and two pairs of square matrices are kept.

    Reference: "The AdEMAMix Optimizer: Better, Faster, Older", Matteo Pagliardini, Pierre Ablin, David Grangier, 2024,
    https://arxiv.org/abs/2409.03137
    Reference: "SOAP: Improving and Stabilizing Shampoo using Adam", Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun,
    Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade, 2024, https://arxiv.org/abs/2409.11321
    """
    beta1, beta2, beta3 = betas
    slow = half_life(beta1, beta3, beta3_warmup) if beta3_warmup else beta3
    share = linear(0.0, alpha, alpha_warmup) if alpha_warmup else alpha
    refresh = every(precondition_frequency, start=1)
    rule = scale_by_ademamix(beta1, beta2, slow, share, eps)
    basis = in_eigenbasis(rule, _rate(shampoo_beta, beta2), max_precond_dim, precondition_1d, refresh)
    return _stepping(basis, lr, weight_decay)
