"""Factors of a matrix of low rank: preconditioned by their own Gram matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from .._transform import transform


@transform(scope="tensor", invariant=("sign",))
def scale_by_factor(g: Tensor, param: Tensor, *, damp: float) -> Tensor:
    """g (XᵀX + λI)⁻¹, X the n × r weights themselves.

    Reference: "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing", Xingyu Xu, Yandi Shen,
    Yuejie Chi, Cong Ma, 2023, https://arxiv.org/abs/2302.01186
    """
    x, (m, n) = param, g.shape[-2:]
    eye = torch.eye(min(m, n), dtype=g.dtype, device=g.device)
    if n <= m:
        return torch.linalg.solve(x.mT @ x + damp * eye, g.mT).mT
    inner = torch.linalg.solve(x @ x.mT + damp * eye, x)  # the same by Woodbury's identity
    return (g - (g @ x.mT) @ inner) / damp
