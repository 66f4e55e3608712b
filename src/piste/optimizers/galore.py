"""GaLore."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.adaptive import debias_adam, scale_by_raw_adam
from ..transforms.decay import decay_new_weights, descend
from ..transforms.subspaces import in_subspace
from .adam import AdamW


def _rest() -> dict[str, object]:
    """What its authors give to everything that is not a hidden matrix: the same Adam, unprojected."""
    return AdamW.group(lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)


@optimizer(rest=_rest)
def GaLoreAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 0.25,
    correct_bias: bool = True,
) -> Chain:
    """AdamW in the span of a gradient's leading singular vectors: its state is as small as that span.

        every T steps: P ← the r leading left singular vectors of g                     (m < n; else of gᵀ)
        g' = Pᵀg;   m ← β₁m + (1-β₁)g';   v ← β₂v + (1-β₂)g'²
        p ← p - η s √(1-β₂ᵗ)/(1-β₁ᵗ) P [m / (√v + ε)];   p ← (1-ηλ)p

    For training all weights where AdamW's state does not fit: an m × n matrix (m < n) keeps r(m + 2n) numbers in place
    of 2mn. For hidden matrices: given a module, embeddings, heads, norms and biases go to ``rest`` (AdamW). The authors
    take r = 128 to 1024 (a quarter of the width), T = 200, s = 0.25, and an lr of 0.01, which they say needs little
    tuning since s·lr is what counts.

    Follows the authors' code: the subspace is that of the step's own gradient and used at once; m and v stay as they
    are when it turns; ε is added before the bias correction; the decay acts on the new weights. Of its projections
    the standard one is here (on the shorter side; a square matrix on the right). Differs from it: the singular vectors
    are computed in the arithmetic's dtype (there float32), the rest has torch's AdamW, vectors are never projected, and
    given a module a fused projection is one matrix per part. A gradient of zeros at a refresh leaves P as it was. Equal
    to that code (jiaweizzhao/GaLore at 2cc66f8, its float32 widened) to 2e-14 over 40 steps in float64.

    Reference: "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection", Jiawei Zhao, Zhenyu Zhang,
    Beidi Chen, Zhangyang Wang, Anima Anandkumar, Yuandong Tian, 2024, https://arxiv.org/abs/2403.03507
    """
    beta1, beta2 = betas
    if rank < 1:
        raise ValueError(f"GaLoreAdamW: rank must be at least 1, got {rank}")
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    subspace = in_subspace(scale_by_raw_adam(beta1, beta2, eps), rank, scale, every(update_proj_gap, phase=1))
    return chain(subspace, *debiased, descend(lr), *decay)
