"""What a schedule is: a function of the step with checked arguments, which is a value."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from .._registry import register

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
