"""Sums of what models learned, after leaving most of it out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import sums
from ._method import Tensors, method
from .linear import mixed


def elected(moves: Tensors, weights: Sequence[float]) -> Tensor:
    """Where the sum of the weighted moves points, the mean of those that point there too: Σ w δ / Σ w over them."""
    shared = mixed(moves, weights)
    total, count = torch.zeros_like(shared), torch.zeros_like(shared)
    up = shared >= 0
    for move, w in zip(moves, weights, strict=True):
        agrees = torch.where(up, move * w > 0, move * w < 0)
        total += torch.where(agrees, move * w, 0.0)
        count += agrees.to(count) * w
    return total / torch.where(count == 0, torch.ones_like(count), count)


def largest(move: Tensor, threshold: float) -> Tensor:
    """The entries whose magnitude reaches the ``threshold``, and those that are no numbers."""
    return torch.where(move.abs() < threshold, 0.0, move)


@method(elementwise=True, thresholds=sums.largest_moves)
def ties(
    tensors: Tensors, base: Tensor, weights: Sequence[float], thresholds: Sequence[float], *, density: float = 0.2,
    scale: float = 1.0, over: str = "tensor",
) -> Tensor:  # fmt: skip
    """Trim, elect a sign, and merge what agrees with it.

        δ_i = the largest of θ_i - θ₀, a share ``density``;   γ = sign Σ w_i δ_i
        θ = θ₀ + λ (Σ w_i δ_i / Σ w_i over the i whose δ_i has the sign γ)

    ``over``: "tensor" trims each tensor for itself, as merging tools do; "model" all of a model at once, as the authors
    do. Entries as large as the last of that share are kept, too. Where the sum is 0 the sign is taken for positive (the
    authors': for that of most entries).

    Reference: "TIES-Merging: Resolving Interference When Merging Models", Prateek Yadav, Derek Tam, Leshem Choshen,
    Colin Raffel, Mohit Bansal, 2023, https://arxiv.org/abs/2306.01708
    """
    moves = [largest(t - base, least) for t, least in zip(tensors, thresholds, strict=True)]
    return base + scale * elected(moves, weights)


def dropped(move: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Each entry is kept with this probability, and what is kept made larger in return."""
    kept = torch.rand(move.shape, generator=generator, dtype=torch.float32) < density
    return torch.where(kept, move / density, 0.0)


@method()
def dare(
    tensors: Tensors, base: Tensor, weights: Sequence[float], generator: torch.Generator, *,
    density: float = 0.1, scale: float = 1.0, elect: bool = False,
) -> Tensor:  # fmt: skip
    """Drop most of what was learned at random and rescale the rest, then add it up.

        δ_i = m_i (θ_i - θ₀) / p,  m_i ~ Bernoulli(p = density);    θ = θ₀ + λ Σ w_i δ_i

    ``elect`` merges as :func:`ties` does in place of the sum. The draws of a tensor depend on the seed and on its name
    alone.

    Reference: "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch", Le Yu,
    Bowen Yu, Haiyang Yu, Fei Huang, Yongbin Li, 2023, https://arxiv.org/abs/2311.03099
    """
    moves = [dropped(t - base, density, generator) for t in tensors]
    return base + scale * (elected(moves, weights) if elect else mixed(moves, weights))
