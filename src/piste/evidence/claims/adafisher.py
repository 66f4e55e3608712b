"""AdaFisher: the diagonals of a layer's Fisher matrix, and decay beside them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..claim import at_most, claim, equal
from .fisher import Net, layer, learn
from .matrices import matrix
from .wrong import instead, told

ADAFISHER = "AdaFisher: Adaptive Second Order Optimization via Fisher Information"


def _layer_step(method: Any, seed: int, **hyper: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs, errors, gradient and the first step of a layer without bias."""
    x, errors, weight = matrix(seed, 50, 6), matrix(seed + 50, 50, 5), matrix(seed + 100, 5, 6)
    x, errors = (h * torch.linspace(0.3, 2, h.shape[1], dtype=torch.float64) for h in (x, errors))
    net = layer(weight)
    learn(net, method(net, lr=1.0, **hyper), x, x @ weight.mT - 1e3 * errors)
    return x, errors, 1e3 * errors.mT @ x / 50, weight - net.weight.detach()


@claim(
    "AdaFisher",
    ADAFISHER,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("AdaFisher", Lambda=0.01),
    seeds=3,
)
def adafisher_divides_by_the_diagonals_of_kfacs_factors(method: Any, seed: int) -> float:
    """The Fisher matrix is taken for the Kronecker product of the diagonals of K-FAC's two factors, each mapped to
    [0, 1] by its least and largest entry, plus Λ.

    What divides the first gradient less Λ: 1 minus the part of it that the outer product of two vectors explains, each
    an increasing affine function of the diagonal of E ggᵀ or E aaᵀ; 5 × 6, Λ = 1e-3.
    """
    x, errors, gradient, step = _layer_step(method, seed)
    divisor = gradient / step - 1e-3
    s, h = (a.square().mean(0) for a in (errors, x))

    def affine(d: Tensor) -> Tensor:
        return torch.stack([torch.ones_like(d), (d - d.min()) / (d.max() - d.min())], 1)

    left, right = affine(s), affine(h)
    core = torch.linalg.pinv(left) @ divisor @ torch.linalg.pinv(right).mT
    u, sizes, v = torch.linalg.svd(core)
    fitted = left @ (sizes[0] * u[:, :1] @ v[:1]) @ right.mT
    increasing = u[0, 0] * u[1, 0] > 0 and v[0, 0] * v[0, 1] > 0
    return float((divisor - fitted).norm() / divisor.norm()) if increasing else 1.0


@claim(
    "AdaFisher",
    ADAFISHER,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("AdaFisher", Lambda=1e6),
    seeds=3,
    scale="W₂ tanh(W₁x) with 5 hidden units, 40 examples, 800 steps on all of them",
)
def adafishers_smallest_gradient_falls_as_one_over_the_root_of_steps(method: Any, seed: int) -> float:
    """On smooth losses with the rates η/√t the smallest squared gradient of the first T steps is O(log T / √T).

    Its product with √T / log T at T = 800 over that at T = 50, for W₂ tanh(W₁x) on 40 examples, η = 0.002.
    """
    x, y = matrix(seed, 40, 4), matrix(seed + 50, 40, 3)
    one = torch.eye(5, dtype=torch.float64)
    net = Net(0.5 * matrix(seed + 100, 5, 4), 0.5 * matrix(seed + 150, 3, 5), one, one)
    opt, least, seen = method(net, lr=0.002, TCov=10), math.inf, {}
    for t in range(1, 801):
        opt.param_groups[0]["lr"] = 0.002 / t**0.5
        learn(net, opt, x, y)
        least = min(least, sum(float(p.grad.square().sum()) for p in net.parameters() if p.grad is not None))
        seen[t] = least * t**0.5 / math.log(t + 1)
    return seen[800] / seen[50]


@claim(
    "AdaFisherW",
    ADAFISHER,
    kind="identity",
    predicts=equal(1.0),
    tolerance=1e-9,
    wrong=told("AdaFisher"),
    seeds=2,
)
def adafisherws_decay_is_that_of_the_weights_alone(method: Any, seed: int) -> float:
    """The decay passes neither through the averages nor through the preconditioner: where the loss is flat every weight
    shrinks by 1 - ηκ a step.

    The least ratio of a weight after 20 steps to (1 - ηκ)²⁰ times what it was, η = 0.01, κ = 0.3.
    """
    weight, x = matrix(seed, 5, 6), matrix(seed + 50, 50, 6)
    net = layer(weight)
    opt = method(net, lr=0.01, weight_decay=0.3, TCov=1)
    for _ in range(20):
        learn(net, opt, x, net(x).detach())
    return float((net.weight.detach() / weight).min()) / (1 - 0.003) ** 20


@claim(
    "AdaFisherW",
    ADAFISHER,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=told("AdaFisher"),
    seeds=2,
)
def adafisherw_is_adafisher_and_a_decay_beside_it(method: Any, seed: int) -> float:
    """The step is AdaFisher's without decay, and -ηκW.

    The largest difference from W ← (1 - ηκ)W + Δ with AdaFisher's Δ, over 30 steps on errors that do not depend on the
    weights, η = 0.01, κ = 0.5, statistics every 5 steps.
    """
    weight = matrix(seed, 5, 6)
    ours, theirs = layer(weight), layer(weight)
    opt = method(ours, lr=0.01, weight_decay=0.5, TCov=5)
    plain = instead("AdaFisher", TCov=5)(theirs, lr=0.01)
    want, worst = weight, 0.0
    for t in range(30):
        x, errors = matrix(1000 * seed + t, 20, 6), matrix(1000 * seed + 500 + t, 20, 5)
        before = theirs.weight.detach().clone()
        for net, one in ((ours, opt), (theirs, plain)):
            learn(net, one, x, net(x).detach() - errors)
        want = (1 - 0.005) * want + theirs.weight.detach() - before
        worst = max(worst, float((ours.weight.detach() - want).abs().max()))
    return worst
