"""OPT-AMSGrad."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.optimistic import extrapolate_gradients, scale_by_optimistic_amsgrad


@optimizer
def OptimisticAMSGrad(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    span: int = 5,
    damp: float = 1e-3,
) -> Chain:
    """AMSGrad that guesses the next gradient, takes half a step against it, and scales by how wrong it was.

        g ← g + λp;   θ' = β₁θ + (1-β₁)g;   v ← β₂v + (1-β₂)(g - m)²;   v̄ ← max(v̄, v)
        m ← Σ cᵢ g_i over the last r = ``span`` gradients;   h' = (β₁θ + (1-β₁)m) / (√v̄ + ε)
        p ← p - η (θ' / (√v̄ + ε) + h' - h);   θ ← θ',  h ← h'

    When: gradients that follow one another (large batches, deterministic problems, games): steps grow as the guess gets
    better. r + 5 copies of the weights are kept; ``span=0`` guesses that the next gradient is this one. The authors use
    lr 1e-3, β = (0.9, 0.99) and r = 5 throughout.

    c is that of regularized minimal polynomial extrapolation (the transform ``extrapolate_gradients``), by tensor.

    Reference: "An Optimistic Acceleration of AMSGrad for Nonconvex Optimization", Jun-Kun Wang, Xiaoyun Li, Belhal
    Karimi, Ping Li, 2021, https://arxiv.org/abs/1903.01435

    The algorithm is from memory, not verified in the paper. A copy of the authors' code agrees with it in θ, v, v̄ and
    h (CodeBreaker444/optimistic-amsgrad-for-optmization-implementation-deeplearning at 7b0f0e6); betas and r are those
    of the authors' notes. That code guesses otherwise: it extrapolates weights and takes a second gradient there, by a
    second network; and it debiases the step. Here past gradients are extrapolated, and nothing is debiased. The half
    step is taken back at the rate of the day, so that a rate of 0 moves nothing (the same where the rate is constant).
    """
    if span == 1:
        raise ValueError(
            "OptimisticAMSGrad: one gradient is no sequence: take span=0 (the last gradient), or 2 or more"
        )
    if not damp > 0:
        raise ValueError(f"OptimisticAMSGrad: damp must be positive, since gradients may repeat; got {damp}")
    guess = chain(extrapolate_gradients(span, damp)) if span else chain()
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, scale_by_optimistic_amsgrad(guess, *betas, eps), descend(lr))
