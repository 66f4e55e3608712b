"""Means weighted by how sure each model is of each number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import sums
from ._method import Tensors, method


@method(elementwise=True, norms=sums.statistic_norms)
def fisher(
    tensors: Tensors, statistics: Tensors, weights: Sequence[float], *, floor: float = 1e-6,
    by_length: bool = True, norms: Sequence[float] | None = None,
) -> Tensor:  # fmt: skip
    """θ = Σ w_i F_i θ_i / Σ w_i F_i, entry by entry: F_i the diagonal of the Fisher matrix of model i.

    It maximises the product of the Gaussians that approximate each model's posterior. ``statistics`` come from
    :func:`piste.merging.fisher_diagonal`. ``by_length``: w_i is divided by ‖F_i‖ over all of model i, the authors'
    default. F_i below ``floor`` counts as that much: where none knows anything it is the weighted mean. (The authors'
    floor holds for the first model alone, which then decides there.)

    Reference: "Merging Models with Fisher-Weighted Averaging", Michael S. Matena, Colin Raffel, 2021,
    https://arxiv.org/abs/2111.09832
    """
    top, low = torch.zeros_like(tensors[0]), torch.zeros_like(tensors[0])
    for i, (t, f, w) in enumerate(zip(tensors, statistics, weights, strict=True)):
        share = f.clamp(min=floor) * (w / norms[i] if norms is not None else w)
        top += share * t
        low += share
    return top / low


@method(elementwise=True)
def gradient_matching(
    tensors: Tensors, base: Tensor, statistics: Tensors, base_statistics: Tensor, weights: Sequence[float], *,
    prior: float = 1e-6, scale: float = 1.0,
) -> Tensor:  # fmt: skip
    """Task arithmetic that takes back the gradient which the other models' moves would cause.

        θ = θ₀ + λ H̄⁻¹ Σ w_i (H₀ + H_i + δ)(θ_i - θ₀),    H̄ = H₀ + δ + λ Σ w_i H_i

    H_i is the diagonal of the Hessian (or Fisher matrix) at θ_i, H₀ at the base and δ the ``prior``'s precision. For
    quadratic losses, each fine-tuned with the prior of the base, it is the exact joint minimiser at λ = w_i = 1. With
    all H_i zero it is task arithmetic, with H₀ and δ zero Fisher averaging.

    Reference: "Model Merging by Uncertainty-Based Gradient Matching", Nico Daheim, Thomas Möllenhoff, Edoardo Maria
    Ponti, Iryna Gurevych, Mohammad Emtiyaz Khan, 2023, https://arxiv.org/abs/2310.12808
    """
    before = base_statistics + prior
    top, low = torch.zeros_like(base), before.clone()
    for t, h, w in zip(tensors, statistics, weights, strict=True):
        top += w * (before + h) * (t - base)
        low += scale * w * h
    return base + scale * top / low
