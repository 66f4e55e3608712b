"""Too many columns: why X Xᵀ is slow where F Gᵀ is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..claim import at_least, between, claim
from ..problems.low_rank import matrix_sensing, sensed

CURSES = (
    "How Over-Parameterization Slows Down Gradient Descent in Matrix Sensing: The Curses of Symmetry and "
    "Initialization"
)

Start = Callable[[int, float], tuple[Tensor, Tensor]]
Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
SIZE, COLUMNS, RATE = 40, 4, 0.3


def plain(off: Tensor, x: Tensor) -> Tensor:
    """The gradient of ¼‖X Xᵀ - M‖²."""
    return off @ x


def preconditioned(off: Tensor, x: Tensor) -> Tensor:
    """The same times (XᵀX + ‖X Xᵀ - M‖ I)⁻¹, with which extra columns shrink linearly."""
    return torch.linalg.solve(
        x.mT @ x + off.norm() * torch.eye(x.shape[1], dtype=torch.float64), off @ x, left=False
    )


@claim(
    "symmetric factors",
    CURSES,
    kind="theorem",
    predicts=at_least(-2.0),
    tolerance=0.0,
    wrong=preconditioned,
    subject=plain,
    seeds=3,
)
def too_many_columns_make_symmetric_factors_sublinear(
    method: Callable[[Tensor, Tensor], Tensor], seed: int
) -> float:
    """With more columns than the rank, gradient descent on ‖X Xᵀ - M‖² cannot bring it down faster than 1/T², whereas
    it converges linearly with as many.

    The exponent of T with which the loss falls between steps 500 and 2000 of the rate 0.3; M of 10 × 10 and rank 2 seen
    whole, 4 columns. An extra column of squared length s follows s ← s (1 - ηs)², that is s ~ 1/2ηT.
    """
    p, truth = matrix_sensing((1.0, 0.5), 10, 4, 0, seed), sensed((1.0, 0.5), 10, 0, seed)[0]
    x, losses = p.start, []
    for _ in range(2001):
        off = x @ x.mT - truth
        losses.append(float(off.square().sum()))
        x = x - 0.3 * method(off, x)
    return math.log(losses[2000] / losses[500]) / math.log(4) if losses[2000] > 1e-20 else -math.inf


def imbalanced(seed: int, alpha: float) -> tuple[Tensor, Tensor]:
    """Gaussian factors of size α and α/3."""
    random = torch.Generator().manual_seed(seed + 2)
    f, g = torch.randn(2, SIZE, COLUMNS, generator=random, dtype=torch.float64)
    return alpha * f, alpha / 3 * g


def balanced(seed: int, alpha: float) -> tuple[Tensor, Tensor]:
    """F = G, from where F Gᵀ stays symmetric."""
    f, _ = imbalanced(seed, alpha)
    return f, f


def untouched(f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    return f, g


def evened(f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Factors with the same product whose first has the singular values ½: of F = U S Vᵀ, U/2 and 2 G V S."""
    u, s, v = torch.linalg.svd(f, full_matrices=False)
    return u / 2, 2 * (g @ v.mT) * s


def losses_of(
    f: Tensor, g: Tensor, seed: int, change: Change = untouched, until: float = 1e-13, most: int = 4000
) -> list[float]:
    """½‖F Gᵀ - M‖² along gradient descent until it is that small, M of the eigenvalues 1 and ½; ``change`` is done
    once, as soon as it is below 1e-3."""
    truth, changed, losses = sensed((1.0, 0.5), SIZE, 0, seed)[0], False, []
    for _ in range(most):
        off = f @ g.mT - truth
        losses.append(0.5 * float(off.square().sum()))
        if losses[-1] <= until:
            break
        if losses[-1] < 1e-3 and not changed:
            (f, g), changed = change(f, g), True
            continue
        f, g = f - RATE * off @ g, g - RATE * off.mT @ f
    return losses


def speed(losses: list[float], high: float = 1e-8, low: float = 1e-13) -> float:
    """By how much log f falls a step between two levels; 0 where f does not come so low."""
    first = next((t for t, f in enumerate(losses) if f <= high), None)
    last = next((t for t, f in enumerate(losses) if f <= low), None)
    return 0.0 if first is None or last is None else math.log(losses[first] / losses[last]) / (last - first)


@claim(
    "imbalanced start",
    CURSES,
    kind="empirical",
    predicts=at_least(0.7),
    tolerance=0.0,
    wrong=balanced,
    subject=imbalanced,
    seeds=3,
    scale="40 × 40 matrices of rank 2 seen whole, 4 columns, start of size 0.04 and 0.04/3, rate 0.3",
)
def imbalanced_factors_converge_linearly(method: Start, seed: int) -> float:
    """With more columns than the rank, gradient descent on ‖F Gᵀ - M‖² still converges linearly if F and G start at
    different sizes; from F = G it is as slow as X Xᵀ.

    How fast log f falls between f = 1e-19 and 1e-24, over how fast between 1e-14 and 1e-19.
    """
    losses = losses_of(*method(seed, 0.04), seed, until=1e-24)
    return speed(losses, 1e-19, 1e-24) / max(speed(losses, 1e-14, 1e-19), 1e-4)


@claim(
    "imbalanced start",
    CURSES,
    kind="empirical",
    predicts=between(3.0, 5.0),
    tolerance=0.0,
    wrong=lambda seed, alpha: imbalanced(seed, 0.03),
    subject=imbalanced,
    seeds=3,
    scale="40 × 40 matrices of rank 2 seen whole, 4 columns, starts of size 0.03 and 0.06, rate 0.3",
)
def the_rate_is_the_square_of_the_start(method: Start, seed: int) -> float:
    """The linear rate of imbalanced factors is in proportion to α², the square of the size of their start.

    How fast log f falls between 1e-8 and 1e-13 for α = 0.06, over that for α = 0.03. The factors must be small and
    tall: for 10 × 10 matrices the least imbalance of random columns is near 0, and the rate with it.
    """
    fast, slow = (speed(losses_of(*method(seed, alpha), seed)) for alpha in (0.06, 0.03))
    return fast / max(slow, 1e-9)


@claim(
    "imbalanced start",
    CURSES,
    kind="empirical",
    predicts=between(0.8, 1.25),
    tolerance=0.0,
    wrong=untouched,
    subject=evened,
    seeds=3,
    scale="40 × 40 matrices of rank 2 seen whole, 4 columns, starts of size 0.03 and 0.06, rate 0.3",
)
def one_changed_step_makes_the_rate_independent_of_the_start(method: Change, seed: int) -> float:
    """If once, near the truth, the factors are replaced by others with the same product, the first with equal singular
    values, the rate no longer depends on the size of the start.

    How fast log f falls between 1e-8 and 1e-13 for α = 0.06, over that for α = 0.03.
    """
    large, small = (speed(losses_of(*imbalanced(seed, alpha), seed, method)) for alpha in (0.06, 0.03))
    return large / max(small, 1e-9)
