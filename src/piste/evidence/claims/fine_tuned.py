"""Between a model and what fine-tuning made of it: Model Stock, WiSE-FT, and starts that are fused of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ...merging.linear import mixed, model_stock, soup, wise_ft
from ..claim import at_least, at_most, claim, equal
from .merging import Network, random_net
from .turned_digits import LEARNED, TEST, TUNED, TURN, cost, error, merged, part, start, tune

STOCK = "Model Stock: All we need is just a few fine-tuned models"
WISE = "Robust fine-tuning of zero-shot models"
SPURIOUS = "Spurious Feature Diversification Improves Out-of-distribution Generalization"
FUSING = "Fusing finetuned models for better pretraining"
Mix = Callable[..., Tensor]
FINE = (
    "ReLU networks of 64 units that know 500 digits of 8 × 8 pixels, fine-tuned on 100 that are turned by 15° by 100 "
    "steps of AdamW on batches of 25; tried on 797 others"
)


def anchored(method: Mix, nets: Sequence[Network], base: Network, **more: Any) -> Network:
    """A method that asks for the base, on each tensor."""
    w, b, v, c = (method(list(t), base=t0, **more) for *t, t0 in zip(*nets, base, strict=True))
    return w, b, v, c


def flat(net: Network) -> Tensor:
    return torch.cat([p.flatten() for p in net])


def plain(tensors: Sequence[Tensor], base: Tensor) -> Tensor:
    """The mean, whatever the base."""
    return mixed(tensors, [1 / len(tensors)] * len(tensors))


def past(tensors: Sequence[Tensor], base: Tensor) -> Tensor:
    """Away from the base, as far again."""
    return 2 * plain(tensors, base) - base


@claim(
    "model_stock",
    STOCK,
    subject=model_stock,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=plain,
    seeds=3,
)
def model_stock_is_the_foot_of_the_perpendicular_from_the_center(method: Mix, seed: int) -> float:
    """Where fine-tuned models lie in orthogonal directions at one distance from a center, Model Stock's merge is the
    point nearest to the center of all on the plane through them and the base.

    The largest cosine between the way from there to the center and the plane's directions, for 2 to 5 models in 40
    dimensions at distances of 0.3 to 3 of a center that is 1 from the base.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for n in (2, 3, 4, 5):
        for far in (0.3, 1.0, 3.0):
            axes = torch.linalg.qr(torch.randn(40, n + 1, generator=random, dtype=torch.float64))[0].mT
            base = torch.randn(40, generator=random, dtype=torch.float64)
            center = base + axes[0]
            models = [center + far * axis for axis in axes[1:]]
            left = center - method(models, base)
            for model in models:
                way = model - base
                worst = max(worst, float((left @ way).abs() / (left.norm() * way.norm())))
    return worst


@lru_cache(256)
def run(seed: int, k: int) -> Network:
    return tune(start(seed), *part(TURN, TUNED), 1000 * seed + k)


@claim(
    "model_stock",
    STOCK,
    subject=model_stock,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=past,
    seeds=8,
    cost="full",
    scale=FINE,
)
def two_models_in_stock_are_nearer_to_the_center_than_their_mean(method: Mix, seed: int) -> float:
    """Drawn towards the base by the angle between them, two fine-tuned models give a point nearer to the center of many
    than their mean is.

    The distance of Model Stock of two runs to the mean of 6 others over the distance of the mean of the two; the mean
    of four disjoint pairs of 8 runs.
    """
    nets, base, ratios = [run(seed, k) for k in range(8)], start(seed), []
    for k in range(0, 8, 2):
        pair, others = nets[k : k + 2], nets[:k] + nets[k + 2 :]
        center = flat(merged(soup, others, [1 / 6] * 6))
        ours, theirs = (float((flat(anchored(how, pair, base)) - center).norm()) for how in (method, plain))
        ratios.append(ours / theirs)
    return sum(ratios) / 4


