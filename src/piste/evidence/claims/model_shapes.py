"""What laws of scaling say to a run: which shape of a model to train next, and how fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from ..._registry import get
from ...rates import ShapeLaw, best_shape, step_law
from ...rates.rules import StepLaw
from ...schedules import cosine
from ..claim import at_most, between, claim
from .digit_runs import shuffled
from .streams import STREAM, learn

SHAPES = "Navigating Scaling Laws: Accelerating Vision Transformer's Training via Adaptive Strategies"
STEP = "Predictable Scale: Part I -- Optimal Hyperparameter Scaling Law in Large Language Model Pretraining"
Laws = Mapping[str, ShapeLaw]
Choice = Callable[[Laws, float], str]


def ahead(laws: Laws, error: float) -> str:
    """The shape that would have got to this error with the least compute."""
    return min(laws, key=lambda name: laws[name].compute(error))


def finest(laws: Laws, error: float) -> str:
    return list(laws)[-1]


@claim("best_shape", SHAPES, subject=best_shape, kind="theorem", predicts=at_most(1.0), tolerance=1e-6, wrong=ahead,
       seeds=4)  # fmt: skip
def following_the_slope_of_the_laws_takes_no_more_than_any_shape(method: Choice, seed: int) -> float:
    """Where every shape's error falls by its law, training at each error the one that needs the least compute for the
    next bit of it reaches any error with no more compute than any one shape.

    Compute over the least of the shapes alone, from the least error at 1 unit of compute to that at 10,000, in 2000
    steps of error; the largest of 20 draws of 4 laws.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for _ in range(20):
        u = torch.rand(4, 4, generator=random, dtype=torch.float64).tolist()
        laws = {
            str(k): ShapeLaw(math.exp(2 * a), 0.2 + 0.5 * b, 0.3 * c, d) for k, (a, b, c, d) in enumerate(u)
        }
        first, last = (min(law.error(spent) for law in laws.values()) for spent in (1.0, 1e4))
        errors = torch.logspace(math.log10(first), math.log10(last), 2001, dtype=torch.float64).tolist()
        spent = 0.0
        for high, low in pairwise(errors):
            law = laws[method(laws, high)]
            spent += law.compute(low) - law.compute(high)
        worst = max(
            worst, spent / min(law.compute(errors[-1]) - law.compute(errors[0]) for law in laws.values())
        )
    return worst


@claim("best_shape", SHAPES, subject=best_shape, kind="theorem", predicts=at_most(1.0), tolerance=1e-9, wrong=ahead,
       seeds=4)  # fmt: skip
