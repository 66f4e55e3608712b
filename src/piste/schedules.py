"""Schedules: pure functions step → value, for any number that moves (a rate, a decay, a beta, a clip).

    opt.schedules["lr"] = cosine(3e-4, steps=10_000)
    opt.schedules["weight_decay"] = linear(0.1, 0.0, steps=10_000)

The clock ``t`` counts from 0: ``f(0)`` is what the first step uses, ``f(T - 1)`` what the last of T uses,
as with torch's LR schedulers. Past its end a schedule holds its last value. Below, each is written as the
function of ``t`` that it is; calling it with the other arguments gives the schedule. That is a value: it
compares, hashes, prints and pickles by its arguments and knows nothing else, so that resuming takes only
the step count.

A bad number is refused on construction with a ValueError, a bad or missing argument with a TypeError.
"""

from __future__ import annotations

import functools
import inspect
import math
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from ._registry import register

P = ParamSpec("P")
V = TypeVar("V", float, bool)
Clock = Callable[[int], float]  # a schedule or any other function of the step
Shape = Callable[[float], float]  # how a decay falls: from 1 at 0 to 0 at 1
Steps = int  # at least 1
Count = int  # at least 0


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_ARGUMENTS: dict[str, tuple[Callable[[Any], bool], type[Exception], str]] = {
    "float": (
        lambda v: isinstance(v, (int, float)) and math.isfinite(v),
        ValueError,
        "a finite number",
    ),
    "Steps": (lambda v: _is_count(v, 1), ValueError, "an integer of at least 1"),
    "Count": (lambda v: _is_count(v, 0), ValueError, "an integer of at least 0"),
    "Clock": (callable, TypeError, "a function of the step; constant(x) makes one of a number"),
    "Shape": (callable, TypeError, "a function on [0, 1]: straight, half_cosine, one_minus_sqrt, your own"),
}


def _checked(owner: str, name: str, kind: str, value: Any) -> Any:
    """``value`` if it is what the annotation ``kind`` says, lists made tuples (they hash); else an error."""
    if kind.startswith("tuple["):
        inner = kind[len("tuple[") : -len(", ...]")]
        return tuple(_checked(owner, f"{name}[{i}]", inner, v) for i, v in enumerate(value))
    holds, error, wanted = _ARGUMENTS.get(kind, (lambda v: True, TypeError, ""))
    if not holds(value):
        raise error(f"{owner}: {name} must be {wanted}; got {value!r}")
    return value


@dataclass(frozen=True, repr=False)
class Schedule(Generic[V]):
    """A rule with its arguments; call it with the step. ``relative``: a factor on each group's own value."""

    make: Callable[..., Any]
    arguments: tuple[tuple[str, Any], ...]
    relative: bool = False

    def __call__(self, step: int) -> V:
        return self.make.__wrapped__(step, **dict(self.arguments))  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"{self.make.__name__}({', '.join(f'{k}={_name(v)}' for k, v in self.arguments)})"


def _name(value: Any) -> str:
    return value.__name__ if inspect.isfunction(value) else repr(value)


def schedule(
    relative: bool = False, **rules: Callable[..., bool]
) -> Callable[[Callable[Concatenate[int, P], V]], Callable[P, Schedule[V]]]:
    """Make and register a factory of schedules from a function of the step and its parameters.

    Arguments are checked by annotation, then by ``rules``: predicates that ask for arguments by name, each
    called what it demands, with underscores for spaces.
    """

    def wrap(f: Callable[Concatenate[int, P], V]) -> Callable[P, Schedule[V]]:
        owner, signature = f.__name__, inspect.signature(f)

        @functools.wraps(f)
        def make(*args: P.args, **kwargs: P.kwargs) -> Schedule[V]:
            try:
                bound = signature.bind(0, *args, **kwargs)
            except TypeError as error:
                raise TypeError(
                    f"{owner}: {error}; it takes {', '.join([*signature.parameters][1:])}"
                ) from None
            bound.apply_defaults()
            given = {
                k: _checked(owner, k, str(signature.parameters[k].annotation), v)
                for k, v in [*bound.arguments.items()][1:]
            }
            for demand, rule in rules.items():
                asked = {k: given[k] for k in inspect.signature(rule).parameters}
                if not rule(**asked):
                    got = ", ".join(f"{k}={v!r}" for k, v in asked.items())
                    raise ValueError(f"{owner}: {demand.replace('_', ' ')}; got {got}")
            return Schedule(make, tuple(given.items()), relative)

        register("schedule", owner, make)
        return make

    return wrap


def _between(start: float, end: float, weight: float) -> float:
    return start * weight + end * (1 - weight)  # exactly start at weight 1 and exactly end at 0


