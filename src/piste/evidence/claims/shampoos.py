"""Shampoo's relatives: in blocks, grafted, and the Kronecker product that they approximate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...linalg.roots import inverse_root_newton
from ..claim import at_least, at_most, claim, equal
from .identities import farthest, noise, walk
from .matrices import matrix
from .wrong import instead, told

DISTRIBUTED = (
    "A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer for Training Neural "
    "Networks At-Scale"
)
SCALABLE = "Scalable Second Order Optimization for Deep Learning"
PERSPECTIVE = "A New Perspective on Shampoo's Preconditioner"


def hidden(method: Any) -> Any:
    """A method of matrices that takes parameters without names, as hidden ones."""

    def make(params: Any, **hyper: Any) -> Any:
        named = [(f"h.{i}.weight", p) for i, p in enumerate(params)]
        return method([{"params": named, "optimizer": method.__name__}], **hyper)

    return make


@claim(
    "DistributedShampoo",
    DISTRIBUTED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("DistributedShampoo", max_preconditioner_dim=64),
    seeds=2,
)
def blocks_of_a_matrix_are_matrices_of_their_own(method: Any, seed: int) -> float:
    """With blocks of at most b rows and columns each block is preconditioned, and grafted, as if it were alone.

    The largest difference over 20 steps of a 12 × 10 matrix in blocks of 6 from runs on its four blocks.
    """
    hyper: dict[str, Any] = dict(
        lr=0.1, betas=(0.9, 0.99), epsilon=1e-6, max_preconditioner_dim=6, merge_dims=False, grafting="adam",
        weight_decay=0.1,
    )  # fmt: skip
    draw, start = noise(seed, 12, 10), matrix(seed, 12, 10)
    whole = walk(method, start, draw, 20, **hyper)
    worst = 0.0
    for rows in (slice(0, 6), slice(6, 12)):
        for columns in (slice(0, 6), slice(6, 10)):
            cell = rows, columns
            alone = walk(method, start[cell], lambda t, w, cell=cell: draw(t, w)[cell], 20, **hyper)
            worst = max(worst, farthest([x[cell] for x in whole], alone))
    return worst


@claim(
    "DistributedShampoo",
    DISTRIBUTED,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-7,
    wrong=told("DistributedShampoo", max_preconditioner_dim=4),
    seeds=2,
)
def blocks_of_one_entry_are_adagrad(method: Any, seed: int) -> float:
    """Block-diagonal AdaGrad lies between the diagonal and the full one: with blocks of one entry it is Adagrad.

    The largest difference of 30 steps on a 6 × 5 matrix from Adagrad's, p - η g/√s, blocks of 1, ε = 1e-12.
    """
    hyper: dict[str, Any] = dict(lr=0.1, betas=(0.0, 1.0), max_preconditioner_dim=1, epsilon=1e-12)
    draw, w = noise(seed, 6, 5), torch.zeros(6, 5, dtype=torch.float64)
    got = walk(method, w, draw, 30, **hyper)
    sums, want = torch.zeros_like(w), [w]
    for t in range(30):
        g = draw(t, w)
        sums = sums + g.square()
        want.append(want[-1] - 0.1 * g / sums.sqrt())
    return farthest(got, want)


@claim(
    "DistributedShampoo",
    SCALABLE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("DistributedShampoo", grafting="sgd"),
    seeds=2,
)
def grafted_shampoo_moves_as_far_as_adam(method: Any, seed: int) -> float:
    """With Adam's length grafted on, every step of Shampoo is as long as Adam's would be on these gradients.

    The largest relative difference of the two lengths over 30 steps of gradients of random size, 6 × 5.
    """

    def draw(t: int, w: Tensor) -> Tensor:
        return noise(seed, 6, 5)(t, w) * 10.0 ** (t % 5 - 2)

    start = torch.zeros(6, 5, dtype=torch.float64)
    hyper: dict[str, Any] = dict(betas=(0.9, 0.99), grafting="adam", grafting_beta2=0.95, epsilon=1e-6)
    points = walk(method, start, draw, 30, lr=0.01, **hyper)
    adam = walk(instead("Adam", betas=(0.9, 0.95)), start, draw, 30, lr=0.01)
    ratios = [
        float((b - a).norm() / (d - c).norm()) for a, b, c, d in zip(points, points[1:], adam, adam[1:])
    ]
    return max(abs(x - 1) for x in ratios)


def cut_short(a: Tensor, p: int, eps: float = 0.0, steps: int = 30) -> Tensor:
    """Half of the steps, none of them near the root."""
    return inverse_root_newton(a, p, eps, steps // 2)


@claim(
    "inverse_root_newton",
    SCALABLE,
    subject=inverse_root_newton,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=cut_short,
    seeds=3,
)
def coupled_newton_iterations_find_the_root_that_a_decomposition_finds(method: Any, seed: int) -> float:
    """Inverse p-th roots of statistics come out of coupled Newton iterations, products alone, as exactly as out of a
    decomposition.

    The relative error of A^(-1/p), p = 2, 4 and 8, of random 20 × 20 matrices of condition 10⁶, whose roots are known,
    over the rounding error times that condition: the largest.
    """
    q = torch.linalg.qr(matrix(seed, 20, 20))[0]
    values, worst = torch.logspace(-6, 0, 20, dtype=torch.float64), 0.0
    for p in (2, 4, 8):
        root = q * values ** (-1 / p) @ q.mT
        error = (method(q * values @ q.mT, p) - root).norm() / root.norm()
        worst = max(worst, float(error) / (1e6 * 2.0**-52))
    return worst


def factors(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """What Shampoo has gathered after seeing all of the gradients."""
    from ...optimizers import Shampoo

    w = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    opt = Shampoo([w], lr=0.0, precondition_frequency=len(gradients))
    for g in gradients:
        w.grad = g
        opt.step()
    return opt.state[w]["L"], opt.state[w]["R"]


def factors_of_the_mean(gradients: Tensor) -> tuple[Tensor, Tensor]:
    g = gradients.mean(0)
    return g @ g.mT, g.mT @ g


def rearranged(gradients: Tensor) -> Tensor:
    """E g gᵀ with the entry of ((i, j), (k, l)) in row (i, k), column (j, l): of Kronecker products it has rank 1."""
    m, n = gradients.shape[-2:]
    return torch.einsum("tij,tkl->ikjl", gradients, gradients).reshape(m * m, n * n)


@claim(
    "Shampoo",
    PERSPECTIVE,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-10,
    wrong=factors_of_the_mean,
    subject=factors,
    seeds=3,
)
def shampoos_factors_are_one_step_of_power_iteration(method: Any, seed: int) -> float:
    """L and R are what one step of power iteration from the identities gives, towards the best Kronecker product L ⊗ R
    of AdaGrad's full matrix E g gᵀ.

    The largest difference of the normalized factors from that step, taken on the rearranged matrix; 30 Gaussian
    gradients of 5 × 7 with correlated rows and columns.
    """
    gradients = (
        matrix(seed, 5, 5)
        @ torch.stack([matrix(100 * seed + i, 5, 7) for i in range(30)])
        @ matrix(seed, 7, 7)
    )
    full = rearranged(gradients)
    m, n = gradients.shape[-2:]
    left = (full @ torch.eye(n, dtype=full.dtype).flatten()).view(m, m)
    right = (full.mT @ torch.eye(m, dtype=full.dtype).flatten()).view(n, n)
    L, R = method(gradients)
    pairs = ((L, left), (R, right))
    return max(float((a / a.norm() - b / b.norm()).abs().max()) for a, b in pairs)


def squared(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """The square of Shampoo's approximation: L ⊗ R."""
    return factors(gradients)


