"""Graphs: their Laplacians, and acyclic ones that explain data."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


def acyclic(count: int, size: int, edges: int, random: torch.Generator) -> Tensor:
    """Weighted adjacency matrices of random acyclic graphs: nodes in random order, weights of a random sign and of a
    size from ½ to 2."""
    strength = 0.5 + 1.5 * torch.rand(count, size, size, generator=random, dtype=torch.float64)
    strength = strength * (2.0 * torch.randint(2, (count, size, size), generator=random) - 1)
    chosen = torch.rand(count, size, size, generator=random, dtype=torch.float64).triu(1).flatten(1)
    kept = torch.zeros_like(chosen).scatter(1, chosen.topk(edges, dim=1).indices, 1.0).view_as(strength)
    order = torch.rand(count, size, generator=random).argsort(1)
    rows, columns = order.unsqueeze(2).expand(-1, -1, size), order.unsqueeze(1).expand(-1, size, -1)
    return (strength * kept).gather(1, rows).gather(2, columns)


def moments(weights: Tensor, samples: int, random: torch.Generator) -> Tensor:
    """XᵀX/n of samples x = Wᵀx + e with standard normal e, for a stack of graphs."""
    count, size, _ = weights.shape
    e = torch.randn(count, samples, size, generator=random, dtype=torch.float64)
    x = e @ torch.linalg.inv(torch.eye(size, dtype=torch.float64) - weights)
    return x.mT @ x / samples


def path_laplacian(size: int, seed: int) -> Tensor:
    """Of a path whose edges have random weights from ½ to 3/2: its eigenvalues differ from each other."""
    random = torch.Generator().manual_seed(seed)
    edge = 0.5 + torch.rand(size - 1, generator=random, dtype=torch.float64)
    joined = torch.diag(edge, 1) + torch.diag(edge, -1)
    return torch.diag(joined.sum(1)) - joined


@problem
def acyclic_regression(
    size: int = 5, edges: int = 5, samples: int = 200, seed: int = 0, weight: float = 10.0
) -> Problem:
    """f(W) = ½ tr (I - W)ᵀ Σ (I - W) + weight (tr e^{W∘W} - d): least squares of every variable of a linear acyclic
    model on the others, with the penalty that is 0 for acyclic W only; the diagonal of W is left out.

    The start is 0. At the least, f is not negative.

    Source: "DAGs with NO TEARS: Continuous Optimization for Structure Learning", Xun Zheng, Bryon Aragam, Pradeep
    Ravikumar, Eric P. Xing, 2018.
    """
    random = torch.Generator().manual_seed(seed)
    s = moments(acyclic(1, size, edges, random), samples, random)[0]
    eye = torch.eye(size, dtype=torch.float64)

    def loss(w: Tensor) -> Tensor:
        w = w * (1 - eye)
        fit = 0.5 * ((eye - w) * (s @ (eye - w))).sum()
        return fit + weight * (torch.linalg.matrix_exp(w * w).trace() - size)

    def opposite(w: Tensor) -> Tensor:
        return w + eye

    return Problem("acyclic regression", loss, torch.zeros_like(s), symmetries={"its diagonal": opposite})


@problem
def graph_drawing(size: int = 8, count: int = 3, barrier: float = 10.0, seed: int = 0) -> Problem:
    """f(U) = ½ tr UᵀLU + b/4 ‖UᵀU - I‖², L the Laplacian of a path with random weights: the minimizers are the first
    eigenvectors of L, the k-th of length √(1 - λ_k/b), and what turns them. b must exceed λ_count.

    Source: "Proper Laplacian Representation Learning", Diego Gomez, Michael Bowling, Marlos C. Machado, 2023, which
    adds multipliers and an order so that none but the eigenvectors themselves are solutions.
    """
    lap, random = path_laplacian(size, seed), torch.Generator().manual_seed(seed + 1)
    values, vectors = torch.linalg.eigh(lap)
    first, eye = values[:count], torch.eye(count, dtype=torch.float64)
    if float(first[-1]) >= barrier:
        raise ValueError(f"the barrier {barrier:g} must exceed the eigenvalue {float(first[-1]):g}")
    turn = torch.linalg.qr(torch.randn(count, count, generator=random, dtype=torch.float64))[0]

    def loss(u: Tensor) -> Tensor:
        return 0.5 * (u * (lap @ u)).sum() + barrier / 4 * (u.mT @ u - eye).square().sum()

    return Problem(
        "graph drawing", loss, torch.randn(size, count, generator=random, dtype=torch.float64) / size**0.5,
        float((first / 2 - first.square() / (4 * barrier)).sum()),
        vectors[:, :count] * (1 - first / barrier).sqrt(), symmetries={"turning the vectors": lambda u: u @ turn},
    )  # fmt: skip
