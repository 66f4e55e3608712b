"""What is left of old tasks after new ones."""

from __future__ import annotations

from typing import Any

import torch

from ..._registry import get
from ..claim import at_least, claim
from ..tuning import tuned
from .merging import digits, random_net, train
from .solutions import ALTER
from .wrong import instead


def kept(method: Any, seed: int, rate: float, steps: int = 60) -> float:
    """The share of 500 digits that a ReLU network of 32 units has right after training on the pairs 0 1, 2 3, … one
    after the other, 60 full-batch steps each, with one output for every digit throughout."""
    x, labels = digits()
    params = [torch.nn.Parameter(p) for p in random_net(seed, 32)]
    opt, shown = method(params, lr=rate), torch.nn.functional.one_hot(labels, 10).double()
    for pair in range(5):
        chosen = labels // 2 == pair
        train(opt, params, x[chosen], shown[chosen], steps)
    w, b, v, c = (p.detach() for p in params)
    return float((((x @ w.mT + b).clamp_min(0) @ v.mT + c).argmax(1) == labels).double().mean())


@claim(
    "Shampoo",
    ALTER,
    kind="empirical",
    predicts=at_least(0.02),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=10,
    cost="full",
    scale="500 digits of 8 × 8 pixels by pairs, ReLU networks of 32 units, 60 full-batch steps for each, all "
    "rates tuned on grids of a factor of 1.5",
)
def shampoo_forgets_less_than_adamw(method: Any, seed: int) -> float:
    """A preconditioner that is not diagonal leads to representations that interfere less: trained on pairs of classes
    one after the other, Shampoo remembers more than AdamW.

    The accuracy on all classes after the last pair, less that of AdamW. (Two points of a hundred are the least that
    counts as more. At rates that learn every pair fully both forget nearly all.)
    """

    return _best(method, seed) - _best(get("AdamW", "optimizer").target, seed)


RATES = {"AdamW": 0.001, "Shampoo": 0.045, "SGD": 0.01}  # the middle of the first grid


def _best(method: Any, seed: int) -> float:
    middle = RATES[method.__name__]
    return 1 - tuned(lambda rate: 1 - kept(method, seed, rate), (middle / 1.5, middle, 1.5 * middle)).score