def _part(t: float, steps: float) -> float:
    return min(max(t / steps, 0.0), 1.0)


def straight(x: float) -> float:
    """1 - x."""
    return 1 - x


def half_cosine(x: float) -> float:
    """(1 + cos πx) / 2."""
    return (1 + math.cos(math.pi * x)) / 2


def one_minus_sqrt(x: float) -> float:
    """1 - √x, the cooldown that Hägele et al. (see ``wsd``) found best."""
    return 1 - math.sqrt(x)


@schedule()
def constant(t: int, value: float) -> float:
    """The same value at every step."""
    return value


@schedule()
def linear(t: int, start: float, end: float, steps: Steps) -> float:
    """A straight line from ``start`` to ``end``: torch's LinearLR.

    Falling to 0 it is what last-iterate theory singles out as the best in the worst case.

    Reference: "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement", A. Defazio,
    A. Cutkosky, H. Mehta, K. Mishchenko, 2023, https://arxiv.org/abs/2310.07831. (Not its refinement.)
    """
    return _between(start, end, 1 - _part(t, steps))


@schedule(start_and_end_are_in_0_to_1=lambda start, end: 0 <= start < 1 and 0 <= end < 1)
def half_life(t: int, start: float, end: float, steps: Steps) -> float:
    """The beta of an average, its half-life on a straight line between those of ``start`` and ``end``.

    h(β) = log ½ / log β steps; β(t) = ½^(1/h), h between h(start) and h(end) as t goes from 0 to ``steps``.

    Reference: "The AdEMAMix Optimizer: Better, Faster, Older", Matteo Pagliardini, Pierre Ablin, David Grangier, 2024,
    https://arxiv.org/abs/2409.03137
    """
    if t >= steps:
        return end
    first, last = (math.log(0.5) / math.log(beta) if beta else 0.0 for beta in (start, end))
    h = _between(first, last, 1 - _part(t, steps))
    return 0.5 ** (1 / h) if h else 0.0


@schedule()
def cosine(t: int, peak: float, steps: Steps, end: float = 0.0) -> float:
    """Half a cosine from ``peak`` to ``end``: torch's CosineAnnealingLR, but it stays at ``end``.

    The shape is that of one run of ``sgdr``, where it comes from.
    """
    return _between(peak, end, half_cosine(_part(t, steps)))


@schedule(power_must_be_positive=lambda power: power > 0)
def polynomial(t: int, start: float, steps: Steps, power: float = 1.0, end: float = 0.0) -> float:
    """A power of the part that is left, from ``start`` to ``end``: torch's PolynomialLR."""
    return _between(start, end, (1 - _part(t, steps)) ** power)


@schedule(decay_must_be_over_0_and_at_most_1=lambda decay: 0 < decay <= 1)
def exponential(t: int, start: float, decay: float) -> float:
    """The same factor at each step: torch's ExponentialLR, whose gamma is ``decay``."""
    return start * decay**t


@schedule()
def inverse_sqrt(t: int, peak: float, warmup: Steps) -> float:
    """Up in a line to ``peak`` at step ``warmup``, down with the root of time.

    The paper counts steps from 1; its width enters as peak = 1 / √(width · warmup).

    Reference: "Attention Is All You Need", A. Vaswani et al., 2017,
    https://arxiv.org/abs/1706.03762, equation 3.
    """
    s = t + 1
    return peak * min(s / warmup, math.sqrt(warmup / s))


def _rises(boundaries: tuple[int, ...]) -> bool:
    return all(a < b for a, b in pairwise(boundaries))


@schedule(
    boundaries_must_rise=_rises,
    boundaries_must_be_one_fewer_than_values=lambda values, boundaries: len(values) == len(boundaries) + 1,
)
def piecewise(t: int, values: tuple[float, ...], boundaries: tuple[Count, ...]) -> float:
    """Constant pieces: ``values[i]`` from ``boundaries[i - 1]`` to ``boundaries[i]``. torch's MultiStepLR."""
    return values[bisect_right(boundaries, t)]


@schedule(warmup_and_cooldown_must_fit_into_steps=lambda warmup, cooldown, steps: warmup + cooldown <= steps)
def wsd(
    t: int,
    peak: float,
    steps: Steps,
    cooldown: Steps,
    warmup: Count = 0,
    end: float = 0.0,
    shape: Shape = one_minus_sqrt,
) -> float:
    """Warmup from 0, stable at ``peak``, decay to ``end`` by ``shape`` over the last ``cooldown`` steps.

    The authors find 1 - √x better than a line. The stable part does not know the end: train on, and
    branch a cooldown off wherever a result is wanted.

    Reference: "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", A. Hägele et al.,
    2024, https://arxiv.org/abs/2405.18392.
    Reference: "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies",
    S. Hu et al., 2024, https://arxiv.org/abs/2404.06395, which named it; its own decay is exponential.
    """
    if t < warmup:
        return peak * t / warmup
    return _between(peak, end, shape(_part(t - (steps - cooldown), cooldown)))


