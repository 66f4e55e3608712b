"""What a merging method declares: a pure function of one tensor per model, and what it must know of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .._registry import get, register

Tensors = Sequence[Tensor]  # the same parameter of every model, in the order of the models

# What the engine hands over by name; all other arguments are the method's hyperparameters.
GIVEN = ("tensors", "base", "weights", "statistics", "base_statistics", "generator")


RESERVED = frozenset({
    "method", "models", "out", "overwrite", "shard_bytes", "on_tensor", "dtype", "normalize", "seed", "name", "path",
})  # fmt: skip


@dataclass(frozen=True)
class Method:
    """A way to merge. ``asks``: what it is given by name; ``sums``: what is measured first; ``elementwise``: whether
    each entry is merged for itself, so that a tensor may be given in pieces."""

    name: str
    fn: Callable[..., Tensor]
    least: int = 1
    most: int | None = None
    sums: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    normalized: bool = False
    asks: tuple[str, ...] = ()
    hyper: Mapping[str, Any] = field(default_factory=dict)
    elementwise: bool = False

    def needs(self, what: str) -> bool:
        """Whether it cannot do without."""
        return (
            what in self.asks
            and inspect.signature(self.fn).parameters[what].default is inspect.Parameter.empty
        )


def method(
    least: int = 1,
    most: int | None = None,
    normalized: bool = False,
    elementwise: bool = False,
    **sums: Callable[..., Any],
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a merging method.

    The function sees one tensor at a time: ``tensors`` of the models and, where it asks for them, the ``base`` they
    come from, their ``weights``, diagonal ``statistics`` of each, those of the base, a random ``generator``. ``least``
    and ``most`` bound the number of models. ``normalized``: weights stand for shares and must sum to 1. One that is
    ``elementwise`` is given vectors, pieces of a tensor, so that the largest models pass through little memory.
    ``sums`` are measures, by the name of the argument that receives them: see :mod:`piste.merging.sums`.
    """

    def wrap(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
        parameters = inspect.signature(fn).parameters
        hyper = {name: p.default for name, p in parameters.items() if name not in GIVEN and name not in sums}
        taken = sorted({*hyper} & RESERVED)
        if taken:
            raise ValueError(
                f"{fn.__name__}: {', '.join(taken)} means something else to `merge`: name it otherwise"
            )
        made = Method(fn.__name__, fn, least, most, sums, normalized, tuple(parameters), hyper, elementwise)
        register("merge", fn.__name__, fn)
        fn.method = made  # type: ignore[attr-defined]
        return fn

    return wrap


def method_of(named: str | Callable[..., Tensor]) -> Method:
    """The method of that name, or of that function. Errors: KeyError with the nearest name; TypeError for a function
    without ``@method``."""
    found = get(named, "merge").target if isinstance(named, str) else named
    made = getattr(found, "method", None)
    if made is None:
        raise TypeError(
            f"{getattr(found, '__name__', found)!r} is no merging method: decorate it with @piste.merging.method()"
        )
    return made
