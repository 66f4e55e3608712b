"""LAMB."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import scale_by_adam
from ..transforms.decay import decay_weights, descend
from ..transforms.layerwise import scale_by_trust_ratio


@optimizer
def LAMB(
    lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6, weight_decay: float = 1e-2
) -> Chain:
    """AdamW whose every tensor moves by the same share of its own norm: for very large batches.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²
        u = m̂ / (√v̂ + ε) + λp
        p ← p - η ‖p‖/‖u‖ u               (ratio 1 where either norm is 0)

    For batches of tens of thousands; at usual ones AdamW does as well. The authors scale lr with the root of the
    batch size and warm up over a share of the run that grows with it; they leave norms and biases unscaled and
    undecayed: give those a group of AdamW (``piste.AdamW.group(params, weight_decay=0.0)``).

    φ is the identity, as in the authors' experiments; the moments are debiased, as in algorithm 2 of the paper.

    Reference: "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", Yang You, Jing Li,
    Sashank Reddi, Jonathan Hseu, Sanjiv Kumar, Srinadh Bhojanapalli, Xiaodan Song, James Demmel, Kurt Keutzer,
    Cho-Jui Hsieh, 2020, https://arxiv.org/abs/1904.00962
    """
    return chain(scale_by_adam(*betas, eps), decay_weights(weight_decay), scale_by_trust_ratio(), descend(lr))
