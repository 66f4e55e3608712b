"""Dictionaries that explain features and labels at once."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem
from .quadratics import rotation


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


@problem
def sphere_dictionary(
    size: int = 8, samples: int = 2000, power: int = 3, chance: float = 0.3, seed: int = 0
) -> Problem:
    """f(q) = -1/n Σ |⟨yᵢ, q/‖q‖⟩|ᵖ, yᵢ = D xᵢ of an orthogonal D and sparse codes xᵢ, each entry there with that chance
    and then N(0, 1): the best directions are near the columns of D. The minimum of a sample is not known.

    Source: "Complete Dictionary Learning via ell_p-norm Maximization", Yifei Shen, Ye Xue, Jun Zhang, Khaled B.
    Letaief, Vincent Lau, 2020.
    """
    random = torch.Generator().manual_seed(seed)
    there = torch.rand(samples, size, generator=random, dtype=torch.float64) < chance
    y = (there * torch.randn(samples, size, generator=random, dtype=torch.float64)) @ rotation(
        size, seed + 1
    ).mT

    def loss(q: Tensor) -> Tensor:
        return -(y @ q / q.norm()).abs().pow(power).mean()

    return Problem(
        "a dictionary on the sphere", loss, torch.randn(size, generator=random, dtype=torch.float64), radius=0.5,
        symmetries={"the other sign": lambda q: -q, "length": lambda q: 3 * q},
    )  # fmt: skip
