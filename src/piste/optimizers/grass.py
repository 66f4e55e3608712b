"""Grass."""

from __future__ import annotations

import math

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.adaptive import scale_by_adam
from ..transforms.decay import decay_weights, descend
from ..transforms.subspaces_of_rows import in_drawn_rows, in_top_rows, in_weighted_rows, since
from .adam import AdamW


def _rest() -> dict[str, object]:
    return AdamW.group(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)


@optimizer(rest=_rest)
def GrassAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 0.25,
    power: float = math.inf,
    replacement: bool = False,
) -> Chain:
    """AdamW on a few rows of every matrix, others each K steps: GaLore with a projection that is sparse.

        every K steps: P ← columns eᵢ for r rows i of g (m < n; else of gᵀ);  m, v ← 0
        g' = Pᵀg;   m ← β₁m + (1-β₁)g';   v ← β₂v + (1-β₂)g'²;   p ← p - η (s P [m̂ / (√v̂ + ε)] + λp)

    The rows are those of the largest norms (``power`` = inf), or drawn with chances ∝ ‖gᵢ‖^power: 1 and 2 are the
    paper's Multinomial-Norm and -Norm², 0 is uniform. With ``replacement`` rows are weighted with 1/√(r qᵢ), so that
    PPᵀg is g in expectation.

    For training all weights where AdamW's state does not fit: an m × n matrix (m < n) keeps 2rn numbers and r indices
    in place of 2mn, and projecting is a gather where GaLore has products and singular vectors. For hidden matrices:
    given a module, embeddings, heads, norms and biases go to ``rest`` (AdamW).

    The authors' code is not public (their repository holds a readme). The equations of P are read in a third party's
    summary of the paper, and that moments begin anew with each P; that their bias correction does, too, and the
    defaults, which are GaLore's, are choices made here. Only the optimizer's state is saved here, not the gradients of
    the rows that rest.

    Reference: "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse Gradients", Aashiq Muhamed,
    Oscar Li, David Woodruff, Mona Diab, Virginia Smith, 2024, https://arxiv.org/abs/2406.17660
    """
    if rank < 1 or update_proj_gap < 1:
        raise ValueError(
            f"GrassAdamW: rank and update_proj_gap are counts of at least 1, got {rank}, {update_proj_gap}"
        )
    if not power >= 0 or (replacement and math.isinf(power)):
        raise ValueError(
            f"GrassAdamW: power is at least 0, and finite where rows are drawn with replacement; got {power}, "
            f"replacement={replacement}: take power=1.0"
        )
    rule, renew, age = scale_by_adam(*betas, eps), every(update_proj_gap, phase=1), since(update_proj_gap)
    if math.isinf(power):
        rows = in_top_rows(rule, rank, scale, renew, age)
    else:
        drawn = in_weighted_rows if replacement else in_drawn_rows
        rows = drawn(rule, rank, scale, power, renew, age)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(rows, *decay, descend(lr))
