"""Fira."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.adaptive import debias_adam, scale_by_raw_adam
from ..transforms.decay import decay_new_weights, descend
from ..transforms.residuals_of_subspaces import in_subspace_with_residual
from .adam import AdamW


def _rest() -> dict[str, object]:
    return AdamW.group(lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)


@optimizer(rest=_rest)
def FiraAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    limit: float = 1.01,
    correct_bias: bool = True,
) -> Chain:
    """GaLore, and what its subspace leaves out of the gradient, scaled as Adam scales the rest: a step of full rank.

        every T steps: P ← the r leading left singular vectors of g                     (m < n; else of gᵀ)
        R = Pᵀg;   m ← β₁m + (1-β₁)R;   v ← β₂v + (1-β₂)R²;   ψ = m / (√v + ε)
        S = (g - s PR) φ,   φⱼ = ‖ψ_·ⱼ‖ / ‖R_·ⱼ‖;   ‖S‖ held to γ times what it was one step before
        p ← p - η √(1-β₂ᵗ)/(1-β₁ᵗ) (s Pψ + S);   p ← (1-ηλ)p

    For what GaLore is for, with its memory and one number a matrix more. ``scale`` s is 0.25 in the authors'
    pre-training and 1 in their fine-tuning; at s < 1 a part 1 - s of PR stays in S. They take an lr between 1e-5 and
    1e-2, T = 200 and γ = 1.01. For hidden matrices: given a module, embeddings, heads, norms and biases go to ``rest``
    (AdamW).

    Follows the authors' code; a gradient of zeros at a refresh leaves P as it was. Equal to it (xichen-fy/Fira at
    5c28b13, its float32 widened) to 1e-15 over 40 steps in float64.

    Reference: "Fira: Can We Achieve Full-rank Training of LLMs Under Low-rank Constraint?", Xi Chen, Kaituo Feng,
    Changsheng Li, Xunhao Lai, Xiangyu Yue, Ye Yuan, Guoren Wang, 2024, https://arxiv.org/abs/2410.01623
    """
    if rank < 1 or not limit > 0:
        raise ValueError(f"FiraAdamW: rank is at least 1 and limit positive, got {rank} and {limit}")
    beta1, beta2 = betas
    rule = scale_by_raw_adam(beta1, beta2, eps)
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    subspace = in_subspace_with_residual(rule, rank, scale, limit, every(update_proj_gap, phase=1))
    return chain(subspace, *debiased, descend(lr), *decay)
