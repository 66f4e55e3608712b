"""NAdam, Adan, QHM and QHAdam: momentum as the next step will have it, and today's gradient beside its average."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..._registry import get
from ..claim import at_most, claim, equal
from ..problems.quadratics import rotation
from ..tuning import tuned
from .given_gradients import best_loss, normal, path, steps_of
from .wrong import instead, told

DOZAT = "Incorporating Nesterov Momentum into Adam"
ADAN = "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models"
QUASI = "Quasi-hyperbolic momentum and Adam for deep learning"


@claim("NAdam", DOZAT, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=told("Adam"), seeds=2)
def nadam_is_nesterovs_momentum_where_gradients_have_one_size(method: Any, seed: int) -> float:
    """NAdam is Adam with Nesterov's momentum in the place of classical momentum.

    The largest difference of its steps, in units of η, from those of SGD with nesterov=True at the rate (1-β₁)η, on
    gradients of ±1, whose second moment is 1; steps 250 to 300, where the corrections for the start are over and the
    momentum is at its full value (ψ = 10).
    """
    grads = normal(seed, 300, 20).sign()
    hyper: dict[str, Any] = {"momentum_decay": 10.0} if method.__name__ == "NAdam" else {}
    ours = steps_of(method, grads, lr=0.01, eps=1e-30, **hyper)
    nesterov = steps_of(torch.optim.SGD, grads, lr=0.01, momentum=0.9, nesterov=True) * 0.1
    return float((ours - nesterov)[250:].abs().max())


def _steps(method: Any, seed: int) -> float:
    """The fewest steps after which the mean loss of 16 quadratics of condition 100 stays below a thousandth."""
    turned = torch.stack([rotation(4, 16 * seed + i) for i in range(16)])
    bent = turned.mT @ torch.diag(torch.tensor([1.0, 0.3, 0.1, 0.01], dtype=torch.float64)) @ turned

    def count(rate: float) -> float:
        x, losses = torch.nn.Parameter(normal(seed, 16, 4, 1)), []
        opt = method([x], lr=rate)
        for _ in range(250):
            x.grad = bent @ x.detach()
            losses.append(float((x.detach() * x.grad).sum()))
            opt.step()
        above = [t for t, loss in enumerate(losses) if loss > 1e-3 * losses[0]]
        return float(above[-1] + 1) if above[-1] + 1 < len(losses) else math.inf

    return tuned(count, (0.15, 0.3, 0.6)).score


@claim(
    "NAdam",
    DOZAT,
    kind="empirical",
    predicts=at_most(0.95),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=6,
    cost="full",
    scale="16 quadratics in 4 dimensions with random axes and condition 100, exact gradients, constant "
    "rates tuned on grids of a factor of 2",
)
def nadam_takes_fewer_steps_than_adam(method: Any, seed: int) -> float:
    """Nesterov's momentum makes Adam converge faster.

    Steps to a thousandth of the first loss, for good, over Adam's. (A twentieth fewer is the least that counts.)
    With ψ = 0.004 most of these steps are taken before the momentum has come to its full value.
    """
    return _steps(method, seed) / _steps(get("Adam", "optimizer").target, seed)


@claim("Adan", ADAN, kind="identity", predicts=equal(0.0), tolerance=1e-9, wrong=instead("NAdam"), seeds=2)
def adan_is_adam_where_gradients_stay(method: Any, seed: int) -> float:
    """Adan adds to Adam the differences of gradients alone: where these do not change it is Adam.

    The largest difference from Adam's steps with Adan's β₁ and β₃, in units of η, 30 steps on one random gradient.
    """
    grads = normal(seed, 1, 30).expand(30, -1)
    adam = steps_of(get("Adam", "optimizer").target, grads, lr=0.01, betas=(0.98, 0.99))
    return float((steps_of(method, grads, lr=0.01) - adam).abs().max())


@claim(
    "Adan",
    ADAN,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-12,
    wrong=told("Adan", no_prox=True),
    seeds=2,
)
def the_proximal_decay_never_overshoots(method: Any, seed: int) -> float:
    """Adan's decay is a proximal step, p / (1 + ηλ), which only shrinks weights, whatever ηλ.

    The largest |p_{t+1}| / |p_t| of 10 steps without a gradient, ηλ = 0.1, 1, 3, 30.
    """
    start, worst = normal(seed, 20), 0.0
    for decay in (0.1, 1.0, 3.0, 30.0):
        points = path(
            method, torch.zeros(10, 20, dtype=torch.float64), start, lr=1.0, weight_decay=decay
        ).abs()
        worst = max(worst, float((points[1:] / points[:-1]).max()))
    return worst


@claim(
    "Adan",
    ADAN,
    kind="empirical",
    predicts=at_most(1.05),
    tolerance=0.0,
    wrong=instead("Lion"),
    seeds=6,
    cost="full",
    scale="digits of 8 × 8 pixels, 1,000 known and 797 new, ReLU networks of 32 units, batches of 50, 150 steps for "
    "Adan and 300 for AdamW, rates that fall to 0, tuned on grids of a factor of 2",
)
def adan_needs_half_of_adamws_steps(method: Any, seed: int) -> float:
    """With Adan half of the training is enough for what others reach.

    The loss on new digits of Adan after 150 steps over AdamW's after 300. (A twentieth more counts as the same.)
    """
    return best_loss(method.__name__, seed, 150) / best_loss("AdamW", seed, 300)


@claim(
    "QHM", QUASI, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=told("QHM", nu=0.7), seeds=2
)
def qhm_is_nesterovs_momentum_with_one_discount(method: Any, seed: int) -> float:
    """QHM with ν = β is Nesterov's accelerated gradient, at 1/(1-β) times its rate.

    The largest difference from SGD with nesterov=True over 50 steps of N(0, I), β = 0.9.
    """
    grads = normal(seed, 50, 20)
    nesterov = path(torch.optim.SGD, grads, lr=0.01, momentum=0.9, nesterov=True)
    return float((path(method, grads, lr=0.1, momentum=0.9, nu=0.9) - nesterov).abs().max())


@claim(
    "QHM",
    QUASI,
    kind="empirical",
    predicts=at_most(-0.05),
    tolerance=0.0,
    wrong=told("QHM", nu=1.0),
    seeds=6,
    cost="full",
    scale="quadratics in 6 dimensions of condition 1000 with noise of 0.1 in every gradient, 400 steps, "
    "rates that fall to 0, tuned on grids of a factor of 4",
)
def qhm_trains_better_than_momentum(method: Any, seed: int) -> float:
    """QHM (ν = 0.7, β = 0.999) trains better than momentum and than Nesterov's.

    The logarithm of the mean of 64 last losses over that of the better one of SGD with β = 0.9, plain and with
    nesterov=True. (A twentieth less is the least that counts.)
    """
    turned = rotation(6, seed)
    spectrum = torch.tensor([1.0, 0.3, 0.1, 0.03, 0.01, 0.001], dtype=torch.float64)
    bent = turned.mT @ torch.diag(spectrum) @ turned

    def last(make: Any, **hyper: Any) -> float:
        def score(rate: float) -> float:
            noise = 0.1 * normal(seed, 400, 6, 64)
            x = torch.nn.Parameter(normal(seed + 1, 6, 1).repeat(1, 64))
            opt = make([x], lr=rate, **hyper)
            for t, n in enumerate(noise):
                opt.param_groups[0]["lr"] = rate * (1 - t / 400)
                x.grad = bent @ x.detach() + n
                opt.step()
            return float((x.detach() * (bent @ x.detach())).sum(0).mean())

        return tuned(score, (0.1, 0.4, 1.6)).score

    sgd = get("SGD", "optimizer").target
    rivals = [last(sgd, momentum=0.9), last(sgd, momentum=0.9, nesterov=True)]
    return math.log(last(method) / min(rivals))


@claim(
    "QHAdam",
    QUASI,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-6,
    wrong=told("QHAdam", nus=(1.0, 1.0)),
    seeds=2,
)
def qhadam_is_nadam_once_started(method: Any, seed: int) -> float:
    """QHAdam with ν₁ = β₁ and ν₂ = 1 is NAdam, but for how the first moment is corrected for its start.

    The largest difference of steps 250 to 300 in units of η, on gradients of N(0, I), NAdam's momentum constant
    (ψ = 10).
    """
    grads = normal(seed, 300, 20)
    nadam = steps_of(get("NAdam", "optimizer").target, grads, lr=0.01, betas=(0.9, 0.99), momentum_decay=10.0)
    ours = steps_of(method, grads, **{"lr": 0.01, "betas": (0.9, 0.99), "nus": (0.9, 1.0)})
    return float((ours - nadam)[250:].abs().max())


@claim(
    "QHAdam",
    QUASI,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=1e-9,
    wrong=told("QHAdam", nus=(0.7, 1.0)),
    seeds=3,
)
def a_fresh_square_bounds_the_step(method: Any, seed: int) -> float:
    """With ν₂ < 1 steps are bounded where Adam's are long, at a gradient that comes after many zeros: by
    η (1-ν₁β₁) / √(1-ν₂β₂).

    The largest |Δ| over that bound for a coordinate whose first gradient comes after 400 to 500 zeros, ν = (0.7, 0.9),
    β = (0.9, 0.99).
    """
    late = torch.randint(400, 500, (40,), generator=torch.Generator().manual_seed(seed))
    grads = torch.zeros(500, 40, dtype=torch.float64)
    grads[late, torch.arange(40)] = normal(seed, 40)
    moved = steps_of(method, grads, **{"lr": 0.01, "betas": (0.9, 0.99), "nus": (0.7, 0.9), "eps": 1e-30})
    bound = (1 - 0.7 * 0.9) / math.sqrt(1 - 0.9 * 0.99)
    return float(moved[late, torch.arange(40)].abs().max()) / bound
