"""Batches that grow with the noise, and the rates that go with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ...batches import (
    coordinate_test,
    inner_product_test,
    norm_test,
    orthogonality_test,
    per_sample_gradients,
)
from ...rates import LanczosRate, lanczos_rate, scaled_lr
from ..claim import at_most, between, claim, equal
from .merging import digits, random_net, train

ADADAGRAD = "AdAdaGrad: Adaptive Batch Size Schemes for Adaptive Gradient Methods"
RANDOM = (
    "Learning Rates as a Function of Batch Size: A Random Matrix Theory Approach to Neural Network Training"
)
Test = Callable[[Mapping[str, Tensor], float], float]


@claim(
    "norm_test", ADADAGRAD, subject=norm_test, kind="theorem", predicts=at_most(1.0), tolerance=0.05,
    wrong=inner_product_test, seeds=4, in_mean=True,
)  # fmt: skip
def a_batch_that_passes_the_norm_test_errs_by_a_share(method: Test, seed: int) -> float:
    """A batch as large as the norm test asks for has a gradient whose expected squared error is at most η² times the
    squared length of the whole gradient.

    The mean of error² / (η ‖∇F‖)² over 2000 batches drawn with replacement, η = 0.5; F is the cross entropy of a random
    linear classifier of 500 digits, whose gradients are all shown to the test. (The tolerance is for the draws.)
    """
    x, labels = digits()
    net = torch.nn.Linear(64, 10, dtype=torch.float64)
    rows = per_sample_gradients(net, torch.nn.functional.cross_entropy, x, labels)
    g = torch.cat([part.flatten(1) for part in rows.values()], 1)
    size, random = math.ceil(method(rows, 0.5)), torch.Generator().manual_seed(seed)
    batches = torch.randint(len(g), (2000, size), generator=random)
    shares = torch.zeros(2000, len(g), dtype=g.dtype).scatter_add_(
        1, batches, torch.ones(2000, size, dtype=g.dtype)
    )
    error = (shares / size @ g - g.mean(0)).square().sum(1).mean()
    return float(error / (0.25 * g.mean(0).square().sum()))


@claim(
    "inner_product_test", ADADAGRAD, subject=inner_product_test, kind="identity", predicts=equal(1.0), tolerance=1e-10,
    wrong=coordinate_test, seeds=3,
)  # fmt: skip
def the_norm_test_is_the_inner_product_and_the_orthogonality_test(method: Test, seed: int) -> float:
    """The augmented inner product test looks along the gradient and across it: with one constant for both, what the two
    ask for adds up to what the norm test asks for, so that each of them is the milder one.

    The sum over the norm test's size, for 40 gradients of 30 numbers of very different variance; the constant is 0.3.
    """
    random = torch.Generator().manual_seed(seed)
    spread = torch.logspace(-2, 1, 30, dtype=torch.float64)
    g = {"w": 1 + spread * torch.randn(40, 30, generator=random, dtype=torch.float64)}
    return (method(g, 0.3) + orthogonality_test(g, 0.3)) / norm_test(g, 0.3)


def never(gradients: Mapping[str, Tensor], eta: float) -> float:
    """Asks for nothing."""
    return 1.0


def squares(method: Test, seed: int, steps: int) -> Tensor:
    """‖∇F‖² along a run of Adagrad on F = Σ x² / (1 + x²) of 20 numbers, whose samples' gradients have Gaussian noise
    of deviation 1 in each: 64 of a batch, of 8 at first, are shown to the test, with η = 0.5."""
    random = torch.Generator().manual_seed(seed)
    x = torch.nn.Parameter(2 * torch.randn(20, generator=random, dtype=torch.float64))
    opt, batch, seen = get("Adagrad", "optimizer").target([x], lr=0.5), 8.0, []
    for _ in range(steps):
        here = x.detach()
        slope = 2 * here / (1 + here.square()).square()
        seen.append(slope.square().sum())
        x.grad = slope + torch.randn(20, generator=random, dtype=torch.float64) / math.sqrt(batch)
        shown = torch.randn(64, 20, generator=random, dtype=torch.float64)
        batch = min(max(batch, method({"x": x.grad + shown - shown.mean(0)}, 0.5)), 1e12)
        opt.step()
    return torch.stack(seen)


@claim(
    "norm_test", ADADAGRAD, subject=norm_test, kind="empirical", predicts=at_most(-0.9), tolerance=0.0, wrong=never,
    seeds=6, scale="a non-convex sum of 20 terms with Gaussian noise, 50 to 800 steps of Adagrad from batches of 8",
)  # fmt: skip
def tested_batches_reach_the_rate_of_full_ones(method: Test, seed: int) -> float:
    """With batches that pass the norm test the mean squared gradient of the first K iterates of adaptive methods falls
    as 1/K on smooth non-convex losses, as with full batches, where noise that stays makes it 1/√K.

    The order in K of the mean from 50 steps to 800. (A constant sum of squares would give -1.)
    """
    seen = squares(method, seed, 800)
    return math.log(seen.mean() / seen[:50].mean()) / math.log(16)


def cautious(loss: Callable[[], Tensor], params: Any, products: int = 20, seed: int = 0) -> LanczosRate:
    """1 / L, found with one product."""
    found = lanczos_rate(loss, params, 1, seed)
    return found._replace(lr=1 / found.largest)


@claim(
    "lanczos_rate", RANDOM, subject=lanczos_rate, kind="identity", predicts=equal(1.0), tolerance=1e-8, wrong=cautious,
    seeds=3,
)  # fmt: skip
def the_rate_from_lanczos_is_two_over_the_largest_and_middle_curvature(method: Any, seed: int) -> float:
    """A few products with the Hessian of a batch give the largest curvature L and a middle one μ, and with them the
    rate 2 / (L + μ).

    Found rate over that from all eigenvalues, for a loss of 21 numbers with curvatures from 0.01 to 1, not rotated into
    the axes, after as many products as there are numbers, where the method sees them all.
    """
    random = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(21, 21, generator=random, dtype=torch.float64))[0]
    h = torch.logspace(-2, 0, 21, dtype=torch.float64)
    w = torch.nn.Parameter(torch.randn(21, generator=random, dtype=torch.float64))
    found = method(lambda: 0.5 * (h * (w @ q).square()).sum(), [w], products=21, seed=seed)
    return found.lr * float(h.max() + h.median()) / 2


@claim(
    "lanczos_rate", RANDOM, subject=lanczos_rate, kind="theorem", predicts=equal(1.0), tolerance=0.03, wrong=cautious,
    seeds=4, in_mean=True,
)  # fmt: skip
def small_batches_have_a_larger_curvature_by_the_random_matrix_law(method: Any, seed: int) -> float:
    """The Hessian of a batch of B is that of all data and a random matrix: of P numbers and a variance of σ² for a
    sample, its largest eigenvalue is λ + Pσ²/(Bλ), above the λ of all data by what grows as the batch shrinks.

    Largest found over the formula, the mean of P/B = 1, 1/4 and 1/16, for λ = 2 in one direction, σ = 1 and P = 300.
    """
    random, size, shares = torch.Generator().manual_seed(seed), 300, (1.0, 0.25, 0.0625)
    spike = torch.zeros(size, size, dtype=torch.float64)
    spike[0, 0] = 2.0
    ratios = []
    for share in shares:
        z = torch.randn(size, size, generator=random, dtype=torch.float64)
        hessian = spike + math.sqrt(share / (2 * size)) * (z + z.mT)
        w = torch.nn.Parameter(torch.ones(size, dtype=torch.float64))
        found = method(lambda h=hessian, w=w: 0.5 * w @ h @ w, [w], seed=seed)
        ratios.append(found.largest / (2 + share / 2))
    return sum(ratios) / len(ratios)


def largest(ends_low: Callable[[float], bool], low: float, high: float, halvings: int = 7) -> float:
    """The largest rate that ends low, where all below do: bisection on a logarithmic scale."""
    for _ in range(halvings):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if ends_low(middle) else (low, middle)
    return math.sqrt(low * high)


def stable(batch: int, seed: int, size: int = 60) -> float:
    """The largest rate of SGD on a stream of linear regression, a batch of Gaussian rows at each of 40 steps: most of
    16 runs end nearer to the solution."""

    def nearer(lr: float) -> bool:
        random = torch.Generator().manual_seed(seed)
        x = torch.nn.Parameter(torch.ones(16, size, dtype=torch.float64))
        opt = get("SGD", "optimizer").target([x], lr=lr)
        for _ in range(40):
            rows = torch.randn(16, batch, size, generator=random, dtype=torch.float64)
            x.grad = (rows.mT @ (rows @ x.detach().unsqueeze(2))).squeeze(2) / batch
            opt.step()
        return bool(x.detach().square().sum(1).median() < size)

    return largest(nearer, 0.01, 1.0)


def by_the_root(lr: float, batch: float, new_batch: float, rule: str) -> float:
    return scaled_lr(lr, batch, new_batch, "sqrt")


def in_a_line(lr: float, batch: float, new_batch: float, rule: str) -> float:
    return scaled_lr(lr, batch, new_batch, "linear")


@claim(
    "scaled_lr", RANDOM, subject=scaled_lr, kind="empirical", predicts=between(0.8, 1.25), tolerance=0.0,
    wrong=by_the_root, seeds=4, scale="linear regression of 60 numbers on a stream, batches of 2 and 8, 40 steps",
)  # fmt: skip
def the_largest_rate_of_sgd_is_proportional_to_a_small_batch(method: Any, seed: int) -> float:
    """While the noise of a batch's curvature dominates, the largest stable rate of SGD grows in proportion to the
    batch.

    The largest stable rate with four times the batch, over what the rule says from that with the smaller one.
    """
    return stable(8, seed) / method(stable(2, seed), 2, 8, "linear")


def learns(batch: int, seed: int) -> float:
    """The largest rate at which 100 steps of Adam on batches of digits at least halve the loss of a network."""
    x, labels = digits()
    shown = torch.nn.functional.one_hot(labels, 10).double()

    def halves(lr: float) -> bool:
        random = torch.Generator().manual_seed(seed)
        params = [torch.nn.Parameter(p) for p in random_net(seed, 32)]
        opt = get("Adam", "optimizer").target(params, lr=lr)
        for _ in range(100):
            rows = torch.randint(len(x), (batch,), generator=random)
            train(opt, params, x[rows], shown[rows], 1)
        w, b, v, c = (p.detach() for p in params)
        loss = torch.nn.functional.cross_entropy((x @ w.mT + b).clamp_min(0) @ v.mT + c, labels)
        return bool(loss < math.log(10) / 2)

    return largest(halves, 0.02, 5.0)


@claim(
    "scaled_lr", RANDOM, subject=scaled_lr, kind="empirical", predicts=between(0.67, 1.5), tolerance=0.0,
    wrong=in_a_line, seeds=12, cost="full",
    scale="a ReLU network of 32 units on 500 digits, 100 steps on batches of 4 and 64",
)  # fmt: skip
def the_largest_rate_of_adam_grows_with_the_root_of_the_batch(method: Any, seed: int) -> float:
    """For Adam and its kin the largest stable rate grows with the square root of the batch.

    The largest rate at which 100 steps halve the loss with 16 times the batch, over what the rule says from that with
    the smaller one.
    """
    return learns(64, seed) / method(learns(4, seed), 4, 64, "sqrt")
