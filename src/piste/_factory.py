"""From a factory function to an optimizer class: its keyword arguments are the param-group keys."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ._registry import unknown
from ._transform import Chain, as_chain

BOOKKEEPING = ("params", "param_names", "optimizer", "step", "view", "role", "active", "storage")
# what users and learning-rate schedulers write beside the hyperparameters; kept, and never read
NOTES = ("name", "initial_lr", "min_lr", "max_lr", "base_momentum", "max_momentum", "swa_lr", "lr_scale")


@dataclass(frozen=True)
class Factory:
    """What an optimizer is: a function from hyperparameters to a chain."""

    name: str
    fn: Callable[..., Chain]
    rest: Callable[[], dict[str, Any]] | None = None
    defaults: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fn: Callable[..., Chain], rest: Callable[[], dict[str, Any]] | None) -> Factory:
        defaults = {}
        for p in inspect.signature(fn).parameters.values():
            if p.default is p.empty:
                raise TypeError(f"optimizer {fn.__name__!r}: hyperparameter {p.name!r} needs a default value")
            whole = isinstance(p.default, int) and str(p.annotation) == "float"  # `lr: float = 1`
            defaults[p.name] = float(p.default) if whole else p.default
        if "lr" not in defaults:
            raise TypeError(
                f"optimizer {fn.__name__!r} needs an 'lr': every group has one (schedulers write it)"
            )
        clash = [k for k in defaults if k in BOOKKEEPING]
        if clash:
            raise TypeError(
                f"optimizer {fn.__name__!r}: {clash[0]!r} is the engine's own group key; rename it"
            )
        return cls(fn.__name__, fn, rest, defaults)

    @property
    def matrix(self) -> bool:
        """Whether it is for hidden matrices only, and hands everything else to ``rest``."""
        return self.rest is not None

    def chain(self, **group: Any) -> Chain:
        """The chain with these hyperparameters; keys that are not its own (a scheduler's notes) are passed over."""
        values = tuple([_plain(group.get(k, d)) for k, d in self.defaults.items()])
        if all(type(v) in _PLAIN for v in values):
            return _remembered(self.fn, tuple(self.defaults), values)
        return as_chain(self.fn(**dict(zip(self.defaults, values, strict=True))))

    def checked(self, hyper: dict[str, Any], who: str, also: Iterable[str] = ()) -> dict[str, Any]:
        """All hyperparameters of a group, defaults filled in, each one checked. Errors name it and the remedy.

        Tensors are copied, so that a caller's own is never written. ``also``: further names for the error to suggest.
        """
        for key in hyper:
            if key not in self.defaults:
                known = [*self.defaults, *also]
                raise TypeError(f"{who}: {unknown(f'hyperparameter of {self.name}', key, known)}")
        return {
            k: checked_value(who, k, hyper.get(k, default), default) for k, default in self.defaults.items()
        }


@functools.lru_cache(maxsize=64, typed=True)
def _remembered(fn: Callable[..., Chain], names: tuple[str, ...], values: tuple[Any, ...]) -> Chain:
    """A chain is asked for at every step, and its numbers often stand still."""
    return as_chain(fn(**dict(zip(names, values, strict=True))))


_PLAIN = (float, int, bool, tuple, str, type(None))


def _plain(value: Any) -> Any:
    """What stands in a group as a chain takes it: 0-d tensors and numpy's numbers become Python's."""
    if type(value) in _PLAIN:
        return value
    if (
        isinstance(value, Tensor)
        and value.numel() == 1
        and value.device.type == "cpu"
        and not value.requires_grad
    ):
        return value if _batched(value) else value.item()
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return value


def _batched(value: Tensor) -> bool:
    """Whether the tensor is a vmap or grad wrapper, whose value must stay symbolic."""
    return torch._C._functorch.is_functorch_wrapped_tensor(value)  # pyright: ignore[reportAttributeAccessIssue]


_UNIT = re.compile(r"^(momentum|betas|beta\d?|dampening|decay|alpha|.*_beta\d?)$")
_UP_TO_ONE = ("dampening", "alpha")  # an alpha is also a step towards something, all of it
_NOT_NEGATIVE = ("lr", "eps", "weight_decay", "rho", "max_norm")


def checked_value(who: str, key: str, value: Any, default: Any) -> Any:
    """The value, of the default's kind and in the range that holds for every method: rates not negative, betas in
    [0, 1), counts whole, everything finite. Errors: TypeError for another kind, ValueError out of range."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(
                f"{who}: {key} must be a number or a tensor of one element, not of shape {tuple(value.shape)}"
            )
        if value.requires_grad or _batched(value):
            return value
        _check_range(who, key, value.item())
        return value.detach().clone()
    if isinstance(default, bool) and value in (0, 1):
        return bool(value)
    if isinstance(default, tuple):
        return _several(who, key, value, default)
    if isinstance(default, (int, float)):
        return _one(who, key, value, default)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        _check_range(who, key, float(value))
    return _plain(value)


def _one(who: str, key: str, value: Any, default: float) -> Any:
    if isinstance(default, bool) or isinstance(value, bool) or not isinstance(value, numbers.Real):
        kind = "True or False" if isinstance(default, bool) else "a number"
        hint = " (a function of the step goes into opt.schedules)" if callable(value) else ""
        hint = " (without quotes; YAML takes 1e-3 for text, not 1.0e-3)" if isinstance(value, str) else hint
        raise TypeError(f"{who}: {key} must be {kind}, got {value!r}{hint}")
    number = float(value)
    if number != default:  # a default may stand for "not given", such as a beta of -1
        # an alpha may be anything: near 1 it is the rate of an average
        unit = 0.5 <= default <= 1 if key == "alpha" else default <= 1
        _check_range(who, key, number, unit)
    if isinstance(default, float):
        return number
    if not number.is_integer() or number < 0:
        raise ValueError(f"{who}: {key} must be a whole number and not negative, got {value}")
    return int(number)


def _several(who: str, key: str, value: Any, default: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(default):
        raise ValueError(f"{who}: {key} must be {len(default)} numbers like {default}, got {value!r}")
    return tuple(_one(who, key, v, d) for v, d in zip(value, default, strict=True))


def _check_range(who: str, key: str, value: float, unit: bool = True) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{who}: {key} must be finite, got {value}")
    if key in _NOT_NEGATIVE and value < 0:
        raise ValueError(f"{who}: {key} must not be negative, got {value} (to climb, negate the loss)")
    if unit and _UNIT.match(key) and not 0 <= value < 1 and not (key in _UP_TO_ONE and value == 1):
        raise ValueError(f"{who}: {key} must lie in [0, 1{']' if key in _UP_TO_ONE else ')'}, got {value}")
