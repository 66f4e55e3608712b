"""Means of models that were fine-tuned from one start."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from ...merging.linear import soup
from ...merging.running import merge
from ...merging.soups import Score, Soup, greedy_soup
from ..claim import at_most, claim, equal
from .merging import Network, random_net
from .turned_digits import HELD, TEST, TUNED, TURN, WAYS, cost, error, merged, part, tune, tuned

SOUPS = (
    "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference "
    "time"
)
DIWA = "Diverse Weight Averaging for Out-of-Distribution Generalization"
Mix = Callable[..., Tensor]
NAMES = ("w", "b", "v", "c")


def away(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """From the mean to the last model, and on as far again."""
    return 2 * tensors[-1] - sum(w * t for t, w in zip(tensors, weights, strict=True))


def heaviest(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The model of the largest weight alone."""
    return tensors[max(range(len(weights)), key=weights.__getitem__)]


@claim(
    "soup", SOUPS, subject=soup, kind="theorem", predicts=equal(3.0), tolerance=0.2, wrong=heaviest, seeds=3
)
def a_soup_costs_what_the_ensemble_does_up_to_a_curvature_and_a_variance(method: Mix, seed: int) -> float:
    """To second order the loss of a soup of two networks, less that of the ensemble of their logits, is α(1-α)/2 times
    what the variance of the change of logits under the soup's own prediction exceeds the second derivative of the loss
    along the line by.

    The order in the distance between the two at which the formula errs, from a distance and its half: 3 where all of
    the second order is right. Networks of 8 tanh units and 5 classes on 40 random inputs, α = 0.3.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 6, generator=random, dtype=torch.float64)
    labels = torch.randint(5, (40,), generator=random)
    here, way = (torch.randn(88, generator=random, dtype=torch.float64) for _ in range(2))

    def logits(flat: Tensor) -> Tensor:
        return torch.tanh(x @ flat[:48].view(6, 8)) @ flat[48:].view(8, 5)

    def loss(z: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(z, labels)

    def off(far: float, alpha: float = 0.3) -> float:
        ends = here, here + far * way
        middle = method(list(ends), [1 - alpha, alpha])
        z = [logits(end) for end in ends]
        seen = loss(logits(middle)) - loss((1 - alpha) * z[0] + alpha * z[1])
        step = ends[1] - ends[0]
        bend = grad(grad(lambda a: loss(logits(middle + a * step))))(torch.zeros((), dtype=torch.float64))
        p, change = logits(middle).softmax(1), z[1] - z[0]
        variance = ((p * change**2).sum(1) - (p * change).sum(1) ** 2).mean()
        return float((seen - alpha * (1 - alpha) / 2 * (variance - bend)).abs())

    return math.log2(off(0.001) / off(0.0005))


def named(net: Network) -> dict[str, Tensor]:
    return dict(zip(NAMES, net, strict=True))


def network(state: Mapping[str, Tensor]) -> Network:
    w, b, v, c = (state[n] for n in NAMES)
    return w, b, v, c


def uniform(models: Sequence[Any], score: Score) -> Soup:
    """All of them."""
    mean = merge("soup", models)
    return Soup(mean, [*range(len(models))], score(mean), [score(m) for m in models])


def past(models: Sequence[Any], score: Score) -> Soup:
    """From the mean of all through the best model, and on as far again."""
    best = max(range(len(models)), key=lambda i: score(models[i]))
    mean = merge("soup", [models[i] for i in range(len(models)) if i != best])
    far = {n: 2 * t - mean[n] for n, t in models[best].items()}
    return Soup(far, [best], score(far), [score(m) for m in models])


@claim(
    "greedy_soup",
    SOUPS,
    subject=greedy_soup,
    kind="theorem",
    predicts=at_most(0.0),
    tolerance=1e-12,
    wrong=uniform,
)
def a_greedy_soup_is_no_worse_than_its_best_model(method: Any, seed: int) -> float:
    """By its making, a greedy soup is no worse on the held-out data than the best of its models.

    How much the best of 6 random networks is better than the soup, by their accuracy on 400 digits; the largest of 10
    draws.
    """
    x, labels = part(0.0, HELD)
    worst = -math.inf
    for draw in range(10):
        nets = [random_net(1000 * seed + 10 * draw + i, 16) for i in range(6)]
        scores = [1 - error(net, x, labels) for net in nets]
        made = method([named(net) for net in nets], lambda state: 1 - error(network(state), x, labels))
        worst = max(worst, max(scores) - (1 - error(network(made.tensors), x, labels)))
    return worst


FINE = (
    "ReLU networks of 64 units that know 500 digits of 8 × 8 pixels, fine-tuned on 100 that are turned by 15°: 8 runs "
    "of 100 steps of AdamW on batches of 25, two rates, decays and smoothings of labels each; tried on 797 others"
)


def greedy_and_best(method: Any, seed: int) -> tuple[Network, Network]:
    """The greedy soup and the best model by their cross entropy on held-out digits."""
    held, nets = part(TURN, HELD), [tuned(seed, way) for way in range(len(WAYS))]
    made = method([named(net) for net in nets], lambda state: -cost(network(state), *held))
    return network(made.tensors), min(nets, key=lambda net: cost(net, *held))


@claim(
    "greedy_soup",
    SOUPS,
    subject=greedy_soup,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=past,
    seeds=5,
    scale=FINE,
)
def greedy_soups_beat_the_best_of_their_models(method: Any, seed: int) -> float:
    """Averaging models that were fine-tuned with different hyperparameters is better than choosing the best of them on
    held-out data.

    The cross entropy of the greedy soup on new digits over that of the best model, both chosen by their cross entropy
    on 400 held-out ones. (Chosen by accuracy, of which so few digits tell little, most soups are of one model, and the
    errors are the same to 4 %.)
    """
    soup, best = greedy_and_best(method, seed)
    return cost(soup, *part(TURN, TEST)) / cost(best, *part(TURN, TEST))


@claim(
    "soup",
    SOUPS,
    subject=soup,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=away,
    seeds=10,
    cost="full",
    scale=FINE,
)
def soups_are_more_robust_than_the_best_of_their_models(method: Mix, seed: int) -> float:
    """Soups improve accuracy out of distribution: the mean of all models errs less on shifted data than the one that is
    the most accurate where they were fine-tuned.

    The error of the mean over that of the model with the best accuracy on 400 held-out digits, on new digits with noise
    of deviation 0.25 on every pixel, which no model was fine-tuned or chosen on.
    """
    nets, test = [tuned(seed, way) for way in range(len(WAYS))], part(TURN, TEST, 0.25)
    best = min(nets, key=lambda net: error(net, *part(TURN, HELD)))
    return error(merged(method, nets, [1 / len(nets)] * len(nets)), *test) / error(best, *test)


@claim(
    "soup", DIWA, subject=soup, kind="identity", predicts=equal(0.0), tolerance=1e-10, wrong=heaviest, seeds=3
)
def the_error_of_a_weight_average_is_bias_variance_and_covariance(method: Mix, seed: int) -> float:
    """The expected error of an average of M models is bias² + variance/M + (M-1)/M · covariance, up to the square of
    their distance: models that vary together gain little by it, diverse ones much.

    Linear models, for which the distance does not count: least squares on 30 of 60 noisy rows, 7 draws of them; the
    mean squared error on shifted data over all averages of M = 1 to 7 different draws, less the formula, where
    covariances of such draws are counted over all pairs.
    """
    random = torch.Generator().manual_seed(seed)
    x, new = (torch.randn(60, 10, generator=random, dtype=torch.float64) for _ in range(2))
    truth = torch.randn(10, generator=random, dtype=torch.float64)
    y = x @ truth + torch.randn(60, generator=random, dtype=torch.float64)
    runs = []
    for _ in range(7):
        rows = torch.randperm(60, generator=random)[:30]
        runs.append(torch.linalg.lstsq(x[rows], y[rows].unsqueeze(1)).solution.squeeze(1))
    new, worst = new * torch.linspace(0.2, 3, 10, dtype=torch.float64) + 0.5, 0.0
    off = torch.stack([new @ w for w in runs]) - (new @ truth + new.square().mean(1))
    bias, apart = off.mean(0), off - off.mean(0)
    variance = apart.square().mean()
    pairs = torch.stack([apart[i] * apart[j] for i, j in combinations(range(7), 2)]).mean()
    for m in range(1, 8):
        means = [method([runs[i] for i in some], [1 / m] * m) for some in combinations(range(7), m)]
        seen = torch.stack([new @ w - (new @ truth + new.square().mean(1)) for w in means]).square().mean()
        formula = bias.square().mean() + variance / m + (m - 1) / m * pairs
        worst = max(worst, float((seen - formula).abs() / seen))
    return worst


def gain(method: Mix, nets: Sequence[Network]) -> float:
    """The error of the mean, on digits with noise, over the mean error."""
    test = part(TURN, TEST, 0.25)
    mean = merged(method, nets, [1 / len(nets)] * len(nets))
    return error(mean, *test) * len(nets) / sum(error(net, *test) for net in nets)


@claim(
    "soup",
    DIWA,
    subject=soup,
    kind="empirical",
    predicts=at_most(0.97),
    tolerance=0.0,
    wrong=away,
    seeds=10,
    cost="full",
    scale=FINE,
)
def averages_of_independent_runs_err_less_out_of_distribution(method: Mix, seed: int) -> float:
    """Out of distribution, where variance dominates, the average of independent runs errs less than they do.

    The error of the average of 8 runs on digits with noise of deviation 0.25 over the mean of theirs. (Three errors of
    a hundred are the least that counts as fewer.)
    """
    return gain(method, [tuned(seed, way) for way in range(len(WAYS))])


@claim(
    "soup",
    DIWA,
    subject=soup,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=away,
    seeds=10,
    cost="full",
    scale=FINE,
)
def diverse_runs_gain_more_by_averaging_than_points_of_one_run(method: Mix, seed: int) -> float:
    """Runs that differ in their hyperparameters are more diverse than points of one run, and gain more by averaging.

    That ratio for the 8 runs over the same for 8 points of the first run, every 12 steps as it goes on.
    """
    points, net = [], tuned(seed, 0)
    for k in range(8):
        net = tune(net, *part(TURN, TUNED), 1000 * seed + 50 + k, steps=12, **WAYS[0])
        points.append(net)
    return gain(method, [tuned(seed, way) for way in range(len(WAYS))]) / gain(soup, points)
