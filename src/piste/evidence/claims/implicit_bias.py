"""Which of many solutions a method finds: margins, norms, attention as a support vector machine."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_least, at_most, claim, equal
from ..problems.quadratics import rotation
from .papers import PERCEPTRON
from .paths import follow, normal, widest_margin
from .wrong import instead, scaled, told

SEPARABLE = "The Implicit Bias of Gradient Descent on Separable Data"
GEOMETRY = "Characterizing Implicit Bias in Terms of Optimization Geometry"
ADAM_BIAS = "The Implicit Bias of Adam on Separable Data"


def _separable(seed: int, rows: int, size: int, gap: float = 0.2) -> Tensor:
    """Rows y·x that a hyperplane through 0 separates, none nearer to it than the gap."""
    truth = torch.nn.functional.normalize(normal(seed, size), dim=0)
    x = normal(seed + 1, rows, size)
    side = x @ truth
    return (x + (side.sign() * gap).outer(truth).view_as(x)) * side.sign().unsqueeze(1)


def _supported(seed: int) -> Tensor:
    """Three rows at distance 1 from a plane on which nothing draws them to one side, and nine at 2.5."""
    normal_to, one, other = rotation(3, seed)
    x, y = normal(seed + 1, 2, 12)
    x[2], y[2] = -x[0] - x[1], -y[0] - y[1]
    far = torch.where(torch.arange(12) < 3, 1.0, 2.5).double()
    return far.outer(normal_to) + x.outer(one) + y.outer(other)


def _slope(rows: Tensor, w: Tensor) -> Tensor:
    """The gradient of the mean logistic loss."""
    return -(torch.sigmoid(-(rows @ w)) @ rows) / len(rows)


@claim(
    "SGD",
    SEPARABLE,
    kind="empirical",
    predicts=at_most(0.1),
    tolerance=0.0,
    wrong=instead("Lion"),
    seeds=3,
    scale="12 rows of 3 numbers, three at the margin and the rest 2.5 times as far, 200 to 3,000 steps of the rate 1/L",
)
def gradient_descent_grows_along_the_widest_margin(method: Any, seed: int) -> float:
    """On separable data the weights of logistic regression grow like ŵ log t + a bounded rest, ŵ the hard-margin
    support vector machine's: the direction goes to the widest margin.

    The relative difference of (w(3000) - w(200)) / log 15 from ŵ, on rows with clear support vectors. (On random ones,
    where others nearly support, it is 0.11 to 0.14 by then.)
    """
    rows, early = _supported(seed), torch.zeros(3, dtype=torch.float64)
    best = widest_margin(rows)

    def look(t: int, p: list[Tensor]) -> None:
        if t == 200:
            early.copy_(p[0])

    start, lr = torch.zeros(3, dtype=torch.float64), 4 / float(torch.linalg.matrix_norm(rows, 2) ** 2 / 12)
    (late,) = follow(method, [start], lambda p: [_slope(rows, p[0])], 3000, look, lr=lr)
    return float(((late - early) / math.log(15) - best).norm() / best.norm())


@claim(
    "SGD",
    GEOMETRY,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-8,
    wrong=instead("Adam"),
    seeds=3,
)
def descent_with_momentum_finds_the_nearest_solution(method: Any, seed: int) -> float:
    """For losses with a unique finite root gradient descent, with momentum too, ends at the solution that is nearest to
    the start in Euclidean norm.

    The largest difference from it, for 5 equations in 12 unknowns, from a random start, after 800 steps.
    """
    a, b, start = normal(seed, 5, 12), normal(seed + 1, 5), normal(seed + 2, 12)
    nearest = start + torch.linalg.pinv(a) @ (b - a @ start)
    lr = 1 / float(torch.linalg.matrix_norm(a, 2) ** 2)
    (end,) = follow(method, [start], lambda p: [a.mT @ (a @ p[0] - b)], 800, lr=lr, momentum=0.8)
    return float((end - nearest).abs().max())


@claim(
    "Adam",
    ADAM_BIAS,
    kind="empirical",
    predicts=at_least(0.95),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=4,
    in_mean=False,
    scale="8 separable rows of 2 numbers, 2,500 steps of the rate 0.5 / √t, betas 0.9 and 0.99",
)
def adam_goes_to_the_widest_margin_in_the_largest_coordinate(method: Any, seed: int) -> float:
    """With a falling rate Adam's direction on separable data goes to the one of the widest ℓ∞ margin: min ⟨row, w⟩ /
    ‖w‖∞ grows to its largest value.

    That margin at the end, as a share of the largest (a linear program), of rows in the plane. (With rows of four
    numbers it comes to 0.92 to 0.98 in as many steps.)
    """
    return _box_margin(method, _separable(seed, 8, 2, 0.3), 2500, betas=(0.9, 0.99), eps=1e-30)


def _box_margin(method: Any, rows: Tensor, steps: int, **hyper: Any) -> float:
    """min ⟨row, w⟩ / ‖w‖∞ after steps of logistic regression at rates 0.5 / √t, as a share of the largest there is."""
    from scipy.optimize import linprog  # here: `piste list` imports this package without scipy

    count, size = rows.shape
    lowered = torch.cat([-rows, torch.ones(count, 1, dtype=torch.float64)], 1).numpy()
    price, bounds = [0.0] * size + [-1.0], [(-1, 1)] * size + [(None, None)]
    widest = -linprog(price, lowered, [0.0] * count, bounds=bounds).fun
    w = torch.nn.Parameter(torch.zeros(size, dtype=torch.float64))
    opt = method([w], lr=0.5, **hyper)
    for t in range(steps):
        opt.param_groups[0]["lr"] = 0.5 / math.sqrt(t + 1)
        w.grad = _slope(rows, w.detach())
        opt.step()
    end = w.detach()
    return float((rows @ end).min() / end.abs().max()) / widest


@claim(
    "Lion",
    GEOMETRY,
    kind="empirical",
    predicts=at_least(0.95),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=4,
    in_mean=False,
    scale="8 separable rows of 2 numbers, 2,000 steps of the rate 0.5 / √t",
)
def sign_descent_goes_to_the_widest_margin_in_the_largest_coordinate(method: Any, seed: int) -> float:
    """On separable data steepest descent in a norm goes to the direction of the widest margin in that norm; in ℓ∞ these
    are steps along the sign of the gradient, Lion's with both betas 0.

    The ℓ∞ margin at the end, as a share of the largest. (The steps are of falling size here, the paper's are
    proportional to ‖g‖₁.)
    """
    return _box_margin(method, _separable(seed, 8, 2, 0.3), 2000, betas=(0.0, 0.0))


def _passes(method: Any, rows: Tensor, lr: float, normalized: bool, most: int) -> float:
    """Steps of logistic regression until every row is classified rightly."""
    count = float(most)

    def look(t: int, p: list[Tensor]) -> bool:
        nonlocal count
        done = bool((rows @ p[0] > 0).all())
        count = float(t) if done else count
        return done

    def slopes(p: list[Tensor]) -> list[Tensor]:
        weights = torch.sigmoid(-(rows @ p[0]))
        return [-(weights @ rows) / (float(weights.sum()) if normalized else len(rows))]

    follow(method, [1e-3 * normal(99, rows.shape[1])], slopes, most, look, lr=lr)
    return count


@claim(
    "SGD",
    PERCEPTRON,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-10),
    seeds=3,
)
def normalized_logistic_regression_keeps_the_perceptrons_bound(method: Any, seed: int) -> float:
    """Gradient descent on the logistic loss with very large steps, its gradient divided by the sum of the weights
    σ(-margin), separates the data within R²/μ² steps, R the longest row and μ the widest margin.

    The steps needed as a share of that bound, for the rate 1e6, on 40 rows of 5 numbers.
    """
    rows = _separable(seed, 40, 5, 0.1)
    bound = float(rows.square().sum(1).max() * widest_margin(rows).square().sum())
    return _passes(method, rows, 1e6, True, int(bound) + 2) / bound


@claim(
    "SGD",
    PERCEPTRON,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-6),
    seeds=5,
    scale="40 separable rows of 5 numbers, rates 1 and 1e4, at most 4,000 steps, 4 data sets a seed",
)
def larger_steps_separate_sooner(method: Any, seed: int) -> float:
    """Larger steps of logistic regression by gradient descent need fewer steps until all rows are classified rightly.

    The steps for the rate 1e4 over those of plain gradient descent for the rate 1, summed over 4 data sets.
    """
    sets = [_separable(100 * seed + 10 * k, 40, 5, 0.1) for k in range(4)]
    plain = told("SGD")
    large = sum(_passes(method, rows, 1e4, False, 4000) for rows in sets)
    return large / sum(_passes(plain, rows, 1.0, False, 4000) for rows in sets)


@claim(
    "SGD",
    PERCEPTRON,
    kind="empirical",
    predicts=at_least(0.0),
    tolerance=0.0,
    wrong=scaled("SGD", 3e-4),
    seeds=5,
    scale="40 separable rows of 5 numbers, rates 1 and 1e4, 4 data sets a seed",
)
def larger_steps_meet_higher_losses(method: Any, seed: int) -> float:
    """Larger steps of logistic regression by gradient descent lead to higher losses on the way, although they separate
    the data sooner.

    The logarithm of the ratio of the losses after one step, of the rate 1e4 and of 1, sums over 4 data sets.
    """

    def after(run: Any, rows: Tensor, lr: float) -> float:
        (w,) = follow(run, [1e-3 * normal(99, 5)], lambda p: [_slope(rows, p[0])], 1, lr=lr)
        return float(torch.nn.functional.softplus(-(rows @ w)).mean())

    sets = [_separable(100 * seed + 10 * k, 40, 5, 0.1) for k in range(4)]
    large, small = (sum(after(run, x, lr) for x in sets) for run, lr in ((method, 1e4), (told("SGD"), 1.0)))
    return math.log(large / small)


def _outvoted(seed: int, many: int) -> Tensor:
    """Rows near (1, 0), and one near (-1, 1) that a mean over all hardly hears."""
    near = torch.tensor([1.0, 0.0], dtype=torch.float64) + 0.05 * normal(seed, many, 2)
    return torch.cat([near, torch.tensor([[-1.0, 1.0]], dtype=torch.float64) + 0.05 * normal(seed + 1, 1, 2)])


@claim(
    "SGD",
    PERCEPTRON,
    kind="empirical",
    predicts=at_most(0.1),
    tolerance=0.0,
    wrong=scaled("SGD", 1e-6),
    seeds=4,
    scale="300 rows of 2 numbers near each other and one against them, rate 1e4, at most 2,000 steps",
)
def normalizing_frees_logistic_regression_of_the_number_of_rows(method: Any, seed: int) -> float:
    """The bound of gradient descent with large steps grows with the number of rows, that of the gradient divided by the
    sum of the rows' weights does not.

    The ratio of the steps until all rows are classified rightly, normalized to plain, where one row is against all
    others. (The bounds are of the worst case: on Gaussian rows without such a one plain steps need fewer.)
    """
    rows = _outvoted(seed, 300)
    ours = _passes(method, rows, 1e4, True, 2000)
    return ours / _passes(told("SGD"), rows, 1e4, False, 2000)