def plain(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Shampoo's own: L^½ ⊗ R^½."""
    L, R = factors(gradients)
    return root(L), root(R)


def root(a: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(a)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


@claim(
    "Shampoo",
    PERSPECTIVE,
    kind="empirical",
    predicts=at_least(0.97),
    tolerance=0.0,
    wrong=plain,
    subject=squared,
    seeds=3,
    scale="logistic regression of 5 classes on 12 inputs whose deviations fall from 1 to 0.03, 500 samples",
)
def the_square_of_shampoo_is_near_the_best_kronecker_product(method: Any, seed: int) -> float:
    """The square of Shampoo's Kronecker product is nearly as similar to AdaGrad's matrix as the best Kronecker product
    is, and far more than Shampoo's own.

    The cosine of the angle between L ⊗ R and E g gᵀ, over that of the best product (the top singular value).
    """
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(500, 12, generator=random, dtype=torch.float64) * torch.logspace(
        0, -1.5, 12, dtype=torch.float64
    )
    weights = torch.randn(5, 12, generator=random, dtype=torch.float64)
    chances = (inputs @ weights.mT).softmax(-1)
    labels = torch.multinomial(chances, 1, generator=random).squeeze(-1)
    errors = chances - nn.functional.one_hot(labels, 5)
    gradients = errors.unsqueeze(-1) * inputs.unsqueeze(-2)
    full = rearranged(gradients)
    L, R = method(gradients)
    similar = L.flatten() @ full @ R.flatten() / (L.norm() * R.norm() * full.norm())
    return float(similar / (torch.linalg.matrix_norm(full, 2) / full.norm()))
