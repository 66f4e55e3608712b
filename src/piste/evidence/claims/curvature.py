"""The Hessian's diagonal: how probes show it, and what methods that divide by it do."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._noise import normal
from ...oracles.hutchinson import signs
from ..claim import at_most, claim, equal
from ..problem import Problem, descend
from ..problems import logistic, quadratic
from .papers import ADAHESSIAN, HUTCHINSON, OASIS, SOPHIA
from .wrong import instead, told


def one_sided(noise: Sequence[Tensor], grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Probes of zeros and ones: their products are not without the other columns."""
    return [(z > 0).to(z.dtype) for z in noise]


@claim(
    "Hutchinson's diagonal",
    HUTCHINSON,
    kind="theorem",
    predicts=at_most(4.5),
    tolerance=0.0,
    wrong=one_sided,
    subject=signs,
    seeds=3,
)
def hutchinsons_diagonal_is_unbiased(method: Any, seed: int) -> float:
    """E[z ⊙ Az] = diag A for random signs z.

    The largest difference between the mean over 4000 probes and the diagonal of a rotated 6 × 6 matrix with eigenvalues
    from 0.01 to 3, in standard errors of that mean.
    """
    p = quadratic((3.0, 1.0, 0.5, 0.1, 0.05, 0.01), seed)
    matrix = torch.func.hessian(p.loss)(p.start)
    seen = []
    for t in range(4000):
        (z,) = method([normal(p.start, 100003 * seed + t)], [p.start])
        seen.append(z * (matrix @ z))
    probes = torch.stack(seen)
    error = probes.mean(0) - matrix.diagonal()
    return float((error.abs() / (probes.std(0) / len(probes) ** 0.5)).max())


@claim(
    "AdaHessian",
    ADAHESSIAN,
    kind="theorem",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=instead("Adam"),
    seeds=3,
)
def adahessian_is_newton_on_diagonal_quadratics(method: Any, seed: int) -> float:
    """Where the Hessian is diagonal a probe shows it exactly, and with Hessian power 1 the first step is Newton's.

    The distance to the minimum after one step with the rate 1, over that at the start; curvatures from 1 to 10⁴.
    """
    p = quadratic((1e4, 1e2, 10.0, 1.0), seed, rotated=False)
    assert p.minimizer is not None
    end = descend(p, method, 1, lr=1.0, eps=1e-12).end
    return float((end - p.minimizer).norm() / (p.start - p.minimizer).norm())


@claim(
    "AdaHessian",
    ADAHESSIAN,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("AdaHessian", hessian_power=0.0),
    seeds=5,
    cost="full",
    scale="rotated quadratics of 8 dimensions, condition number 10⁴, 400 steps",
)
def adahessian_bears_bad_scaling_better_than_adam(method: Any, seed: int) -> float:
    """Where coordinates are scaled badly AdaHessian ends lower than Adam does, each at its best rate of nine.

    The gap after 400 steps over Adam's (10 where it is more, or where every rate ran away), on a quadratic whose
    Hessian is DRD: R of eigenvalues from 0.5 to 1.5 with random axes, D from 1 to 100.
    """
    p = _badly_scaled(seed)
    rates = [10.0 ** (-3 + 0.5 * i) for i in range(9)]
    hyper = {"betas": (0.9, 0.99), "eps": 1e-8}

    def best(of: Callable[..., Any]) -> float:
        return min(_gap(p, of, 400, seed, lr=lr, **hyper) for lr in rates)

    return min(best(method) / best(instead_of_nothing), 10.0)


def _known(x: Tensor | None) -> Tensor:
    assert x is not None
    return x


def instead_of_nothing(params: Any, **hyper: Any) -> Any:
    """Adam as torch has it."""
    return torch.optim.Adam(params, **hyper)


def _badly_scaled(seed: int) -> Problem:
    round_one = quadratic((1.5, 1.4, 1.2, 1.1, 0.9, 0.8, 0.6, 0.5), seed)
    scales = 10.0 ** torch.linspace(0, 2, 8, dtype=torch.float64)
    assert round_one.minimizer is not None
    return Problem(
        "badly scaled quadratic", lambda x: round_one.loss(scales * x), round_one.start / scales, 0.0,
        round_one.minimizer / scales,
    )  # fmt: skip