@claim(
    "model_stock",
    STOCK,
    subject=model_stock,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=past,
    seeds=4,
    scale=FINE,
)
def model_stock_of_two_is_better_than_their_soup(method: Mix, seed: int) -> float:
    """With two fine-tuned models Model Stock does better than a soup, where they were tuned and on shifted data.

    The larger of the two ratios of their cross entropies: on new digits, and on these with noise of deviation 0.25.
    """
    nets, base = [run(seed, k) for k in range(2)], start(seed)
    ours, theirs = anchored(method, nets, base), anchored(plain, nets, base)
    tests = part(TURN, TEST), part(TURN, TEST, 0.25)
    return max(cost(ours, *test) / cost(theirs, *test) for test in tests)


def voters(seed: int, rows: int = 20000) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two linear classifiers, each of 2 invariant and 10 spurious features of its own, and shifted data: the class that
    a feature shows (a unit vector and noise) is the label, or in nine of ten spurious cases a random one of three."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows, 1), generator=random)
    shown, other = labels.repeat(1, 24), torch.randint(3, (rows, 24), generator=random)
    lost = (torch.rand(rows, 24, generator=random) < 0.9) & (torch.arange(24) >= 4)
    x = torch.nn.functional.one_hot(torch.where(lost, other, shown), 3).double()
    x = x + 0.1 * torch.randn(x.shape, generator=random, dtype=torch.float64)
    own = (torch.arange(24) % 2).double()[:, None, None]
    one, two = (w * torch.eye(3, dtype=torch.float64) for w in (1 - own, own))
    return one, two, x, labels[:, 0]


