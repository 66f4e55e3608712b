"""CAME."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.factored import clip_by_rms, scale_by_confidence, scale_by_factored_rms


@optimizer
def CAME(
    lr: float = 2e-4,
    betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
    eps: tuple[float, float] = (1e-30, 1e-16),
    clip_threshold: float = 1.0,
    weight_decay: float = 0.0,
) -> Chain:
    """Adafactor with a momentum that is divided by how far steps stray from it, which costs m + n numbers more.

        u = g / √(rcᵀ / mean r), r and c averages of g² + ε₁ over rows and columns;   u ← u / max(1, RMS(u)/d)
        m ← β₁m + (1-β₁)u;   s = r'c'ᵀ / mean r', r' and c' averages at rate β₃ of (u - m)² + ε₂
        p ← p - η (m / √s + λp)        (a vector: p ← p - η (m + λp))

    Where the second moment of AdamW is too much: of its two buffers only the momentum is left. The authors take 0.5 to
    0.9 times AdamW's lr, its β₁ and β₂, and β₃ above β₂ (0.9995 to 0.99995 for 0.999, 0.99 to 0.999 for 0.95). No
    average is debiased: the first step of a matrix is some 11 lr long, so warm up.

    Equal to the authors' code (yangluo7/CAME at e77c5c0, their only) to 2e-15 over 40 steps in float64 on vectors and
    matrices. Deviation: a convolution is factored as a matrix of filters, there over the last two axes.

    Reference: "CAME: Confidence-guided Adaptive Memory Efficient Optimization", Yang Luo, Xiaozhe Ren, Zangwei Zheng,
    Zhuo Jiang, Xin Jiang, Yang You, 2023, https://arxiv.org/abs/2307.02047
    """
    beta1, beta2, beta3 = betas
    if clip_threshold <= 0:
        raise ValueError(
            f"CAME: clip_threshold bounds the root mean square of a step and is above 0, got {clip_threshold}"
        )
    return chain(
        scale_by_factored_rms(beta2, eps[0]),
        clip_by_rms(clip_threshold),
        scale_by_confidence(beta1, beta3, eps[1]),
        decay_weights(weight_decay),
        descend(lr),
    )
