"""Dictionaries that explain features and labels at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


@problem
def lifted_dictionary(
    size: int = 6, rank: int = 2, samples: int = 12, covariates: int = 2, seed: int = 0
) -> Problem:
    """f(a, B, γ) = Σᵢ cross-entropy(yᵢ, σ(aᵢ + γᵀcᵢ)) + ¾ ‖X - B‖² + ½ (‖a‖² + ‖γ‖²): supervised dictionary learning
    with a = βᵀH and B = WH in place of the factors, a matrix (a; B) of the given rank.

    The labels, between 0 and 1, are such that a random matrix of that rank is the minimizer. The covariates are of
    spectral norm 1, so that the Hessian lies between 1 and 3/2.

    Source: "Supervised Dictionary Learning with Auxiliary Covariates", Joowon Lee, Hanbaek Lyu, Weixin Yao, 2022.
    """
    random = torch.Generator().manual_seed(seed)
    left = torch.randn(size + 1, rank, generator=random, dtype=torch.float64)
    right = torch.randn(rank, samples, generator=random, dtype=torch.float64)
    c = torch.randn(covariates, samples, generator=random, dtype=torch.float64)
    c = c / torch.linalg.matrix_norm(c, 2)
    left[0] *= 0.2 / (left[0] @ right).abs().max()
    best, gamma = left @ right, c @ (left[0] @ right)
    labels = torch.sigmoid(best[0] + gamma @ c) + best[0]
    count = (size + 1) * samples

    def loss(x: Tensor) -> Tensor:
        z, g = x[:count].view(size + 1, samples), x[count:]
        score = z[0] + g @ c
        fit = (torch.nn.functional.softplus(score) - labels * score).sum()
        return fit + 0.75 * (best[1:] - z[1:]).square().sum() + 0.5 * (z[0].square().sum() + g.square().sum())

    minimizer = torch.cat([best.flatten(), gamma])
    low_rank = torch.randn(size + 1, rank, generator=random, dtype=torch.float64)
    start = low_rank @ torch.randn(rank, samples, generator=random, dtype=torch.float64)
    return Problem(
        "lifted dictionary", loss, torch.cat([start.flatten(), torch.zeros(covariates, dtype=torch.float64)]),
        float(loss(minimizer)), minimizer, 1.5, 1.0, 1.0,
        shapes={"matrix": (size + 1, samples), "weights": (covariates,)},
    )  # fmt: skip
