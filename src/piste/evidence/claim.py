"""A claim: what a paper says of a method, as a small experiment with a prediction that can fail."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._registry import get, register

KINDS = ("identity", "theorem", "empirical")
COSTS = ("quick", "full")


@dataclass(frozen=True)
class Prediction:
    """The numbers that a paper expects: from ``low`` to ``high``."""

    low: float
    high: float
    text: str

    def __str__(self) -> str:
        return self.text


def at_most(bound: float) -> Prediction:
    return Prediction(-math.inf, bound, f"at most {bound:g}")


def at_least(bound: float) -> Prediction:
    return Prediction(bound, math.inf, f"at least {bound:g}")


def equal(value: float) -> Prediction:
    return Prediction(value, value, f"{value:g}")


def between(low: float, high: float) -> Prediction:
    return Prediction(low, high, f"between {low:g} and {high:g}")


@dataclass(frozen=True)
class Claim:
    """What is claimed of ``method``, and how to find out.

    ``experiment(method, seed)`` gives one number in float64 arithmetic, counted in steps, flops or bytes and never
    in seconds; its docstring is the statement. ``prediction``, widened by ``tolerance``, is where the numbers
    should lie; ``wrong`` takes the method's place in the sabotage test, where the claim must come out *not
    confirmed*. ``kind``: "identity" (two things are one), "theorem" (a bound is not violated) or "empirical".
    ``in_mean``: whether it speaks of the mean over seeds (what is empirical does, and a bound on an expectation) or
    of every instance. ``scale``: the sizes it was tried at, which a reader of "not confirmed" must know.
    ``hardware``: what it needs that a laptop lacks.
    """

    name: str
    method: str
    paper: str
    statement: str
    experiment: Callable[[Any, int], float]
    prediction: Prediction
    tolerance: float
    kind: str
    wrong: Any
    subject: Any = None
    seeds: int = 5
    in_mean: bool = True
    cost: str = "quick"
    scale: str = ""
    hardware: str = ""

    @property
    def tried(self) -> Any:
        """What is put in the place of the method: the optimizer of that name, unless the claim speaks of another
        thing."""
        return get(self.method, "optimizer").target if self.subject is None else self.subject


def claim(
    method: str, paper: str, *, predicts: Prediction, tolerance: float | None = None, kind: str, wrong: Any,
    subject: Any = None, seeds: int = 5, in_mean: bool | None = None, cost: str = "quick", scale: str = "",
    hardware: str = "",
) -> Callable[[Callable[[Any, int], float]], Claim]:  # fmt: skip
    """Declare a claim beside its experiment; see :class:`Claim`.

    Errors (ValueError): no tolerance, a prediction that every number meets, an unknown kind or cost, an empirical claim
    without its scale, no statement; each with the claim's name.
    """

    def declare(experiment: Callable[[Any, int], float]) -> Claim:
        name = experiment.__name__
        _refuse(name, experiment, predicts, tolerance, kind, cost, scale, seeds, wrong, hardware)
        statement = " ".join(inspect.cleandoc(experiment.__doc__ or "").split("\n\n")[0].split())
        made = Claim(
            name, method, paper, statement, experiment, predicts, float(tolerance or 0.0), kind, wrong, subject, seeds,
            kind == "empirical" if in_mean is None else in_mean, cost, scale, hardware,
        )  # fmt: skip
        _claims[name] = made
        register("claim", name, experiment, said_in=paper)
        return made

    return declare


def _refuse(
    name: str, experiment: Callable[..., Any], predicts: Prediction, tolerance: float | None, kind: str, cost: str,
    scale: str, seeds: int, wrong: Any, hardware: str,
) -> None:  # fmt: skip
    def no(reason: str) -> ValueError:
        return ValueError(f"claim {name!r}: {reason}")

    if tolerance is None or not (math.isfinite(tolerance) and tolerance >= 0):
        raise no(f"a tolerance is needed, a finite number that is not negative; got {tolerance!r}")
    if (predicts.low == -math.inf and predicts.high == math.inf) or math.isnan(predicts.low + predicts.high):
        raise no("every number meets the prediction: say where it could fail")
    if kind not in KINDS or cost not in COSTS:
        raise no(
            f"kind is one of {', '.join(KINDS)} and cost one of {', '.join(COSTS)}; got {kind!r}, {cost!r}"
        )
    if kind == "empirical" and not scale:
        raise no("an empirical claim says at what scale it is tried: scale='...'")
    if seeds < (3 if kind == "empirical" else 1):
        raise no(f"{seeds} seeds are too few: an empirical claim takes at least 3")
    if wrong is None and not hardware:
        raise no("wrong=... is needed: a method for which the claim must not be confirmed")
    if not (experiment.__doc__ or "").strip():
        raise no("its docstring is the statement: write what the paper says")


_claims: dict[str, Claim] = {}


def claims(names: tuple[str, ...] | list[str] = (), cost: str | None = None) -> list[Claim]:
    """The claims of those names, methods or papers (all of them where none is given), by method and name.

    An unknown name: KeyError with the nearest.
    """
    known = sorted(_claims.values(), key=lambda c: (c.method.lower(), c.name))
    for name in names:
        if not any(_is(c, name) for c in known):
            get(name)  # an optimizer without claims is known, too; what is not raises here
            raise KeyError(f"{name!r} has no claims yet; `piste verify` without a name runs all there are")
    chosen = [c for c in known if not names or any(_is(c, n) for n in names)]
    return [c for c in chosen if cost is None or cost == "full" or c.cost == cost]


def _is(claim: Claim, name: str) -> bool:
    return name.lower() in (claim.name.lower(), claim.method.lower(), claim.paper.lower())
