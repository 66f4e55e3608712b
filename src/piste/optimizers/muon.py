"""Muon."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.spectral import orthogonalize, spectral_scale
from .adam import AdamW


def _rest() -> dict[str, object]:
    """What its authors give to everything that is not a hidden matrix."""
    return AdamW.group(lr=3e-4, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)


@optimizer(rest=_rest)
def Muon(
    lr: float = 0.02,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    weight_decay: float = 0.0,
) -> Chain:
    """Momentum, orthogonalized: every hidden matrix moves by the same amount in every singular direction.

        m ← μm + (1-μ)g;   u = (1-μ)g + μm   (Nesterov)
        p ← p - η (√max(1, m/n) · UVᵀ + λp),   u = USVᵀ

    For hidden matrices only: given a module, embeddings, heads, norms and biases go to ``rest`` (AdamW with its
    authors' lr 3e-4, betas (0.9, 0.95)). lr 0.02 is the authors' default for their scale.

    Equal to Keller Jordan's code. ``torch.optim.Muon`` differs: its default scale is √max(1, m/n) as well, but its
    momentum and weight decay defaults are not the authors'; Moonshot's 0.2 √max(m, n) is the transform ``match_rms``.

    Reference: "Muon: An optimizer for hidden layers in neural networks", Keller Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon/
    """
    return chain(
        ema(momentum, nesterov),
        orthogonalize(ns_steps),
        spectral_scale(),
        decay_weights(weight_decay),
        descend(lr),
    )
