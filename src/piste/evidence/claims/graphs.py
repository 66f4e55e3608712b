"""Acyclic graphs from data, and the eigenvectors of a graph, by descent."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problems.graphs import acyclic, acyclic_regression, moments

NO_TEARS = "DAGs with NO TEARS: Continuous Optimization for Structure Learning"
COLIDE = "CoLiDE: Concomitant Linear DAG Estimation"

Cycles = Callable[[Tensor], tuple[Tensor, Tensor]]
Score = Callable[[Tensor, Tensor], Tensor]


def exponential(w: Tensor) -> tuple[Tensor, Tensor]:
    """tr e^{W∘W} - d and its gradient."""
    e = torch.linalg.matrix_exp(w * w)
    return e.diagonal(dim1=-2, dim2=-1).sum(-1) - w.shape[-1], 2 * w * e.mT


def pairs(w: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong: tr (W∘W)² and its gradient, which see cycles of two edges only."""
    square = w * w
    return (square * square.mT).sum((-1, -2)), 4 * w * square.mT


def powers(w: Tensor) -> tuple[Tensor, Tensor]:
    """tr (I + W∘W/16)¹⁶ - d and its gradient: 0 for acyclic graphs only, too, and cheaper."""
    q = torch.eye(w.shape[-1], dtype=w.dtype) + w * w / 16
    q2 = q @ q
    q4 = q2 @ q2
    q15 = q4 @ q4 @ q4 @ q2 @ q
    return (q15 * q.mT).sum((-1, -2)) - w.shape[-1], 2 * w * q15.mT


