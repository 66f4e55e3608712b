"""Subset-Norm step sizes and Subspace-Momentum."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.adaptive import debias_adam
from ..transforms.decay import decay_new_weights, descend
from ..transforms.momentum import ema
from ..transforms.subset_norm import add_up_subsets, average_subsets, divide
from ..transforms.subspace_momentum import subspace_momentum
from .adam import AdamW

Betas = tuple[float, float]


def _rest() -> dict[str, object]:
    """What is no hidden matrix has Adam, at a rate of Adam's size."""
    return AdamW.group(lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)


@optimizer(rest=_rest)
def AdamSN(
    lr: float = 1e-2,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    correct_bias: bool = True,
) -> Chain:
    """Adam with one step size for every row or column of a matrix, from the norm of the gradient over it.

        m ← β₁m + (1-β₁)g;   v_i ← β₂v_i + (1-β₂) ‖g_i‖²,  g_i the rows of g (m ≥ n; else its columns)
        p ← p - η √(1-β₂ᵗ)/(1-β₁ᵗ) m / (√v + ε);   p ← (1-ηλ)p

    For training all weights where AdamW's state does not fit: of the second moment of an m × n matrix max(m, n) numbers
    are left. Norms are sums, so steps are √min(m, n) times smaller than Adam's: the authors
    take ten times its lr (5e-2 for 60M weights) and clip gradients at 1. ``betas=(0, β₂)`` keeps no momentum, their
    RMSPropSN. For hidden matrices: given a module, the others go to ``rest`` (AdamW).

    Follows the authors' code: equal to it (timmytonga/sn-sm at a4c1a4a, GenericOptim with the "heuristics" subsets) to
    2e-15 over 40 steps in float64. Subsets of a given size that cut through rows are not here. Deviation: what is no
    hidden matrix has Adam at a rate of its own, and there that of the matrices; a vector has Adam.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    beta1, beta2 = betas
    over = chain(ema(beta1)) if beta1 else chain()
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    return chain(divide(over, average_subsets(beta2, eps)), *debiased, descend(lr), *decay)


@optimizer(rest=_rest)
def AdamSNSM(
    lr: float = 1e-2,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    rank: int = 128,
    update_proj_gap: int = 200,
    correct_bias: bool = True,
) -> Chain:
    """AdamSN whose momentum lives in the span of a gradient's leading singular vectors, with plain descent beside it.

        every T steps: P ← the r leading left singular vectors of g (m < n; else of gᵀ), m ← 0
        m ← β₁m + (1-β₁) Pᵀg;   u = Pm + (g - PPᵀg);   v as AdamSN's
        p ← p - η √(1-β₂ᵗ)/(1-β₁ᵗ) u / (√v + ε);   p ← (1-ηλ)p

    For training all weights in the least memory: an m × n matrix keeps r(m + n) + max(m, n) numbers where AdamW keeps
    2mn, and unlike GaLore it moves in every direction at every step. The authors' rank is a quarter of the width (128
    for 60M weights) or less, T = 200 (100 with 60M), lr as AdamSN's. A rank above the shorter side is that side.

    Follows the authors' code, the standard projection (svd): equal to it (timmytonga/sn-sm at a4c1a4a) to 2e-15 over
    40 steps in float64 while the subspace stands. Deviations: there it turns at steps 1, T, 2T, …, here at 1, 1 + T, …;
    at a turn that code uses the old momentum in the new subspace once more, and the turn's own gradient is lost to the
    next one; here it starts anew with that gradient (with both changed in that code, equal over turns, too). The rest
    as AdamSN's.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    beta1, beta2 = betas
    if rank < 1:
        raise ValueError(f"AdamSNSM: rank must be at least 1, got {rank}")
    over = subspace_momentum(beta1, rank, every(update_proj_gap, phase=1))
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    return chain(divide(over, average_subsets(beta2, eps)), *debiased, descend(lr), *decay)


@optimizer(rest=_rest)
def AdaGradSN(
    lr: float = 1.0,
    momentum: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
) -> Chain:
    """AdaGrad with one sum for every row or column of a matrix: between AdaGrad and AdaGrad-Norm.

        m ← μm + (1-μ)g;   s_i ← s_i + ‖g_i‖²,  g_i the rows of g (m ≥ n; else its columns)
        p ← p - η m / (√s + ε);   p ← (1-ηλ)p

    The method of the paper's theorem (with ``momentum=0``), whose state is of the order of √d for d weights in square
    matrices. The rate dies out as AdaGrad's does; the authors take lr = 1 where Adam's is 5e-3.

    Follows the authors' code, to which it is equal (timmytonga/sn-sm at a4c1a4a, GenericOptim with β₂ = 1) to 2e-15
    over 40 steps in float64. The rest as AdamSN's, and AdamW has it.

    Reference: "Efficient Adaptive Optimization via Subset-Norm and Subspace-Momentum: Fast, Memory-Reduced Training
    with Convergence Guarantees", Thien Hang Nguyen, Huy Le Nguyen, 2024, https://arxiv.org/abs/2411.07120
    """
    over = chain(ema(momentum)) if momentum else chain()
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    return chain(divide(over, add_up_subsets(eps)), descend(lr), *decay)
