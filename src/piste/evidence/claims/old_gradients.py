"""AdEMAMix: gradients that are old and of use."""

from __future__ import annotations

from typing import Any

import torch

from ..._registry import get
from ..claim import at_least, at_most, claim, equal
from .bases import ADEMAMIX
from .digit_runs import answers, shuffled
from .given_gradients import best_loss, normal, path
from .merging import random_net, train
from .wrong import instead, told


@claim(
    "AdEMAMix",
    ADEMAMIX,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("AdEMAMix", alpha=2.0),
    seeds=2,
)
def without_its_slow_average_ademamix_is_adamw(method: Any, seed: int) -> float:
    """With α = 0 AdEMAMix is AdamW.

    The largest difference of the paths over 40 steps of N(0, I), η = 0.01, λ = 0.1.
    """
    grads, start = normal(seed, 40, 30), normal(seed + 50, 30)
    ours = path(method, grads, start, **{"lr": 0.01, "weight_decay": 0.1, "alpha": 0.0})
    adamw = path(get("AdamW", "optimizer").target, grads, start, lr=0.01, weight_decay=0.1)
    return float((ours - adamw).abs().max())


@claim(
    "AdEMAMix",
    ADEMAMIX,
    kind="theorem",
    predicts=equal(0.9999**500),
    tolerance=1e-6,
    wrong=told("AdamW", betas=(0.99, 0.999)),
    seeds=2,
)
def a_gradient_counts_for_thousands_of_steps(method: Any, seed: int) -> float:
    """One average cannot weigh the recent past and old gradients alike; beside it one with β₃ = 0.9999 loses 5 % of a
    gradient's weight in 500 steps.

    What a gradient of step 1 adds to steps 901 to 1000 over what it adds to steps 401 to 500: half of the difference of
    two runs on gradients of ±1 of which the first has another sign.
    """
    grads = normal(seed, 1000, 10).sign()
    other = torch.cat([-grads[:1], grads[1:]])
    hyper: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.0}
    if method.__name__ == "AdEMAMix":
        hyper |= {"betas": (0.9, 0.999, 0.9999), "alpha": 8.0}
    apart = (path(method, grads, **hyper) - path(method, other, **hyper)).abs().mean(1)
    return float((apart[1000] - apart[900]) / (apart[500] - apart[400]).clamp(min=1e-9))


def _best(method: Any, seed: int, steps: int) -> float:
    """The loss on new digits; α and β₃'s half-life rise over the whole run, as in the paper."""
    hyper: dict[str, Any] = {}
    if method.__name__ == "AdEMAMix":
        hyper = {"betas": (0.9, 0.999, 0.95), "alpha": 4.0, "beta3_warmup": steps, "alpha_warmup": steps}
    return best_loss(method.__name__, seed, steps, batch=20, **hyper)


@claim(
    "AdEMAMix",
    ADEMAMIX,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.02,
    wrong=instead("Lion"),
    seeds=8,
    cost="full",
    scale="digits of 8 × 8 pixels, 1,000 known and 797 new, ReLU networks of 32 units, batches of 20, 300 steps "
    "for AdEMAMix (α = 4, β₃ = 0.95) and 585 for AdamW, rates that fall to 0, tuned on grids of a factor of 2",
)
def ademamix_reaches_adamws_loss_with_half_of_the_data(method: Any, seed: int) -> float:
    """AdEMAMix comes as far as AdamW does with 95 % more data.

    Its loss on new digits over AdamW's after 1.95 times as many steps. (Two hundredths more
    count as the same.)
    """
    return _best(method, seed, 300) / _best(get("AdamW", "optimizer").target, seed, 585)


def _own_losses(method: Any, seed: int, after: int, shown_it: bool, **hyper: Any) -> list[float]:
    """The loss on 50 digits from step 100 on, at which they are the batch, or another batch is in their place."""
    x, labels = shuffled()
    targets, held = torch.nn.functional.one_hot(labels, 10).double(), slice(1000, 1050)
    random, params = (
        torch.Generator().manual_seed(seed),
        [torch.nn.Parameter(p) for p in random_net(seed, 32)],
    )
    opt, seen = method(params, lr=0.003, weight_decay=0.0, **hyper), []
    for t in range(100 + after):
        drawn: Any = torch.randint(1000, (50,), generator=random)
        if shown_it and t == 100:
            drawn = held
        train(opt, params, x[drawn], targets[drawn], 1)
        if t >= 100:
            w, b, v, c = (p.detach() for p in params)
            seen.append(
                float(torch.nn.functional.cross_entropy(answers((w, b, v, c), x[held]), labels[held]))
            )
    return seen


def _kept(method: Any, seed: int, **hyper: Any) -> float:
    """The share that is left 100 steps later of a batch's largest effect on its own loss."""
    without, having = (_own_losses(method, seed, 100, shown, **hyper) for shown in (False, True))
    gains = [a - b for a, b in zip(without, having, strict=True)]
    return gains[-1] / max(gains)


@claim(
    "AdEMAMix",
    ADEMAMIX,
    kind="empirical",
    predicts=at_least(0.1),
    tolerance=0.0,
    wrong=told("AdamW"),
    seeds=16,
    cost="full",
    scale="1,000 digits of 8 × 8 pixels and a batch of 50 others, ReLU networks of 32 units, the batch shown "
    "at step 100 of 200 in batches of 50, η = 0.003 for both, α = 4, β₃ = 0.999",
)
def ademamix_forgets_more_slowly(method: Any, seed: int) -> float:
    """AdEMAMix forgets what it has seen more slowly than AdamW.

    The share of its largest effect on its own loss that a batch shown once still has 100 steps later, less AdamW's
    share. (A tenth is the least that counts.)
    """
    hyper: dict[str, Any] = (
        {"betas": (0.9, 0.999, 0.999), "alpha": 4.0} if method.__name__ == "AdEMAMix" else {}
    )
    return _kept(method, seed, **hyper) - _kept(get("AdamW", "optimizer").target, seed)
