"""Windows of compressed gradients with error feedback: Sparse M-FAC, Sparse GGT, low-rank M-FAC."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.compressed import scale_by_low_rank_mfac, scale_by_sparse_ggt, scale_by_sparse_mfac
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import trace


@optimizer
def SparseMFAC(
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    damp: float = 1e-3,
    density: float = 0.01,
) -> Chain:
    """M-FAC whose window holds the largest entries of each gradient only; the others wait for the next one.

        a = g + ξ;  c = the largest ρ of a's entries;  ξ ← a - c
        v ← μv + (λI + CᵀC / m)⁻¹ c,  C the last m of the c;   p ← p - ηv

    The window takes 8 bytes for each kept entry (6 with ``storage={"values": "bf16"}``) where M-FAC's takes 4 for every
    weight: 50 (67) times less at ρ = ``density`` = 1 %, the authors' choice. Beside it ξ is one copy of the weights,
    and every tensor keeps the m × m products in float64. On ``ngrads`` and ``damp`` see MFAC. Only the weights that
    some row of the window has kept move. In float32 on a GPU two runs may differ in the last digit (the rows are added
    up in any order).

    The authors choose the largest entries of the whole model, taken as one vector; here, as layers are there when they
    spread it over devices, of each tensor, which has a window of its own: so that a sharded tensor needs no other.
    Decay is decoupled (theirs multiplies the weights by 1 - λ whatever lr). Equal to their code
    (IST-DASLab/EFCP at a33a3a5, its float32 replaced by float64) on one matrix to 4e-16 over 40 steps.

    Reference: "Error Feedback Can Accurately Compress Preconditioners", Ionut-Vlad Modoranu, Aleksei Kalinov,
    Eldar Kurtic, Elias Frantar, Dan Alistarh, 2024, https://arxiv.org/abs/2306.06098
    """
    average = [trace(momentum)] if momentum else []
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(scale_by_sparse_mfac(ngrads, damp, density), *average, *decay, descend(lr))


@optimizer
def SparseGGT(
    lr: float = 1e-3,
    eps: float = 1e-2,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    density: float = 0.01,
) -> Chain:
    """GGT whose window holds the largest entries of each gradient only; the others wait for the next one.

        g ← g + λp;  a = g + ξ;  c = the largest ρ of a's entries;  ξ ← a - c
        p ← p - η [(CᵀC)^½ + εI]⁻¹ c,  C the last r = ``ngrads`` of the c

    Memory, and the choice by tensor, as SparseMFAC's. Without momentum and without decay of older gradients, as in the
    authors' code (IST-DASLab/EFCP at a33a3a5, in float64), to which it is equal on one matrix to 8e-9 over 40 steps:
    theirs adds 1e-6 to the squares of the singular values.

    Reference: "Error Feedback Can Accurately Compress Preconditioners", Ionut-Vlad Modoranu, Aleksei Kalinov,
    Eldar Kurtic, Elias Frantar, Dan Alistarh, 2024, https://arxiv.org/abs/2306.06098
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, scale_by_sparse_ggt(ngrads, eps, density), descend(lr))


@optimizer
def LowRankMFAC(
    lr: float = 1e-3,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    ngrads: int = 32,
    damp: float = 1e-3,
    rank: int = 4,
) -> Chain:
    """M-FAC whose window holds each gradient matrix as a product of two thin ones; what they miss waits for the next.

        a = g + ξ;  P = orth(aQ);  Q ← aᵀP  (one power iteration from the last Q);  c = PQᵀ;  ξ ← a - c
        v ← μv + (λI + CᵀC / m)⁻¹ c,  C the last m of the c;   p ← p - ηv

    A row of the window takes ``rank`` (m + n) numbers for an m × n matrix, and a vector is kept whole. Every tensor has
    a window of its own. Q starts from a fixed combination of a's rows where the authors draw it at random; from the
    same Q equal to their code (IST-DASLab/EFCP at a33a3a5, in float64) to 8e-8 over 40 steps, which is its 1e-8 beside
    the lengths of columns. Their momentum has the factor 1 - μ before the new term, here it is 1 as in SparseMFAC.

    Reference: "Error Feedback Can Accurately Compress Preconditioners", Ionut-Vlad Modoranu, Aleksei Kalinov,
    Eldar Kurtic, Elias Frantar, Dan Alistarh, 2024, https://arxiv.org/abs/2306.06098
    """
    average = [trace(momentum)] if momentum else []
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(scale_by_low_rank_mfac(ngrads, damp, rank), *average, *decay, descend(lr))
