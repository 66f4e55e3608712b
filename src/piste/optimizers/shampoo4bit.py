"""Shampoo in four bits."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.adaptive import scale_by_adam
from ..transforms.composites import graft
from ..transforms.decay import decay_weights, descend
from ..transforms.eigenshampoo import scale_by_eigen_shampoo
from ..transforms.grafting import in_blocks


@optimizer
def Shampoo4bit(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    stat_compute_steps: int = 100,
    prec_compute_steps: int = 500,
    stat_decay: float = 0.95,
    matrix_eps: float = 1e-6,
    prec_maxorder: int = 1200,
) -> Chain:
    """AdamW on gradients that Shampoo has preconditioned, its matrices in four bits.

        every T₁ steps:   L ← βL + (1-β)ggᵀ, kept as eigenvectors Q (4 bits) and eigenvalues Λ;   R from gᵀg likewise
        every T₂ steps:   L^(-1/4) ← Q (Λ + ε max Λ)^(-1/4) Qᵀ, kept in 4 bits but for its diagonal
        u = L^(-1/4) g R^(-1/4);   u ← ‖g‖/‖u‖ u;   then AdamW with u for the gradient

    Where Shampoo's matrices do not fit: 4.5 bits an entry, scales included, for what takes 32. The eigenvectors are
    rounded (in blocks of 64, linear-square), not the statistics, and made orthogonal again when they are read: a small
    error in the small eigenvalues of a statistic is a large one in its inverse root. The authors take T₁ = 100 and
    T₂ = 500, AdamW's own lr and weight_decay, β = 0.95 and ε = 1e-6. Matrices of fewer than 4096 entries stay in
    32 bits; ``storage={"basis": "fp32", "factor": "fp32"}`` keeps all of them so. For SGD in place of AdamW put
    ``trace(0.9)`` behind ``graft(chain(), scale_by_eigen_shampoo(...))``.

    Equal to the authors' code (Sike-Wang/low-bit-Shampoo at fc46867, in 32 bits) to 2e-15 over 40 steps in float64.
    Differs: an eigenvector matrix is made orthogonal by two of Björck's steps whenever it is read (there one before a
    statistic, four before a root), and a root that follows a statistic in the same step is taken of the eigenvectors
    before they are rounded. The length ‖g‖ is kept block by block (there over the parameter).

    Reference: "4-bit Shampoo for Memory-Efficient Network Training", Sike Wang, Pan Zhou, Jia Li, Hua Huang, 2024,
    https://arxiv.org/abs/2405.18144
    """
    accumulate, refresh = every(stat_compute_steps), every(prec_compute_steps)
    rule = scale_by_eigen_shampoo(stat_decay, matrix_eps, prec_maxorder, accumulate, refresh)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    even = in_blocks(chain(graft(chain(), chain(rule))), prec_maxorder)
    return chain(even, scale_by_adam(*betas, eps), *decay, descend(lr))
