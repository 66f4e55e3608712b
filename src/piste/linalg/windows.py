"""Matrices made of a window of m vectors, through the m × m matrix K = GGᵀ of their products.

`shifted` moves K on as the window does: only the products with what enters are new. `entering` and `away` give the
coefficients of the window's rows that apply an inverse (a damped inverse, an inverse root) without any d × d matrix.
All in float64, which costs nothing at this size; what K lost when its entries were added up in fewer digits (`dtype`)
is not read as curvature.
"""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(k: Tensor, newest: Tensor, entering: Tensor, size: Tensor) -> Tensor:
    """K [..., m, m] when the oldest row leaves.

    ``newest``, ``entering`` [..., m]: the products of all rows with the last one, as it is stored (perhaps in fewer
    bits than when it came), and with the one that enters; ``size`` [...]: the square of that one.
    """
    newest, entering, size = (x.to(k.dtype) for x in (newest, entering, size.unsqueeze(-1)))
    if k.shape[-1] == 1:
        return size.unsqueeze(-1)
    inner = [k[..., 1:-1, 1:-1], newest[..., 1:-1].unsqueeze(-1), entering[..., 1:-1].unsqueeze(-1)]
    edges = newest[..., 1:], entering[..., -1:], entering[..., 1:], size
    edge = [torch.cat(pair, dim=-1).unsqueeze(-2) for pair in (edges[:2], edges[2:])]
    return torch.cat([torch.cat(inner, dim=-1), *edge], dim=-2)


def damped(k: Tensor, damp: float, dtype: torch.dtype) -> Tensor:
    """x [..., m] with (λI + GᵀG / m)⁻¹ g = Gᵀx for the last row g, that is x = m (mλI + K)⁻¹ e_m.

    The identity (λI + GᵀG/m)⁻¹ Gᵀ = Gᵀ (λI + GGᵀ/m)⁻¹ saves the difference of two vectors of size g / λ.
    """
    m = k.shape[-1]
    eye = torch.eye(m, dtype=k.dtype, device=k.device)
    size = k.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    return m * torch.linalg.solve(k + (m * damp + torch.finfo(dtype).eps * size) * eye, eye[-1])


def rooted(k: Tensor, products: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """x [..., m] with [(GᵀG)^½ + εI]⁻¹ v = (v - Gᵀx) / ε, from ``products`` = Gv [..., m].

    With GᵀG = UΣ²Uᵀ, U = GᵀVΣ⁻¹: x = V [Σ (Σ + ε)]⁻¹ Vᵀ G v; directions below the rounding of K count as absent.
    """
    values, vectors = torch.linalg.eigh(k + torch.diag_embed(_apart(k)))
    floor = k.shape[-1] * torch.finfo(dtype).eps * values[..., -1:]
    there = values > floor
    sigma = torch.where(there, values, 1.0).sqrt()
    along = (vectors.mT @ products.to(k.dtype).unsqueeze(-1)).squeeze(-1)
    return (vectors @ torch.where(there, along / (sigma * (sigma + eps)), 0.0).unsqueeze(-1)).squeeze(-1)


def _apart(k: Tensor) -> Tensor:
    """For rows that are still zero, which nothing is made of: eigenvalues of their own, so that those of K have
    derivatives."""
    size = k.diagonal(dim1=-2, dim2=-1)
    most = size.amax(-1, keepdim=True)
    place = torch.linspace(0.5, 0.9, k.shape[-1], dtype=k.dtype, device=k.device)
    return torch.where(size == 0, place * torch.where(most > 0, most, 1.0), 0.0)
