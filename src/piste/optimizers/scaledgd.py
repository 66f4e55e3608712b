"""ScaledGD(λ)."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import descend
from ..transforms.factors import scale_by_factor


@optimizer
def ScaledGD(lr: float = 0.3, damp: float = 1e-2) -> Chain:
    """Gradient descent on the factor of a low-rank matrix, at a rate that its condition number does not slow.

        X ← X - η ∇f(X) (XᵀX + λI)⁻¹,   for f of XXᵀ, X n × r, of which the longer axis is n

    For matrix sensing, completion and factorization with more columns than the true rank, from a small random start
    (the theory: λ = ``damp`` about σ²_min / 100 of the true factor, any η up to a constant). Every matrix is its own
    factor, a vector one of a single column: of UVᵀ with two factors the methods of Tong et al. precondition each by the
    *other* one's Gram matrix. Not for networks in general.

    Reference: "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing", Xingyu Xu, Yandi Shen,
    Yuejie Chi, Cong Ma, 2023, https://arxiv.org/abs/2302.01186
    """
    return chain(scale_by_factor(damp), descend(lr))
