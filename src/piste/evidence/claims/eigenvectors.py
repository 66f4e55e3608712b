"""The eigenvectors of a graph as the solution of a game between them and their multipliers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problems.graphs import path_laplacian

LAPLACIAN = "Proper Laplacian Representation Learning"
Mask = Callable[[int], Tensor]


def ordered(count: int) -> Tensor:
    """Which products of vectors are constrained: of each with itself and those before, which do not answer."""
    return torch.ones(count, count, dtype=torch.float64).tril()


def all_pairs(count: int) -> Tensor:
    """Wrong: each with all others."""
    return torch.ones(count, count, dtype=torch.float64)


def lengths_only(count: int) -> Tensor:
    """Wrong: each with itself."""
    return torch.eye(count, dtype=torch.float64)


def field(
    lap: Tensor, u: Tensor, beta: Tensor, barrier: Tensor | float, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Descent of Σⱼ ⟨uⱼ, Luⱼ⟩ + Σ βⱼₖ cⱼₖ + b Σ cⱼₖ² in the vectors (columns of u), where cⱼₖ = ⟨uⱼ, uₖ⟩ - δⱼₖ for the
    pairs of the mask and uₖ counts as a constant, and ascent in the multipliers."""
    c = (u.mT @ u - torch.eye(u.shape[-1], dtype=u.dtype)) * mask
    return -(2 * lap @ u + u @ (beta * mask + 2 * barrier * c).mT), c


@claim(
    "augmented Lagrangian of eigenvectors", LAPLACIAN, kind="theorem", predicts=equal(0.0), tolerance=0.0,
    wrong=all_pairs, subject=ordered, seeds=2,
)  # fmt: skip
def only_the_sorted_eigenvectors_are_stable(method: Mask, seed: int) -> float:
    """All tuples of eigenvectors are equilibria of the augmented Lagrangian dynamics, and for a barrier that is large
    enough only the first ones in their order are stable, without rotations of them.

    How many of the 60 ordered triples of 5 eigenvectors of a path with random weights contradict that: the triple is
    stable if all eigenvalues of the linearized dynamics (where multipliers without a use decay) have real parts below
    -1e-9. The barrier is twice the largest eigenvalue.
    """
    lap, mask = path_laplacian(5, seed), method(3)
    values, vectors = torch.linalg.eigh(lap)
    barrier = 2 * float(values[-1])

    def flow(x: Tensor) -> Tensor:
        u, beta = x[:15].view(5, 3), x[15:].view(3, 3)
        du, dbeta = field(lap, u, beta, barrier, mask)
        return torch.cat([du.flatten(), (dbeta - (1 - mask) * beta).flatten()])

    wrong = 0
    for chosen in itertools.permutations(range(5), 3):
        point = torch.cat(
            [vectors[:, list(chosen)].flatten(), torch.diag(-2 * values[list(chosen)]).flatten()]
        )
        assert float(flow(point).abs().max()) < 1e-9
        turning = torch.linalg.eigvals(torch.func.jacfwd(flow)(point)).real.max()
        wrong += bool(turning < -1e-9) != (chosen == (0, 1, 2))
    return float(wrong)


def reached(
    mask: Tensor, lap: Tensor, barrier: Tensor | float, seed: int, steps: int, rate: float, dual_rate: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Vectors and multipliers after so many steps from 16 random starts."""
    random = torch.Generator().manual_seed(seed)
    u = (
        torch.randn(16, lap.shape[0], mask.shape[0], generator=random, dtype=torch.float64)
        / lap.shape[0] ** 0.5
    )
    beta = torch.zeros(16, *mask.shape, dtype=torch.float64)
    for _ in range(steps):
        du, dbeta = field(lap, u, beta, barrier, mask)
        u, beta = u + rate * du, beta + dual_rate * dbeta
    return u, beta


@claim(
    "augmented Lagrangian of eigenvectors", LAPLACIAN, kind="empirical", predicts=at_most(0.01), tolerance=0.0,
    wrong=lengths_only, subject=ordered, seeds=4,
    scale="paths of 6 nodes with random weights, 3 vectors, 16 starts, 1500 steps, barriers of 2, 4 and 8",
)  # fmt: skip
def descent_finds_the_eigenvectors_and_eigenvalues_in_order(method: Mask, seed: int) -> float:
    """Gradient descent on the vectors and ascent on the multipliers finds the eigenvectors of the smallest eigenvalues
    in their order, not turned, and the eigenvalues as -½ of the multipliers, whatever the barrier's weight.

    The largest error over starts and barriers: of the distance of a vector from the eigenvector (of either sign), or of
    an eigenvalue.
    """
    lap = path_laplacian(6, seed)
    values, vectors = torch.linalg.eigh(lap)
    barriers = torch.tensor([2.0, 4.0, 8.0], dtype=torch.float64).view(3, 1, 1, 1)
    u, beta = reached(method(3), lap, barriers, seed, 1500, 0.02, 0.1)
    away = torch.minimum((u - vectors[:, :3]).norm(dim=-2), (u + vectors[:, :3]).norm(dim=-2))
    off = (beta.diagonal(dim1=-2, dim2=-1) / -2 - values[:3]).abs()
    return float(torch.maximum(away, off).nan_to_num(math.inf).max())


@claim(
    "augmented Lagrangian of eigenvectors", LAPLACIAN, kind="empirical", predicts=at_least(0.1), tolerance=0.0,
    wrong=lengths_only, subject=all_pairs, seeds=4,
    scale="paths of 6 nodes with random weights, 3 vectors, 16 starts, 1500 steps, a barrier of 4, no multipliers",
)  # fmt: skip
def without_an_order_the_eigenvectors_come_out_turned(method: Mask, seed: int) -> float:
    """The former objective, a penalty on the products of all pairs of vectors, is minimal for arbitrary rotations of
    the eigenvectors: it finds their span and not them.

    The mean distance of the vectors, at length 1, from the eigenvectors, if their span is right to 0.1 (the sine of the
    widest angle); 0 if it is not.
    """
    lap = path_laplacian(6, seed)
    _, vectors = torch.linalg.eigh(lap)
    u, _ = reached(method(3), lap, 4.0, seed, 1500, 0.02, 0.0)
    frame = torch.linalg.qr(u).Q
    outside = torch.linalg.matrix_norm(vectors[:, 3:].mT @ frame, 2)
    u = u / u.norm(dim=1, keepdim=True)
    away = torch.minimum((u - vectors[:, :3]).norm(dim=1), (u + vectors[:, :3]).norm(dim=1))
    return float(away.mean()) if float(outside.max()) < 0.1 else 0.0