def right(w: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    return torch.einsum("nfk,fkc->nc", x, w).argmax(1) == labels


def tuned_alone(tensors: Sequence[Tensor], base: Tensor) -> Tensor:
    """The fine-tuned model."""
    return tensors[0]


VOTES = (
    "20000 rows of 24 features of 3 classes, of which each model knows 2 invariant and 10 spurious ones, in the "
    "shifted data nine of ten spurious ones at random"
)


@claim(
    "wise_ft",
    SPURIOUS,
    subject=wise_ft,
    kind="empirical",
    predicts=at_least(0.01),
    tolerance=0.0,
    wrong=tuned_alone,
    scale=VOTES,
)
def models_of_different_spurious_features_are_best_half_way(method: Mix, seed: int) -> float:
    """Where two models rely on different spurious features, the point half way relies on each of them less, and is more
    accurate on shifted data than either.

    Its accuracy less that of the better one. (A point of a hundred is the least that counts as more.)
    """
    one, two, x, labels = voters(seed)
    middle, *ends = (right(w, x, labels).double().mean() for w in (method([two], one), one, two))
    return float(middle - max(ends))


@claim(
    "wise_ft",
    SPURIOUS,
    subject=wise_ft,
    kind="empirical",
    predicts=at_least(0.1),
    tolerance=0.0,
    wrong=tuned_alone,
    scale=VOTES,
)
def the_middle_is_right_where_both_ends_are_wrong(method: Mix, seed: int) -> float:
    """Much of what interpolation gains are answers that both ends get wrong: spurious features that err in different
    ways outvote each other.

    Of the shifted rows where both ends are wrong, the share where the point half way is right. (A tenth is the least
    that counts as much.)
    """
    one, two, x, labels = voters(seed)
    lost = ~right(one, x, labels) & ~right(two, x, labels)
    return float(right(method([two], one), x, labels)[lost].double().mean())


def evened(tensors: Sequence[Tensor], base: Tensor) -> Tensor:
    """Half way to the fine-tuned model, made as long as the base."""
    return mixed([base, tensors[0] * (base.norm() / tensors[0].norm())], [0.5, 0.5])


@claim(
    "wise_ft",
    SPURIOUS,
    subject=wise_ft,
    kind="empirical",
    predicts=at_least(0.01),
    tolerance=0.0,
    wrong=evened,
    scale=VOTES,
)
def an_overconfident_end_spoils_the_middle(method: Mix, seed: int) -> float:
    """If fine-tuning scales up the logits of a model the point half way follows it alone, and loses accuracy on shifted
    data; averaging wants both ends balanced.

    The accuracy half way less that where the fine-tuned end is scaled by 5. (A point of a hundred is the least that
    counts as less.)
    """
    one, two, x, labels = voters(seed)
    even, odd = (right(method([end], one), x, labels).double().mean() for end in (two, 5 * two))
    return float(even - odd)


@claim("wise_ft", WISE, subject=wise_ft, kind="empirical", predicts=at_most(1.0), tolerance=0.0, wrong=past, seeds=8,
    cost="full",
       scale="ReLU networks of 64 units that know 500 digits of 8 × 8 pixels with noise, each turned by -30° to 30° in "
       "five steps, fine-tuned on 300 others as they are, 100 steps of AdamW; tried on 797 others")  # fmt: skip
def half_way_is_more_robust_than_either_end(method: Mix, seed: int) -> float:
    """Half way between a model that knows much and its self that was fine-tuned on one kind of data, errors on shifted
    data are fewer than at both ends.

    The error on digits turned by 20° with noise of deviation 0.25 on every pixel over the smaller one of the ends'. The
    base has seen digits like these, the fine-tuned model other digits more of them.
    """
    x, labels = zip(
        *(part(degrees, LEARNED, 0.25) for degrees in (-30.0, -15.0, 0.0, 15.0, 30.0)), strict=True
    )
    one = tune(random_net(seed, 64), torch.cat(x), torch.cat(labels), seed, steps=400)
    two, test = tune(one, *part(0.0, slice(500, 800)), seed), part(20.0, TEST, 0.25)
    return error(anchored(method, [two], one), *test) / min(error(one, *test), error(two, *test))


def summed(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The sum, where shares were forgotten."""
    return mixed(tensors, [1.0] * len(tensors))


SOURCES, TARGETS = (-40.0, -15.0, 15.0, 40.0), (-27.0, 0.0, 27.0)
FUSED = (
    "hidden layers of ReLU networks of 64 units that know 500 digits of 8 × 8 pixels, fine-tuned on 300 turned by "
    "-40°, -15°, 15° or 40°; targets turned by -27°, 0° and 27°, 50 digits each, 60 steps of AdamW; tried on 797 others"
)


@lru_cache(64)
def source(seed: int, k: int) -> Network:
    return tune(start(seed), *part(SOURCES[k], slice(500, 800)), 1000 * seed + k)


def transferred(trunk: Network, seed: int) -> float:
    """The error after fine-tuning on few digits of a target, with the head of the start; the mean over targets."""
    net = (*trunk[:2], *start(seed)[2:])
    few = (tune(net, *part(to, slice(800, 850)), seed, steps=60) for to in TARGETS)
    return sum(error(net, *part(to, TEST)) for net, to in zip(few, TARGETS, strict=True)) / len(TARGETS)


@claim(
    "soup",
    FUSING,
    subject=soup,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=summed,
    seeds=4,
    scale=FUSED,
)
def a_fused_model_is_a_better_start_than_the_pretrained_one(method: Mix, seed: int) -> float:
    """The mean of models that were fine-tuned on other tasks, their heads left out, is a better start for a new task
    than the model which they come from.

    The error after fine-tuning from it over that from the pre-trained model, each the mean over three targets.
    """
    fused = merged(method, [source(seed, k) for k in range(4)], [0.25] * 4)
    return transferred(fused, seed) / transferred(start(seed), seed)


@claim(
    "soup",
    FUSING,
    subject=soup,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=summed,
    seeds=8,
    cost="full",
    scale=FUSED,
)
def fusing_beats_training_on_one_other_task_first(method: Mix, seed: int) -> float:
    """Fusing is often better than intertraining, fine-tuning on one other task first, if one does not know which task
    suits the target.

    The error after fine-tuning from the fused model over the mean of those from each of the four that were fused.
    """
    nets = [source(seed, k) for k in range(4)]
    fused = merged(method, nets, [0.25] * 4)
    return transferred(fused, seed) / (sum(transferred(net, seed) for net in nets) / 4)