def shapes_change_where_it_saves_most(method: Choice, seed: int) -> float:
    """The best error at which to change from one shape to another is where both need as much compute for the next bit:
    changing sooner or later takes more.

    Compute with the change where the rule has it, over the least with it at errors up to a fifth higher or lower, the
    largest of 20 pairs of laws: a shape that learns sooner and one that gets further.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for _ in range(20):
        a, b, c, d = torch.rand(4, generator=random, dtype=torch.float64).tolist()
        laws = {
            "small": ShapeLaw(1.0, 0.5 + 0.2 * a, 0.2 + 0.2 * b),
            "large": ShapeLaw(3 + 3 * c, 0.5, 0.1 * d),
        }
        high, low = 1.2, laws["small"].c + 1e-6
        for _ in range(60):
            middle = (high + low) / 2
            high, low = (middle, low) if method(laws, middle) == "small" else (high, middle)

        def spent(change: float, laws: Laws = laws) -> float:
            return laws["small"].compute(change) - laws["large"].compute(change)

        others = [high * (1 + k / 100) for k in range(-20, 21) if high * (1 + k / 100) > laws["small"].c]
        end = laws["large"].compute(laws["small"].c)
        worst = max(worst, (spent(high) + end) / (min(map(spent, others)) + end))
    return worst


COARSE = {"2": 4, "4": 2, "8": 1}  # pixels of an edge of the picture: of how many each is the mean
SPENT = 64 * 400


def seen(x: Tensor, edge: str) -> Tensor:
    """Digits with so many pixels at an edge, as long as with all."""
    by = COARSE[edge]
    return torch.nn.functional.avg_pool2d(x.view(-1, 1, 8, 8), by).flatten(1) * by


class Classifier:
    """Gradient descent on the cross entropy of a linear classifier of 500 digits that counts pixels as compute."""

    def __init__(self, seed: int, edge: str) -> None:
        x, labels = shuffled()
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:500]
        self.x, self.shown = x[rows], torch.nn.functional.one_hot(labels[rows], 10).double()
        self.spent, self.losses, self.edge = 0, [], edge
        self.start(torch.zeros(10, int(edge) ** 2, dtype=torch.float64))

    def start(self, w: Tensor) -> None:
        self.pixels, self.w = seen(self.x, self.edge), torch.nn.Parameter(w)
        lr = 2 * len(self.x) / float(torch.linalg.matrix_norm(self.pixels, 2)) ** 2
        self.opt = get("SGD", "optimizer").target([self.w], lr=lr)

    def finer(self, edge: str) -> None:
        """The same answers from more pixels."""
        by = COARSE[self.edge] // COARSE[edge]
        w = self.w.detach().view(10, int(self.edge), int(self.edge)) / by
        self.edge = edge
        self.start(w.repeat_interleave(by, 1).repeat_interleave(by, 2).flatten(1))

    def step(self) -> float:
        """The loss before it."""
        logits = self.pixels @ self.w.detach().mT
        logs = logits - logits.logsumexp(1, keepdim=True)
        self.w.grad = (logs.exp() - self.shown).mT @ self.pixels / len(self.x)
        self.opt.step()
        self.spent += self.w.shape[1]
        return float(-(self.shown * logs).sum(1).mean())


def fitted(spent: Tensor, errors: Tensor) -> ShapeLaw:
    """a (C + d)^-b + c with the least squares of the logarithms of errors less c, over a grid of c and d."""
    c = (errors.min() * torch.linspace(0, 0.98, 50, dtype=torch.float64)).view(-1, 1, 1)
    d = (spent[0] * torch.logspace(-1, 2, 30, dtype=torch.float64)).view(-1, 1)
    x, y = (spent + d).log().expand(50, 30, -1), (errors - c).log().expand(50, 30, -1)
    along = x - x.mean(2, keepdim=True)
    b = -(along * y).sum(2, keepdim=True) / along.square().sum(2, keepdim=True)
    a = (y.mean(2, keepdim=True) + b * x.mean(2, keepdim=True)).exp()
    off = ((a * (spent + d) ** -b + c) / errors).log().square().sum(2)
    i, j = divmod(int(off.argmin()), 30)
    return ShapeLaw(float(a[i, j]), float(b[i, j]), float(c[i, 0]), float(d[j]))


@lru_cache(16)
def alone(seed: int) -> tuple[dict[str, ShapeLaw], float]:
    """The laws of the shapes, from one run of each, and the loss that the finest gets to."""
    laws, end = {}, 0.0
    for edge in COARSE:
        run, losses, spent = Classifier(seed, edge), [], []
        while run.spent < SPENT:
            spent.append(run.spent + int(edge) ** 2)
            losses.append(run.step())
        some = torch.logspace(0, math.log10(len(losses) - 1), 40).long().unique()
        laws[edge] = fitted(torch.tensor(spent).double()[some], torch.tensor(losses).double()[some])
        end = losses[-1]
    return laws, end


@claim("best_shape", SHAPES, subject=best_shape, kind="empirical", predicts=at_most(0.9), tolerance=0.0, wrong=finest,
       seeds=6, cost="full",
       scale="linear classifiers of 500 digits, 2 × 2, 4 × 4 and 8 × 8 pixels, full batches")  # fmt: skip
def models_that_change_their_shape_need_less_compute(method: Choice, seed: int) -> float:
    """Training that starts with a coarse look at pictures and changes to finer ones where the laws of scaling say so
    gets to the same error with much less compute.

    Pixels looked at until the loss is what that of 8 × 8 pixels is after 400 steps, over theirs. (A tenth is the least
    that counts as less.)
    """
    laws, end = alone(seed)
    run = Classifier(seed, method(laws, 2.3))
    while (error := run.step()) > end and run.spent < 2 * SPENT:
        finer = {edge: law for edge, law in laws.items() if int(edge) >= int(run.edge)}
        if (edge := method(finer, max(error, end))) != run.edge:
            run.finer(edge)
    return run.spent / SPENT


RATES = 0.00625 * 2.0 ** torch.arange(7, dtype=torch.float64)
DATA = {512: (1, 2, 4, 8, 16, 32), 4096: (1, 2, 4, 8, 16, 32, 64)}


def lowest(line: Tensor) -> float:
    """Where, from the first place to the last, the parabola is lowest that fits best to the logarithms of the least
    gap, its neighbours and all that are less than half again as large."""
    line, k = line.nan_to_num(math.inf).log(), int(line.nan_to_num(math.inf).argmin())
    at = torch.arange(len(line), dtype=torch.float64)
    near = (line < line[k] + math.log(1.5)) | ((at - k).abs() <= 1)
    x = at[near]
    terms = torch.stack([torch.ones_like(x), x, x * x], 1)
    _, slope, bend = torch.linalg.lstsq(terms, line[near].unsqueeze(1)).solution.squeeze(1).tolist()
    return min(max(-slope / (2 * bend), 0.0), len(line) - 1.0) if bend > 0 else float(k)


@lru_cache(16)
def optimum(seed: int, data: int) -> tuple[float, float]:
    """The rate and the batch of the least gap after so many samples, each the best for the best of the other."""
    gaps = torch.stack([learn(seed, cosine(1.0, data // b), RATES, [data // b], b)[0] for b in DATA[data]])
    gaps = gaps.nan_to_num(math.inf)
    return float(RATES[0]) * 2 ** lowest(gaps.amin(0)), DATA[data][0] * 2 ** lowest(gaps.amin(1))


def as_data(parameters: float, tokens: float) -> StepLaw:
    """A rate that falls as the data grow, a batch in proportion to them."""
    return StepLaw(1e3 * parameters**-0.713 / tokens, 1e-5 * tokens)


GRID = f"{STREAM}, AdamW and a cosine, 512 and 4096 samples, 7 rates and batches of 1 to 64"


@claim("step_law", STEP, subject=step_law, kind="empirical", predicts=between(-0.2, 0.2), tolerance=0.0, wrong=as_data,
       seeds=6, cost="full", scale=GRID)  # fmt: skip
def the_best_batch_grows_with_the_data_as_the_step_law_says(
    method: Callable[..., StepLaw], seed: int
) -> float:
    """The best batch is proportional to the number of samples to the power of 0.571, whatever the model.

    By how much the power exceeds that of the law, from the best batches for 512 and for 4096 samples.
    """
    few, many = (method(192, data).batch for data in DATA)
    return math.log(optimum(seed, 4096)[1] / optimum(seed, 512)[1] / (many / few)) / math.log(8)


@claim("step_law", STEP, subject=step_law, kind="empirical", predicts=between(-0.2, 0.2), tolerance=0.0, wrong=as_data,
       seeds=6, cost="full", scale=GRID)  # fmt: skip
def the_best_rate_grows_with_the_data_as_the_step_law_says(
    method: Callable[..., StepLaw], seed: int
) -> float:
    """With the batch that is best for it the best rate of a model is proportional to the number of samples to the power
    of 0.307.

    By how much the power exceeds that of the law, from the best rates for 512 and for 4096 samples.
    """
    few, many = (method(192, data).lr for data in DATA)
    return math.log(optimum(seed, 4096)[0] / optimum(seed, 512)[0] / (many / few)) / math.log(8)
