"""Two models mixed anew for each sample."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ...merging.dawin import DaWin
from ...merging.running import merge
from ..claim import at_least, at_most, claim
from .merging import Network
from .turned_digits import TEST, part, start, tune

PAPER = "DaWin: Training-free Dynamic Weight Interpolation for Robust Adaptation"
SCALE = (
    "ReLU networks of 64 units that know 500 digits of 8 × 8 pixels, one fine-tuned on 400 turned by 20°, one on these "
    "turned by -20°, 100 steps of AdamW on batches of 25; tried on 797 others of both kinds"
)


def module(net: Network) -> nn.Module:
    w, b, v, c = net
    made = nn.Sequential(nn.Linear(64, len(w)), nn.ReLU(), nn.Linear(len(w), 10)).double()
    made.load_state_dict({"0.weight": w, "0.bias": b, "2.weight": v, "2.bias": c})
    return made.requires_grad_(False)


@lru_cache(16)
def experts(seed: int) -> tuple[nn.Module, nn.Module]:
    one, two = (tune(start(seed), *part(degrees, slice(500, 900)), seed) for degrees in (20.0, -20.0))
    return module(one), module(two)


@lru_cache(1)
def both() -> tuple[Tensor, Tensor]:
    """New digits of the two kinds."""
    (x, labels), (y, again) = part(20.0, TEST), part(-20.0, TEST)
    return torch.cat([x, y]), torch.cat([labels, again])


def unsure(first: nn.Module, last: nn.Module, **more: Any) -> DaWin:
    """Mixed the other way round: the less sure a model is, the more it counts."""
    made = DaWin(first, last, **more)
    made.coefficients = lambda x: 1 - DaWin.coefficients(made, x)  # type: ignore[method-assign]
    return made


def wrong_answers(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    return float((net(x).argmax(1) != labels).double().mean())


def still(first: nn.Module, last: nn.Module, share: float) -> nn.Module:
    """One mixture for all samples."""
    net = copy.deepcopy(first)
    net.load_state_dict(merge("soup", [first, last], weights=[1 - share, share]))
    return net


@claim(
    "DaWin",
    PAPER,
    subject=DaWin,
    kind="empirical",
    predicts=at_least(0.5),
    tolerance=0.0,
    wrong=unsure,
    seeds=12,
    scale=SCALE,
)
def ratios_of_entropies_follow_those_of_losses(method: Any, seed: int) -> float:
    """Entropies stand for the losses that need a label: coefficients from them correlate with the oracle's, which have
    the cross entropies in their place.

    Pearson's correlation of the two over samples of both kinds. (A half, by custom a strong one, is the least.)
    """
    models, (x, labels) = experts(seed), both()
    seen = method(*models, clusters=None).coefficients(x)
    sure = [(-nn.functional.cross_entropy(m(x), labels, reduction="none")).exp() for m in models]
    return float(torch.corrcoef(torch.stack([seen, sure[1] / (sure[0] + sure[1])]))[0, 1])


@claim(
    "DaWin",
    PAPER,
    subject=DaWin,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=unsure,
    seeds=12,
    cost="full",
    scale=SCALE,
)
def a_mixture_for_each_sample_beats_every_fixed_one(method: Any, seed: int) -> float:
    """On data of several kinds, coefficients that are chosen for each sample by the entropies of both models beat any
    that is the same for all.

    The error over the least one of eleven fixed mixtures, chosen on these very samples.
    """
    models, data = experts(seed), both()
    fixed = min(wrong_answers(still(*models, k / 10), *data) for k in range(11))
    return wrong_answers(method(*models, clusters=None), *data) / fixed


@claim(
    "DaWin",
    PAPER,
    subject=DaWin,
    kind="empirical",
    predicts=at_most(1.05),
    tolerance=0.0,
    wrong=unsure,
    seeds=12,
    cost="full",
    scale=SCALE,
)
def three_clusters_do_nearly_as_well_as_a_mixture_for_each(method: Any, seed: int) -> float:
    """A mixture of three Beta distributions over the coefficients makes three models enough for all samples, with
    hardly any loss of accuracy.

    The error with three clusters over that with a model for each sample. (Five errors of a hundred more are the most
    that count as hardly any.)
    """
    models, data = experts(seed), both()
    return wrong_answers(method(*models, clusters=3), *data) / wrong_answers(
        DaWin(*models, clusters=None), *data
    )
