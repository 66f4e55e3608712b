"""Tuned against each other on one small network: steps to a loss, and losses at the end."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim
from ..tuning import tuned
from .papers import MUON, SHAMPOO, SOAP
from .wrong import instead, scaled

SYMBOLIC = "Symbolic Discovery of Optimization Algorithms"
RATES = (0.01, 0.03, 0.1)
TARGET, MOST = 0.1, 400  # the mean image has the loss 0.30
NET = "256 digits of 8 × 8 pixels, all in each batch; tanh autoencoder 64-32-8-32-64"


@functools.cache
def pixels() -> Tensor:
    from sklearn.datasets import load_digits  # here: `piste list` imports this package without the extra

    return torch.as_tensor(load_digits(return_X_y=True)[0][:256], dtype=torch.float64) / 8 - 1


class Net:
    """Weights of an autoencoder without biases, as hidden matrices."""

    def __init__(self, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        widths = itertools.pairwise((64, 32, 8, 32, 64))
        sizes = [torch.randn(m, n, generator=random, dtype=torch.float64) / m**0.5 for m, n in widths]
        self.weights = [torch.nn.Parameter(w) for w in sizes]

    def loss(self, x: Tensor) -> Tensor:
        h = x
        for w in self.weights[:-1]:
            h = (h @ w).tanh()
        return (h @ self.weights[-1] - x).square().mean()


def _optimizer(method: Any, net: Net, **hyper: Any) -> Any:
    if method.__name__ == "Muon":
        named = [(f"hidden.{i}.weight", w) for i, w in enumerate(net.weights)]
        return method([{"params": named, "optimizer": "Muon"}], **hyper)
    return method(net.weights, **hyper)


def steps(method: Any, seed: int, **hyper: Any) -> float:
    """Until the loss is at most ``TARGET``, at a constant rate; beyond ``MOST``, more the higher it is then."""
    net, x = Net(seed), pixels()
    opt = _optimizer(method, net, **hyper)
    for t in range(MOST):
        opt.zero_grad()
        loss = net.loss(x)
        if float(loss.detach()) <= TARGET:
            return float(t)
        loss.backward()
        opt.step()
    return MOST * (1 + float(net.loss(x).detach()))


def at_the_end(method: Any, seed: int, length: int, lr: float, **hyper: Any) -> float:
    """The loss after ``length`` steps whose rate falls linearly to 0."""
    net, x = Net(seed), pixels()
    opt = _optimizer(method, net, lr=lr, **hyper)
    first = opt.param_groups[0]["lr"]
    for t in range(length):
        opt.param_groups[0]["lr"] = first * (1 - t / length)
        opt.zero_grad()
        net.loss(x).backward()
        opt.step()
    return float(net.loss(x).detach())


def _over_nets(score: Callable[[int], float], seed: int, nets: int = 2) -> float:
    """The sum of a score over nets: what one start brings by chance is not what a method does."""
    return sum(score(nets * seed + i) for i in range(nets))


def _fewest(method: Any, seed: int, rates: Sequence[float], **hyper: Any) -> float:
    return tuned(lambda lr: _over_nets(lambda net: steps(method, net, lr=lr, **hyper), seed), rates).score


def _share(method: Any, other: str, seed: int, rates: Sequence[float], others: Sequence[float]) -> float:
    """Steps of one method over those of the other, both at the best of their rates."""
    plain = {} if other in ("SGD", "Adagrad") else {"weight_decay": 0.0}
    own = {"weight_decay": 0.0} if method.__name__ == "SOAP" else {}
    return _fewest(method, seed, rates, **own) / _fewest(
        get(other, "optimizer").target, seed, others, **plain
    )


@claim(
    "SOAP",
    SOAP,
    kind="empirical",
    predicts=at_most(0.6),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.9),
    seeds=6,
    cost="full",
    scale=NET + "; constant rates, each tuned",
)
def soap_takes_two_fifths_fewer_steps_than_adamw(method: Any, seed: int) -> float:
    """With large batches SOAP needs at least 40 percent fewer steps than AdamW.

    Steps to the loss 0.1, of two nets, over those of AdamW, both at their best rate, without decay.
    """
    return _share(method, "AdamW", seed, RATES, RATES)


@claim(
    "Muon",
    MUON,
    kind="empirical",
    predicts=at_most(1 / 1.35),
    tolerance=0.0,
    wrong=instead("SGD", momentum=0.9),
    seeds=12,
    cost="full",
    scale=NET + "; constant rates, each tuned",
)
def muon_takes_a_quarter_fewer_steps_than_adamw(method: Any, seed: int) -> float:
    """Muon is 1.35 times as efficient in samples as AdamW.

    Steps to the loss 0.1, of two nets, over those of AdamW, both at their best rate, without decay.
    """
    return _share(method, "AdamW", seed, RATES, RATES)


@claim(
    "Shampoo",
    SHAMPOO,
    kind="empirical",
    predicts=at_most(0.5),
    tolerance=0.0,
    wrong=instead("SGD"),
    seeds=6,
    cost="full",
    scale=NET + "; constant rates, each tuned",
)
def shampoo_takes_fewer_steps_than_adagrad(method: Any, seed: int) -> float:
    """Shampoo converges in considerably fewer steps than its diagonal sibling AdaGrad, here taken as half as many.

    Steps to the loss 0.1, of two nets, over those of AdaGrad, both at their best rate. (The half was
    written down after a look at one net, of which a quarter was seen.)
    """
    return _share(method, "Adagrad", seed, (0.1, 0.3, 1.0), RATES)


@claim(
    "Lion",
    SYMBOLIC,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=scaled("SGD", 3000.0),
    seeds=4,
    cost="full",
    scale=NET + "; rates falling linearly to 0, each tuned; the paper speaks of diffusion models",
)
def lion_needs_less_than_half_of_adams_steps(method: Any, seed: int) -> float:
    """Lion reaches what Adam reaches with up to 2.3 times less computation.

    The loss at the end of 87 steps, of two nets, over that of Adam after 200, both at their best rate.
    """
    own, other = (
        tuned(lambda lr, m=m, t=t: _over_nets(lambda net: at_the_end(m, net, t, lr), seed), rates).score
        for m, t, rates in (
            (method, 87, (0.001, 0.003, 0.01)),
            (get("Adam", "optimizer").target, 200, RATES),
        )
    )
    return own / other
