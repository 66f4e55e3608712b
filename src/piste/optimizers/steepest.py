"""Steepest descent in the norms of the anthology."""

from __future__ import annotations

from typing import Any

from .._define import optimizer
from .._transform import Chain, Part, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.norms import normalize_rows, scale_by_dual_norm, take_sign
from ..transforms.spectral import orthogonalize, rms_to_rms


def _steepest(lr: float, weight_decay: float, *lmo: Part) -> Chain:
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(scale_by_dual_norm(chain(*lmo)), *decay, descend(lr))


@optimizer
def SignDescent(lr: float = 1e-3, weight_decay: float = 0.0) -> Chain:
    """Steepest descent where a step is as long as its largest entry: Adam's direction with its averages off.

        p ← p - η(‖g‖₁ sign g + λp)

    1/η is the smoothness of the loss in that norm. For use as an optimizer see Adam or Lion, whose steps do not shrink
    with the gradient.

    Reference: "Old Optimizer, New Norm: An Anthology", Jeremy Bernstein, Laker Newhouse, 2024,
    https://arxiv.org/abs/2409.20325
    """
    return _steepest(lr, weight_decay, take_sign())


@optimizer
def RowDescent(lr: float = 0.1, weight_decay: float = 0.0) -> Chain:
    """Steepest descent for a table whose rows are looked up: a step is as long as the RMS of its longest row.

        pᵢ ← pᵢ - η(D √n gᵢ/‖gᵢ‖ + λpᵢ),   D = √n Σ ‖gᵢ‖

    The operator norm from ℓ1 to RMS, which the paper gives to embeddings.

    Reference: "Old Optimizer, New Norm: An Anthology", Jeremy Bernstein, Laker Newhouse, 2024,
    https://arxiv.org/abs/2409.20325
    """
    return _steepest(lr, weight_decay, normalize_rows())


def _rest() -> dict[str, Any]:
    rows = RowDescent.group()
    return {"embedding": rows, "position": rows, "*": SignDescent.group()}


@optimizer(rest=_rest)
def SpectralDescent(lr: float = 0.1, weight_decay: float = 0.0, ns_steps: int = 5) -> Chain:
    """Steepest descent in the operator norm between RMS norms: Shampoo's direction with its sums off.

        p ← p - η(D √(m/n) UVᵀ + λp),   g = USVᵀ,   D = √(m/n) tr S

    The step minimises ⟨g, d⟩ + ‖d‖²/2η for the norm that a layer of n inputs and m outputs has by what it does to
    vectors of RMS 1. Embeddings go to :class:`RowDescent`, the rest to :class:`SignDescent`, each in a norm of its own:
    that every tensor's norm should fit its role is the paper's proposal. Muon and :class:`Scion` leave D out, so that
    their steps have one length.

    Reference: "Old Optimizer, New Norm: An Anthology", Jeremy Bernstein, Laker Newhouse, 2024,
    https://arxiv.org/abs/2409.20325

    The dual norm is ⟨g, d⟩, which is tr S to the accuracy of ``orthogonalize``.
    """
    return _steepest(lr, weight_decay, orthogonalize(ns_steps), rms_to_rms())
