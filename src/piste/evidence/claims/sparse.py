"""Few atoms, low rank: projections, thresholds, blocks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim
from ..problems.dictionaries import lifted_dictionary

FEEDBACKS = "The finite steps of convergence of the fast thresholding algorithms with feedbacks"
DICTIONARY = "Supervised Dictionary Learning with Auxiliary Covariates"


def fed_back(a: Tensor, x: Tensor, chosen: Tensor) -> Tensor:
    """The chosen entries, corrected by what least squares makes of the share of the others; of a stack of problems."""
    kept = torch.zeros_like(x).scatter(1, chosen, x.gather(1, chosen))
    columns = a.gather(2, chosen.unsqueeze(1).expand(-1, a.shape[1], -1))
    share = columns.mT @ (a @ (x - kept).unsqueeze(2))
    return kept.scatter_add(1, chosen, torch.linalg.solve(columns.mT @ columns, share).squeeze(2))


def cut_off(a: Tensor, x: Tensor, chosen: Tensor) -> Tensor:
    """Wrong: hard thresholding, without feedback."""
    return torch.zeros_like(x).scatter(1, chosen, x.gather(1, chosen))


Feedback = Callable[[Tensor, Tensor, Tensor], Tensor]


def tuned_in_null_space(
    feedback: Feedback, a: Tensor, b: Tensor, size: Callable[[int], int], steps: int
) -> list[Tensor]:  # fmt: skip
    """The sparse iterates of thresholding to ``size(k)`` entries with feedback, between which solutions of Ax = b are
    reached by the shortest step."""
    back = a.mT @ torch.linalg.inv(a @ a.mT)
    found = [torch.zeros(a.shape[0], a.shape[2], dtype=a.dtype)]
    for k in range(1, steps + 1):
        x = found[-1] + (back @ (b - (a @ found[-1].unsqueeze(2)).squeeze(2)).unsqueeze(2)).squeeze(2)
        found.append(feedback(a, x, x.abs().topk(size(k), dim=1).indices))
    return found


def signals(count: int, size: int, nonzeros: int, random: torch.Generator, spread: float = 0.0) -> Tensor:
    """Random signals, Gaussian where they are not 0, times a power of ten that is drawn up to ``spread``."""
    where = torch.rand(count, size, generator=random, dtype=torch.float64).topk(nonzeros, dim=1).indices
    values = torch.randn(count, nonzeros, generator=random, dtype=torch.float64)
    values = values * 10 ** (spread * torch.rand(count, nonzeros, generator=random, dtype=torch.float64))
    return torch.zeros(count, size, dtype=torch.float64).scatter(1, where, values)


@claim(
    "NST+HT+FB", FEEDBACKS, kind="theorem", predicts=at_most(1.0), tolerance=0.0, wrong=cut_off, subject=fed_back,
    seeds=4,
)  # fmt: skip
def thresholding_with_feedback_ends_after_finitely_many_steps(method: Feedback, seed: int) -> float:
    """Under a restricted isometry condition thresholding with feedback and null space tuning finds an s-sparse signal
    exactly, after a number of steps that is known.

    Tried on tight frames, where the steps are those of hard thresholding pursuit. If A_SᵀA_S differs from 1 by at most
    δ < 1/√3 for all sets S of 3s columns, ρ = √(2δ²/(1-δ²)) and ξ is the least entry, the support is right from the
    first step k with √2 δ ρᵏ⁻¹ ‖x‖ < ξ. The largest ratio of the step after which the signal is exact (to 1e-9 of its
    length) and that k, over 100 signals of 3 entries in 36 and a frame of 34 rows, whose null space is flat: δ = 1/2.
    """
    size, s, delta = 36, 3, 0.5
    random = torch.Generator().manual_seed(seed)
    turns = 2 * math.pi * torch.randperm(size, generator=random).double() / size
    null = torch.stack([turns.cos(), turns.sin()], 1) * (2 / size) ** 0.5
    a = torch.linalg.svd(null, full_matrices=True).U[:, 2:].mT.expand(100, -1, -1)
    x = signals(100, size, s, random, spread=2.0)
    length = x.norm(dim=1)
    least = x.abs().masked_fill(x == 0, math.inf).min(1).values
    ahead = (math.sqrt(2) * delta * length / least).log() / -math.log(
        math.sqrt(2 * delta**2 / (1 - delta**2))
    )
    bound = (ahead.floor() + 2).clamp(min=1)
    found = torch.stack(tuned_in_null_space(method, a, (a @ x.unsqueeze(2)).squeeze(2), lambda k: s, 40))
    exact = (found - x).norm(dim=2) <= 1e-9 * length
    steps = torch.where(exact.any(0), exact.double().argmax(0).double(), math.inf)
    return float((steps / bound).max())


@claim(
    "NST+HT+FB", FEEDBACKS, kind="empirical", predicts=at_least(0.0), tolerance=0.0, wrong=cut_off, subject=fed_back,
    seeds=5, scale="32 Gaussian measurements of 64 numbers, 12 of them not 0, 60 signals; at most 32 and 60 steps",
)  # fmt: skip
def a_growing_threshold_finds_signals_of_more_entries(method: Feedback, seed: int) -> float:
    """With one more entry kept at every step, and no knowledge of the sparsity, the thresholding with feedback recovers
    signals of more nonzeros than with the true number kept all the time.

    The share of signals that are found with k entries at step k, less the share that is found with 12 at all 60 steps.
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(60, 32, 64, generator=random, dtype=torch.float64)
    x = signals(60, 64, 12, random)
    b = (a @ x.unsqueeze(2)).squeeze(2)

    def share(feedback: Feedback, size: Callable[[int], int], steps: int) -> float:
        found = torch.stack(tuned_in_null_space(feedback, a, b, size, steps))
        off = (found - x).norm(dim=2) / x.norm(dim=1)
        return float((off.min(0).values < 1e-6).double().mean())

    return share(method, lambda k: k, 31) - share(fed_back, lambda k: 12, 60)