def nothing(w: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong: no penalty."""
    return w.new_zeros(w.shape[:-2]), torch.zeros_like(w)


@claim(
    "acyclicity penalty", NO_TEARS, kind="theorem", predicts=equal(0.0), tolerance=0.0, wrong=pairs,
    subject=exponential, seeds=4,
)  # fmt: skip
def the_exponential_penalty_vanishes_for_acyclic_graphs_only(method: Cycles, seed: int) -> float:
    """h(W) = tr e^{W∘W} - d is 0 if and only if W is the weighted adjacency matrix of an acyclic graph, and positive
    else.

    The number of graphs, of 100 random acyclic ones of 6 nodes and 9 edges and 100 with a random edge set to 1, for
    which h > 1e-9 disagrees with the sixth power of the adjacency matrix not being 0.
    """
    random = torch.Generator().manual_seed(seed)
    graphs = acyclic(200, 6, 9, random)
    changed = graphs[100:]
    where = torch.randint(30, (100,), generator=random)
    row, column = where // 5, where % 5
    changed[torch.arange(100), row, column + (column >= row).long()] = 1.0
    adjacent = (graphs != 0).double()
    cyclic = torch.linalg.matrix_power(adjacent, 6).sum((1, 2)) > 0
    assert 10 < int(cyclic.sum()) < 100
    return float((cyclic != (method(graphs)[0] > 1e-9)).sum())


@claim(
    "acyclicity penalty", NO_TEARS, kind="identity", predicts=equal(0.0), tolerance=1e-10, wrong=pairs,
    subject=exponential, seeds=4,
)  # fmt: skip
def the_gradient_of_the_exponential_penalty_is_known(method: Cycles, seed: int) -> float:
    """∇h(W) = (e^{W∘W})ᵀ ∘ 2W.

    The largest difference, relative to the largest entry, between the gradient that backpropagation finds for least
    squares with ten times the penalty and -Σ(I - W) + 10 (e^{W∘W})ᵀ ∘ 2W, off the diagonal, at a random 5 x 5 matrix.
    """
    p = acyclic_regression(seed=seed)
    off_diagonal = 1 - torch.eye(5, dtype=torch.float64)
    random = torch.Generator().manual_seed(seed)
    w = 0.5 * torch.randn(5, 5, generator=random, dtype=torch.float64) * off_diagonal
    data = torch.Generator().manual_seed(seed)
    s = moments(acyclic(1, 5, 5, data), 200, data)[0]
    found, known = p.gradient(w), (least_squares(w, s) + 10 * method(w)[1]) * off_diagonal
    return float((found - known).abs().max() / found.abs().max())


def least_squares(w: Tensor, s: Tensor) -> Tensor:
    """The gradient of ½ tr (I - W)ᵀ Σ (I - W)."""
    return -s @ (torch.eye(w.shape[-1], dtype=w.dtype) - w)


def concomitant(w: Tensor, s: Tensor) -> Tensor:
    """The gradient of 1/2σ tr (I - W)ᵀ Σ (I - W) + dσ/2 with the best σ, the root of that trace over d."""
    off = torch.eye(w.shape[-1], dtype=w.dtype) - w
    rest = s @ off
    sigma = ((off * rest).sum((-1, -2), keepdim=True) / w.shape[-1]).sqrt()
    return -rest / sigma


def learned(score: Score, cycles: Cycles, s: Tensor, weight: Tensor, steps: int = 250) -> Tensor:
    """Minimizers of μ (score + weight ‖W‖₁) + h for μ of 1 to 1e-3, each by so many steps of Adam from the last."""
    off_diagonal = 1 - torch.eye(s.shape[-1], dtype=s.dtype)
    w = torch.zeros(torch.broadcast_shapes(s.shape, weight.shape), dtype=s.dtype)
    for mu in (1.0, 0.1, 0.01, 0.001):
        mean, square = torch.zeros_like(w), torch.zeros_like(w)
        for t in range(1, steps + 1):
            slope = (mu * (score(w, s) + weight * w.sign()) + cycles(w)[1]) * off_diagonal
            mean, square = mean.lerp(slope, 0.1), square.lerp(slope.square(), 0.01)
            rate = 0.05 * (1 - t / steps) ** 0.5 / (1 - 0.9**t)
            w = w - rate * mean / ((square / (1 - 0.99**t)).sqrt() + 1e-12)
    return w


def errors(w: Tensor, truth: Tensor) -> Tensor:
    """The structural Hamming distance: pairs of nodes whose edge (a weight above 0.3) is missing, added or turned."""
    off = (w.abs() > 0.3) != (truth != 0)
    return (off | off.mT).triu(1).sum((-1, -2)).double()


@claim(
    "acyclicity penalty", NO_TEARS, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=nothing,
    subject=powers, seeds=5, scale="30 graphs of 6 nodes and 6 edges, 1000 samples of equal Gaussian noise",
)  # fmt: skip
def least_squares_with_the_acyclicity_penalty_finds_the_graph(method: Cycles, seed: int) -> float:
    """Least squares with a sparsity weight of 0.1 and the acyclicity constraint recovers a sparse linear acyclic graph
    almost exactly.

    The mean structural Hamming distance, weights below 0.3 taken as 0; the constraint by a penalty whose share grows a
    thousandfold, in 4 stages of 250 steps of Adam, in the form tr (I + W∘W/16)¹⁶ - d, which is cheaper than the
    exponential and 0 for the same W.
    """
    random = torch.Generator().manual_seed(seed)
    truth = acyclic(30, 6, 6, random)
    w = learned(least_squares, method, moments(truth, 1000, random), torch.tensor(0.1, dtype=torch.float64))
    return float(errors(w, truth).mean())


def faint(w: Tensor, s: Tensor) -> Tensor:
    """Wrong: the concomitant score, a twentieth of it."""
    return concomitant(w, s) / 20


@claim(
    "concomitant score", COLIDE, kind="empirical", predicts=at_most(0.5), tolerance=0.0, wrong=faint,
    subject=concomitant, seeds=4,
    scale="24 graphs of 6 nodes and 8 edges, 1000 samples, noise variances ½ and 10, the weight 0.05",
)  # fmt: skip
def one_sparsity_weight_does_for_the_usual_noise_levels(method: Score, seed: int) -> float:
    """With the noise level estimated along, the sparsity weight λ = 0.05 need not be tuned again when the variance of
    the noise is another one, between ½ and 10.

    How many edges more are wrong with it than with the best of 0.01, 0.05 and 0.25 for each of the two variances, in
    the mean over graphs; 4 stages of 150 steps of Adam.
    """
    random = torch.Generator().manual_seed(seed)
    truth = acyclic(24, 6, 8, random)
    s = torch.stack([variance * moments(truth, 1000, random) for variance in (0.5, 10.0)])
    others = torch.tensor([0.01, 0.25], dtype=torch.float64).view(2, 1, 1, 1, 1)
    kept = errors(learned(method, powers, s, torch.full_like(others[0], 0.05), steps=150), truth).mean(1)
    best = errors(learned(concomitant, powers, s, others, steps=150), truth).mean(2).min(0).values
    return float((kept - best).clamp(min=0.0).mean())


@claim(
    "concomitant score", COLIDE, kind="empirical", predicts=equal(0.0), tolerance=0.25, wrong=least_squares,
    subject=concomitant, seeds=5,
    scale="40 graphs of 6 nodes and 8 edges, 200 samples, noise of the deviations 1 and 10",
)  # fmt: skip
def the_sparsity_weight_is_decoupled_from_the_noise(method: Score, seed: int) -> float:
    """Estimating the noise level along decouples the sparsity weight from it: the weight that is needed does not depend
    on the deviation of the noise.

    The power of the deviation at which the needed weight grows: the largest slope of the score, at the true weights, in
    a pair of nodes without an edge, below which the l1 norm cannot keep it out; mean logarithms over graphs. (All
    variables grow with the noise of a linear model, the regressors, too. Least squares has the power 2.)
    """
    random = torch.Generator().manual_seed(seed)
    truth = acyclic(40, 6, 8, random)
    free = (truth == 0) & ~torch.eye(6, dtype=torch.bool)
    needed = []
    for deviation in (1.0, 10.0):
        slope = method(truth, deviation**2 * moments(truth, 200, random))
        needed.append(float((slope.abs() * free).amax((1, 2)).log().mean()))
    return (needed[1] - needed[0]) / math.log(10.0)


@claim(
    "concomitant score", COLIDE, kind="empirical", predicts=at_least(0.5), tolerance=0.0, wrong=concomitant,
    subject=least_squares, seeds=10, cost="full",
    scale="24 graphs of 6 nodes and 8 edges, 1000 samples, noise variances 0.1, 1 and 10, weights from 0.01 to 1",
)  # fmt: skip
def least_squares_needs_its_sparsity_weight_retuned(method: Score, seed: int) -> float:
    """With plain least squares the sparsity weight must be tuned again when the variance of the noise changes; with the
    noise level estimated along it need not.

    How many edges more are wrong, per graph, with the weight that was best at the variance 1 than with the best one, in
    the mean over the variances 0.1 and 10: with least squares, less with the concomitant score. Both are tuned over
    0.01, 0.03, 0.1, 0.3 and 1; 4 stages of 150 steps of Adam.
    """
    random = torch.Generator().manual_seed(seed)
    truth = acyclic(24, 6, 8, random)
    s = torch.stack([variance * moments(truth, 1000, random) for variance in (1.0, 0.1, 10.0)])
    weights = torch.tensor([0.01, 0.03, 0.1, 0.3, 1.0], dtype=torch.float64).view(5, 1, 1, 1, 1)

    def lost(score: Score) -> float:
        wrong = errors(learned(score, powers, s, weights, steps=150), truth).mean(2)
        kept = wrong[int(wrong[:, 0].argmin()), 1:]
        return float((kept - wrong[:, 1:].min(0).values).mean())

    return lost(method) - lost(concomitant)


def joint_score(w: Tensor, sigma: Tensor, s: Tensor) -> Tensor:
    """1/2σ tr (I - W)ᵀ Σ (I - W) + dσ/2."""
    off = torch.eye(w.shape[-1], dtype=w.dtype) - w
    return (off * (s @ off)).sum((-1, -2)) / (2 * sigma) + w.shape[-1] * sigma / 2


def likelihood(w: Tensor, sigma: Tensor, s: Tensor) -> Tensor:
    """Wrong: the negative logarithm of the Gaussian likelihood, 1/2σ² tr (I - W)ᵀ Σ (I - W) + d log σ."""
    off = torch.eye(w.shape[-1], dtype=w.dtype) - w
    return (off * (s @ off)).sum((-1, -2)) / (2 * sigma.square()) + w.shape[-1] * sigma.log()


@claim(
    "concomitant score", COLIDE, kind="theorem", predicts=equal(0.0), tolerance=0.0, wrong=likelihood,
    subject=joint_score, seeds=4,
)  # fmt: skip
def the_concomitant_score_is_jointly_convex(
    method: Callable[[Tensor, Tensor, Tensor], Tensor], seed: int
) -> float:
    """The score that estimates the noise level along, ‖X - XW‖²/2nσ + dσ/2, is convex in W and σ > 0 jointly.

    How many of 2000 random chords lie below the score at their middle (by more than 1e-9 of it), for the moments of
    data from a random graph of 5 nodes.
    """
    random = torch.Generator().manual_seed(seed)
    s = moments(acyclic(1, 5, 6, random), 100, random)[0]
    w = torch.randn(2, 2000, 5, 5, generator=random, dtype=torch.float64)
    sigma = 10 ** (2 * torch.rand(2, 2000, generator=random, dtype=torch.float64) - 1)
    middle = method(w.mean(0), sigma.mean(0), s)
    return float((middle - method(w, sigma, s).mean(0) > 1e-9 * middle.abs()).sum())