@schedule(warmup_must_be_under_steps=lambda warmup, steps: warmup < steps)
def d2z(t: int, peak: float, steps: Steps, warmup: Count = 0) -> float:
    """Up in a line over ``warmup``, then in a line to zero at ``steps``.

    Reference: "Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs",
    S. Bergsma et al., 2025, https://arxiv.org/abs/2502.15938.
    """
    return peak * t / warmup if t < warmup else peak * (1 - _part(t - warmup, steps - warmup))


@schedule(
    div_and_final_div_must_be_positive=lambda div, final_div: div > 0 and final_div > 0,
    rise_times_steps_must_be_over_1_and_under_steps=lambda rise, steps: 1 < rise * steps < steps,
)
def one_cycle(
    t: int,
    peak: float,
    steps: Steps,
    rise: float = 0.3,
    div: float = 25.0,
    final_div: float = 1e4,
    shape: Shape = half_cosine,
) -> float:
    """From peak / div up to a large ``peak`` at step rise · steps - 1, then down to peak / (div · final_div).

    torch's OneCycleLR in two phases (its pct_start is ``rise``), over at step steps - 1. The authors let the
    momentum fall while the rate rises, and back: give ``momentum`` a ``join`` of two ``linear``.

    Reference: "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    L. Smith, N. Topin, 2017, https://arxiv.org/abs/1708.07120.
    """
    top, low = rise * steps - 1, peak / div
    if t <= top:
        return _between(low, peak, shape(_part(t, top)))
    return _between(peak, low / final_div, shape(_part(t - top, steps - 1 - top)))


@schedule()
def sgdr(t: int, peak: float, period: Steps, mult: Steps = 1, end: float = 0.0) -> float:
    """Half cosines with warm restarts, each ``mult`` times as long as the last.

    torch's CosineAnnealingWarmRestarts.

    Reference: "SGDR: Stochastic Gradient Descent with Warm Restarts", I. Loshchilov, F. Hutter, 2016,
    https://arxiv.org/abs/1608.03983, equation 5.
    """
    if mult == 1:
        t %= period
    while t >= period:  # in integers: a logarithm would be a step off now and then
        t, period = t - period, period * mult
    return _between(peak, end, half_cosine(t / period))


@schedule()
def warmup(t: int, steps: Steps, then: Clock, start: float = 0.0) -> float:
    """A line over ``steps`` up to where ``then`` begins, then ``then``, on a clock of its own.

    ``start`` is a fraction of that beginning: at 0 the first step moves nothing, at 1 / steps none is wasted.
    """
    return then(t - steps) if t >= steps else then(0) * _between(start, 1.0, 1 - t / steps)


@schedule(
    boundaries_must_rise=_rises,
    boundaries_must_be_one_fewer_than_schedules=lambda schedules, boundaries: (
        len(schedules) == len(boundaries) + 1
    ),
)
def join(t: int, schedules: tuple[Clock, ...], boundaries: tuple[Count, ...]) -> float:
    """One schedule after another, each from its boundary on a clock of its own: torch's SequentialLR."""
    i = bisect_right(boundaries, t)
    return schedules[i](t - boundaries[i - 1] if i else t)


@schedule(relative=True)
def scale(t: int, by: Clock) -> float:
    """The factor ``by`` on what each param group was given (torch's LambdaLR): for groups that differ."""
    return by(t)


@schedule()
def every(t: int, k: Steps, phase: Count = 0, start: Count = 0) -> bool:
    """True on each k-th step from ``start`` on; a ``phase`` of its own for each tensor spreads the work."""
    return t >= start and (t - phase) % k == 0


@schedule(an_update_probability_is_between_0_and_1=lambda p: 0 <= p <= 1)
def evenly(t: int, p: float) -> bool:
    """True in a share p of the steps, as evenly spread as can be; t = 1 is the first."""
    return math.floor((t - 1) * p + 1e-9) != math.floor((t - 2) * p + 1e-9) and p > 0


@schedule(a_probability_is_between_0_and_1=lambda p: 0 <= p <= 1)
def chance(t: int, p: float, seed: Count = 0) -> bool:
    """True with probability p, drawn for each step by itself: the same at every run and after a resume."""
    return random.Random(f"{seed}/{t}").random() < p