def _gap(p: Problem, method: Callable[..., Any], steps: int, seed: int, **hyper: Any) -> float:
    gap = p.gap(descend(p, method, steps, seed, **hyper).end)
    return gap if math.isfinite(gap) else math.inf


@claim(
    "SophiaH", SOPHIA, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=instead("SGD"), seeds=3
)
def sophias_clipping_bounds_every_entry(method: Any, seed: int) -> float:
    """However wrong the curvature, no entry moves by more than the rate.

    The largest entry of a step over lr, over 60 steps on f(x) = Σ cos(5xᵢ) + x⁴/10 (of both signs of curvature) from
    far away, without weight decay.
    """
    start = torch.randn(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3
    p = Problem("waves in a bowl", lambda x: (torch.cos(5 * x) + x**4 / 10).sum(), start)
    points = descend(p, method, 60, lr=0.05, weight_decay=0.0).points
    return max(float((b - a).abs().max()) for a, b in itertools.pairwise(points)) / 0.05


@claim("SophiaH", SOPHIA, kind="theorem", predicts=at_most(1.2), tolerance=0.0, wrong=instead("SGD"), seeds=3)
def sophias_time_does_not_depend_on_the_condition_number(method: Any, seed: int) -> float:
    """With exact diagonals (and no momentum) the number of steps does not depend on the condition number: the rate is
    that of clipped Newton, the same in every direction.

    Steps until no coordinate is farther than 10⁻³ from the minimum, on diagonal quadratics of condition number 10⁸ over
    those at 10²; lr = 0.2.
    """

    def steps(condition: float) -> float:
        spectrum = [condition ** (i / 5) for i in range(6)]
        p = quadratic(spectrum, seed, rotated=False)
        minimizer = _known(p.minimizer)
        hyper = {"betas": (0.0, 0.0), "rho": 1.0, "update_each": 1} if method.__name__ == "SophiaH" else {}
        points = descend(p, method, 60, lr=0.2, weight_decay=0.0, **hyper).points
        near = [t for t, x in enumerate(points) if float((x - minimizer).abs().max()) < 1e-3]
        return near[0] if near else math.inf

    fast = steps(1e2)
    return steps(1e8) / fast if math.isfinite(fast) else math.inf


@claim(
    "OASIS",
    OASIS,
    kind="identity",
    predicts=equal(0.5),
    tolerance=1e-6,
    wrong=told("OASIS", alpha=50.0),
    seeds=3,
)
def oasis_halves_the_error_on_diagonal_quadratics(method: Any, seed: int) -> float:
    """In the metric of an exact diagonal the local smoothness is 1, so that the rate becomes ½ and every step halves
    the error.

    The ratio of the distances to the minimum over the last of 20 steps; curvatures from 0.1 to 10.
    """
    p = quadratic((10.0, 1.0, 0.1), seed, rotated=False)
    points = descend(p, method, 20).points
    minimizer = _known(p.minimizer)
    return float((points[-1] - minimizer).norm() / (points[-2] - minimizer).norm())


def fixed_rate(params: Any, eta0: float) -> Any:
    """Gradient descent with the rate that OASIS only starts from."""
    return torch.optim.SGD(params, lr=eta0)


@claim(
    "OASIS",
    OASIS,
    kind="empirical",
    predicts=at_most(1.5),
    tolerance=0.0,
    wrong=fixed_rate,
    seeds=3,
    scale="logistic regression, 60 rows of 10, first rates 10⁻⁸ to 10⁻²",
)
def oasis_needs_no_learning_rate(method: Any, seed: int) -> float:
    """The first rate does not matter: the method finds its own.

    The most steps to a gap of 10⁻⁶ over the fewest, over the first rates 10⁻⁸, 10⁻⁵, 10⁻².
    """
    p = logistic(seed=seed)
    low_end = p.minimum
    assert low_end is not None

    def steps(eta0: float) -> float:
        losses = descend(p, method, 600, seed, eta0=eta0).losses
        low = [t for t, value in enumerate(losses) if value - low_end < 1e-6]
        return low[0] if low else math.inf

    found = [steps(eta0) for eta0 in (1e-8, 1e-5, 1e-2)]
    return max(found) / min(found) if math.isfinite(min(found)) else math.inf