@claim(
    "NST+HT+FB", FEEDBACKS, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=cut_off, subject=fed_back,
    seeds=5, scale="60 Gaussian measurements of 120 numbers, 6 of them not 0, 60 signals; at most 12 steps",
)  # fmt: skip
def more_entries_than_nonzeros_take_fewer_steps(method: Feedback, seed: int) -> float:
    """A set of kept entries that is suitably larger than the number of nonzeros speeds the thresholding with feedback
    up.

    The ratio of the mean steps until a signal is found when 12 entries are kept and when 6 are, where one that is not
    found counts 12. There must be many measurements to a nonzero, here 10: with 4 or fewer, keeping twice the number
    takes more steps.
    """
    random = torch.Generator().manual_seed(seed)
    a = torch.randn(60, 60, 120, generator=random, dtype=torch.float64)
    x = signals(60, 120, 6, random)
    b = (a @ x.unsqueeze(2)).squeeze(2)

    def steps(feedback: Feedback, size: int) -> float:
        found = torch.stack(tuned_in_null_space(feedback, a, b, lambda k: size, 12))
        exact = (found - x).norm(dim=2) < 1e-6 * x.norm(dim=1)
        return float(torch.where(exact.any(0), exact.double().argmax(0).double(), 12.0).mean())

    return steps(method, 12) / steps(fed_back, 6)


