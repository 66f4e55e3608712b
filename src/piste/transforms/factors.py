"""Factors of a matrix of low rank: preconditioned by their own Gram matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from .._transform import transform


@transform(scope="tensor", invariant=("sign",))
def scale_by_factor(g: Tensor, param: Tensor, *, damp: float) -> Tensor:
    """g (XᵀX + λI)⁻¹, X the n × r weights themselves, of which the longer axis is n: for r × n it is (XXᵀ + λI)⁻¹ g.

    Reference: "The Power of Preconditioning in Overparameterized Low-Rank Matrix Sensing", Xingyu Xu, Yandi Shen,
    Yuejie Chi, Cong Ma, 2023, https://arxiv.org/abs/2302.01186
    """
    if g.shape[-2] < g.shape[-1]:
        return torch.linalg.solve(_gram(param.mT, damp), g)
    return torch.linalg.solve(_gram(param, damp), g.mT).mT


def _gram(x: Tensor, damp: float) -> Tensor:
    return x.mT @ x + damp * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
