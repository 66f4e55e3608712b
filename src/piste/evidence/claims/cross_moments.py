"""EXAdam: moments that correct each other, and today's gradient on top of its average."""

from __future__ import annotations

import math
from typing import Any

from ..claim import at_most, claim, equal
from ..tuning import tuned
from .digit_runs import KNOWN
from .given_gradients import normal, steps_of, steps_until
from .wrong import told

EXADAM = "EXAdam: The Power of Adaptive Cross-Moments"
AT = tuple(range(1, 301))
MIDDLE = {"EXAdam": 0.01, "Adam": 0.04}  # of the first grid of rates
NETS = "1,000 digits of 8 × 8 pixels, ReLU nets of 32 units, batches of 50, constant rates, to a training loss of 0.1"


@claim("EXAdam", EXADAM, kind="identity", predicts=equal(2.0), tolerance=1e-3, wrong=told("Adam"), seeds=2)
def exadams_late_steps_are_twice_adams(method: Any, seed: int) -> float:
    """Once its new corrections have died away EXAdam is Adam with the gradient added to its average: on a constant
    gradient its steps are 2η.

    The step over η farthest from 2 among steps 900 to 1000 on random constant gradients, β₂ = 0.99.
    """
    grads = normal(seed, 1, 20).expand(1000, -1)
    moved = steps_of(method, grads, lr=0.01, betas=(0.9, 0.99))[900:].abs().flatten()
    return float(moved[(moved - 2).abs().argmax()])


@claim("EXAdam", EXADAM, kind="theorem", predicts=equal(1.0), tolerance=1e-6, wrong=told("Adam"), seeds=2)
def exadams_first_step_is_sixteen_rates_long(method: Any, seed: int) -> float:
    """The corrections of EXAdam act most at the start: its first step is η d₁ (1 + 1/(1-β₁)) / √d₂, with d₁ = 1 + β₂
    and d₂ = 1 + β₁.

    The first step of random gradients over that, which is 15.95 η with the usual β and may want a warm-up; ε = 1e-30.
    (The paper gives the formula, not the number.)
    """
    moved = steps_of(method, normal(seed, 1, 20), lr=0.01, eps=1e-30).abs()
    return float(moved.mean()) / (1.999 * 11 / math.sqrt(1.9))


def _steps(name: str, seed: int, rate: float, **hyper: Any) -> float:
    return steps_until(name, seed, rate, 0.1, AT, KNOWN, **hyper)


@claim(
    "EXAdam",
    EXADAM,
    kind="empirical",
    predicts=at_most(0.52),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=4,
    cost="full",
    scale=f"{NETS}, the rate 0.005 for both and the growing rate of the paper's first version",
)
def exadam_converges_in_half_of_adams_steps(method: Any, seed: int) -> float:
    """EXAdam converges 48 % faster than Adam at Adam's rate.

    Its steps to the loss over Adam's.
    """
    hyper: dict[str, Any] = {"growing": True} if method.__name__ == "EXAdam" else {}
    return _steps(method.__name__, seed, 0.005, **hyper) / _steps("Adam", seed, 0.005)


@claim(
    "EXAdam",
    EXADAM,
    kind="empirical",
    predicts=at_most(0.95),
    tolerance=0.0,
    wrong=told("Adam"),
    seeds=6,
    cost="full",
    scale=f"{NETS}, tuned on grids of a factor of 2",
)
def exadam_converges_faster_than_adam_at_the_best_rates(method: Any, seed: int) -> float:
    """EXAdam converges faster than Adam.

    Its steps to the loss over Adam's, each at its best rate: what its longer steps give is not counted. (A twentieth
    fewer is the least that counts.)
    """
    counts = [
        tuned(lambda rate, name=name: _steps(name, seed, rate), (at / 2, at, 2 * at)).score
        for name, at in ((method.__name__, MIDDLE[method.__name__]), ("Adam", MIDDLE["Adam"]))
    ]
    return counts[0] / counts[1]
