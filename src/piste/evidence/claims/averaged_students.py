"""Students that learn from a teacher on some domains and are asked on others, averaged."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ..._chain import Part
from ...averaging.valley import SWAD
from ...transforms.averaging import ema_weights, swa
from ..claim import at_most, claim, equal
from .averaged_digits import SPOTS, WIDTH, flat, network
from .merging import Network, random_net
from .turned_digits import HELD, LEARNED, TEST, answers, cost, error, part, tune
from .weight_averages import walk

DISTILLED = "Weight Averaging Improves Knowledge Distillation under Domain Shift"
SOURCES, TARGETS = (-15.0, 0.0, 15.0), (-30.0, 30.0)
STEPS, BATCH, RATE, SOFT, BEGIN = 1500, 8, 0.4, 5.0, 150


def joined(rows: slice) -> tuple[Tensor, Tensor]:
    """Digits of all source domains."""
    x, labels = zip(*(part(degrees, rows) for degrees in SOURCES), strict=True)
    return torch.cat(x), torch.cat(labels)


@lru_cache(16)
def teacher(seed: int) -> Network:
    return tune(random_net(seed, 128), *joined(LEARNED), seed, lr=0.005, steps=300, batch=50)


def lessons(seed: int) -> Callable[[int, Tensor], Tensor]:
    """Gradients of T² KL(teacher ‖ student) at the temperature T on batches of all source domains, with noise on every
    pixel, which both see."""
    random, (x, _) = torch.Generator().manual_seed(seed), joined(LEARNED)

    def slope(t: int, weights: Tensor) -> Tensor:
        rows = torch.randint(len(x), (BATCH,), generator=random)
        seen = x[rows] + SPOTS * torch.randn(BATCH, 64, generator=random, dtype=torch.float64)
        told = torch.softmax(answers(teacher(seed), seen) / SOFT, 1)
        w, b, v, c = network(weights)
        before = seen @ w.mT + b
        hidden = before.clamp_min(0)
        by_out = SOFT * (torch.softmax((hidden @ v.mT + c) / SOFT, 1) - told) / BATCH
        by_hidden = (by_out @ v) * (before > 0)
        return flat((by_hidden.mT @ seen, by_hidden.sum(0), by_out.mT @ hidden, by_out.sum(0)))

    return slope


def first(seed: int) -> Tensor:
    return flat(tune(random_net(seed + 90, WIDTH), *joined(LEARNED), seed, steps=200))


def missed(weights: Tensor, domains: tuple[float, ...] = TARGETS) -> float:
    """The share of wrong answers on domains."""
    return sum(error(network(weights), *part(degrees, TEST)) for degrees in domains) / len(domains)


@lru_cache(32)
def taught(method: Callable[[int], Part], seed: int) -> tuple[Tensor, Tensor]:
    """The student at the end of a run at a constant rate, and what the average shows."""
    *_, end = walk(method(BEGIN), lessons(seed), first(seed), STEPS, RATE, STEPS)
    return end


def away(begin: int) -> Part:
    """Beyond the last point, three times as far as the average lies behind it."""
    return ema_weights(0.99, blend=-3.0)


SCALE = (
    "students of 32 hidden units and teachers of 128 that learned 500 digits of 8 × 8 pixels at three angles, 1,500 "
    "steps of 8 with noise of 0.4 on each pixel"
)


@claim(
    "swa", DISTILLED, subject=swa, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=away, seeds=14,
    scale=SCALE, cost="full",
)  # fmt: skip
def an_averaged_student_holds_up_better_under_domain_shift(method: Callable[[int], Part], seed: int) -> float:
    """The mean of all iterates after the first tenth of a distillation does better on domains that were not there than
    the student at its end.

    The share of wrong answers on digits turned by 30° to either side over that of the last student's; both teacher and
    student learn from digits turned by -15°, 0° and 15°.
    """
    end, shown = taught(method, seed)
    return missed(shown) / missed(end)


@claim(
    "swa", DISTILLED, subject=swa, kind="empirical", predicts=at_most(1.05), tolerance=0.0, wrong=away, seeds=8,
    scale=SCALE, cost="full",
)  # fmt: skip
def a_window_without_validation_is_as_good_as_one_that_losses_choose(
    method: Callable[[int], Part], seed: int
) -> float:
    """The mean of all iterates after a fixed one needs no validation, and is on a par with SWAD, whose window
    validation losses choose.

    The share of wrong answers on digits turned by 30° to either side, of the mean from a tenth of the run on over that
    of SWAD's, told of the loss on 400 other digits of the sources every 50 steps. A twentieth is taken for on a par.
    """
    student, held = torch.nn.Parameter(first(seed)), joined(HELD)
    swad, shown = SWAD([student]), student.detach()
    for t, pair in enumerate(walk(method(BEGIN), lessons(seed), first(seed), STEPS, RATE), 1):
        point, shown = pair
        student.data.copy_(point)
        if not swad.dead:
            swad.step()
        if t % 50 == 0 and not swad.dead:
            swad.evaluated(cost(network(point), *held))
    return missed(shown) / missed(swad.average()[0])


def from_the_first(params: list[Tensor], **hyper: float) -> SWAD:
    """Without a window."""
    return SWAD(params, n_converge=1, n_tolerance=10**6)


@claim(
    "SWAD",
    DISTILLED,
    subject=SWAD,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-12,
    wrong=from_the_first,
    seeds=3,
)
def the_window_is_the_valley_of_validation_losses(method: Callable[..., SWAD], seed: int) -> float:
    """SWAD's average is the plain mean of all iterates from where the validation loss is not undercut by the two after
    it to where six in a row exceed 1.3 times the mean of those three.

    The difference from the mean over the window that is read off all losses when the run is over: 40 evaluations, ten
    steps before each, down from 3 to 1 and up again to 4, with noise.
    """
    random = torch.Generator().manual_seed(seed)
    points = torch.randn(400, 1, generator=random, dtype=torch.float64).cumsum(0)
    shape = torch.cat([torch.linspace(3, 1, 20), torch.linspace(1, 4, 20)]).double()
    losses = shape * (1 + 0.02 * torch.randn(40, generator=random, dtype=torch.float64))
    place = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    swad = method([place])
    for t, point in enumerate(points):
        place.data.copy_(point)
        swad.step()
        if t % 10 == 9:
            swad.evaluated(float(losses[t // 10]))
    begin = next(i for i in range(38) if losses[i] == losses[i : i + 3].min())
    bound = 1.3 * losses[begin : begin + 3].mean()
    end = next((i for i in range(begin + 3, 35) if losses[i : i + 6].min() > bound), 40)
    return float((swad.average()[0] - points[10 * begin : 10 * end].mean(0)).abs())