def low_rank(z: Tensor, rank: int) -> Tensor:
    """The nearest matrix of that rank."""
    u, s, vh = torch.linalg.svd(z, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


def lower_rank(z: Tensor, rank: int) -> Tensor:
    """Wrong: one rank too few."""
    return low_rank(z, rank - 1)


@claim(
    "low-rank projected gradient descent", DICTIONARY, kind="theorem", predicts=at_most(1.0), tolerance=1e-9,
    wrong=lower_rank, subject=low_rank, seeds=4,
)  # fmt: skip
def lifted_dictionary_learning_converges_exponentially(
    method: Callable[[Tensor, int], Tensor], seed: int
) -> float:
    """Lifted to the products of its factors, supervised dictionary learning is convex, and gradient descent projected
    to the matrices of low rank converges exponentially to the global minimizer, though that set is not convex: by
    2 max(|1 - τμ|, |1 - τL|) in every step, if L/μ < 3 and τ is between 1/2μ and 3/2L.

    The largest ratio of the distances after t steps and of that factor to the t-th times the distance at the start,
    for t up to 25 and τ = 2/(μ + L), where a matrix of the rank is the minimizer (L/μ = 3/2, a factor of 0.4).
    """
    rank = 2
    p = lifted_dictionary(rank=rank, seed=seed)
    assert p.smoothness is not None and p.strength is not None and p.minimizer is not None
    rate = 2 / (p.smoothness + p.strength)
    factor = 2 * max(abs(1 - rate * p.strength), abs(1 - rate * p.smoothness))
    x, worst = p.start, 0.0
    far = float((x - p.minimizer).norm())
    for t in range(1, 26):
        parts = p.parts(x - rate * p.gradient(x))
        x = p.whole({"matrix": method(parts["matrix"], rank), "weights": parts["weights"]})
        worst = max(worst, float((x - p.minimizer).norm()) / (factor**t * far))
    return worst


Parts = dict[str, Tensor]


def _slopes(parts: Parts, x: Tensor, labels: Tensor, c: Tensor) -> Parts:
    """Of cross-entropy(labels, σ(βᵀH + γᵀC)) + ‖X - WH‖² + 0.01 (‖β‖² + ‖γ‖²), by part."""
    w, h, beta, gamma = (parts[name] for name in ("W", "H", "β", "γ"))
    off, wrong = w @ h - x, torch.sigmoid(beta @ h + gamma @ c) - labels
    return {
        "W": 2 * off @ h.mT,
        "H": 2 * w.mT @ off + torch.outer(beta, wrong),
        "β": h @ wrong + 0.02 * beta,
        "γ": c @ wrong + 0.02 * gamma,
    }


def _bounded(name: str, part: Tensor) -> Tensor:
    """Dictionary and codes are between 0 and 10, weights between -10 and 10."""
    return part.clamp(0.0 if name in "WH" else -10.0, 10.0)


def _curvature(name: str, parts: Parts, c: Tensor) -> float:
    """A bound on the second derivative in that part."""
    if name == "W":
        return 2 * float(torch.linalg.matrix_norm(parts["H"], 2)) ** 2
    if name == "H":
        return 2 * float(torch.linalg.matrix_norm(parts["W"], 2)) ** 2 + 0.25 * float(
            parts["β"].square().sum()
        )
    return 0.25 * float(torch.linalg.matrix_norm(parts["H"] if name == "β" else c, 2)) ** 2 + 0.02


def every_block(parts: Parts) -> list[str]:
    return list(parts)


def dictionary_only(parts: Parts) -> list[str]:
    """Wrong: the codes and weights stay where they are."""
    return ["W"]


@claim(
    "block coordinate descent", DICTIONARY, kind="empirical", predicts=at_most(-0.5), tolerance=0.0, seeds=6,
    wrong=dictionary_only, subject=every_block,
    scale="a dictionary of 3 atoms for 20 samples of 8 features, two covariates; 128 rounds of 2 projected steps",
)  # fmt: skip
def block_descent_nears_a_stationary_point_at_the_rate_one_over_steps(
    method: Callable[[Parts], list[str]], seed: int
) -> float:
    """Block coordinate descent on dictionary, codes and weights finds an ε-stationary point of the constrained
    nonconvex objective in O(ε⁻¹ log² ε⁻¹) rounds, where ε is the square of what a projected step moves.

    The exponent of the least squared projected gradient of all blocks, between the rounds 8 and 128. The paper's bound
    has log²(t)/t there, an exponent of -1 + 2 log(log 128 / log 8) / log 16 = -0.39; asked for is a little more.
    """
    random = torch.Generator().manual_seed(seed)
    parts = {
        name: _bounded(name, torch.randn(shape, generator=random, dtype=torch.float64).abs())
        for name, shape in (("W", (8, 3)), ("H", (3, 20)), ("β", (3,)), ("γ", (2,)))
    }
    c = torch.randn(2, 20, generator=random, dtype=torch.float64)
    x = torch.randn(8, 3, generator=random, dtype=torch.float64).abs()
    codes = torch.randn(3, 20, generator=random, dtype=torch.float64).abs()
    x = x @ codes + 0.3 * torch.randn(8, 20, generator=random, dtype=torch.float64)
    labels = (codes[0] > codes[1]).double()
    least, seen = math.inf, {}
    for t in range(1, 129):
        for name in method(parts):
            for _ in range(2):
                slope = _slopes(parts, x, labels, c)[name]
                parts[name] = _bounded(name, parts[name] - slope / _curvature(name, parts, c))
        moves = [
            (_bounded(k, parts[k] - g) - parts[k]).square().sum()
            for k, g in _slopes(parts, x, labels, c).items()
        ]
        seen[t] = least = min(least, float(sum(moves)))
    return math.log(seen[128] / seen[8]) / math.log(16)
