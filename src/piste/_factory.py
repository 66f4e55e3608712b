"""From a factory function to an optimizer class: its keyword arguments are the param-group keys."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ._registry import unknown
from ._transform import Chain, as_chain

BOOKKEEPING = ("params", "param_names", "optimizer", "step", "view", "role", "active")


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
            defaults[p.name] = p.default
        if "lr" not in defaults:
            raise TypeError(f"optimizer {fn.__name__!r} needs an 'lr': every group has one (schedulers write it)")
        clash = [k for k in defaults if k in BOOKKEEPING]
        if clash:
            raise TypeError(f"optimizer {fn.__name__!r}: {clash[0]!r} is the engine's own group key; rename it")
        return cls(fn.__name__, fn, rest, defaults)

    @property
    def matrix(self) -> bool:
        """Whether it is for hidden matrices only, and hands everything else to ``rest``."""
        return self.rest is not None

    def chain(self, **group: Any) -> Chain:
        """The chain with these hyperparameters; keys that are not its own (a scheduler's notes) are passed over."""
        return as_chain(self.fn(**{k: _number(group.get(k, d)) for k, d in self.defaults.items()}))

    def checked(self, hyper: dict[str, Any], who: str) -> dict[str, Any]:
        """All hyperparameters of a group, defaults filled in, each one checked. Errors name it and the remedy."""
        for key in hyper:
            if key not in self.defaults and key not in BOOKKEEPING:
                raise TypeError(f"{who}: {unknown(f'hyperparameter of {self.name}', key, self.defaults)}")
        full = {**self.defaults, **{k: v for k, v in hyper.items() if k in self.defaults}}
        for key, value in full.items():
            check_value(who, key, value)
        return full


def _number(value: Any) -> Any:
    if isinstance(value, Tensor) and value.numel() == 1 and value.device.type == "cpu" and not value.requires_grad:
        if not _batched(value):
            return float(value)
    return value


def _batched(value: Tensor) -> bool:
    """Whether the tensor is a vmap or grad wrapper, whose value must stay symbolic."""
    import torch

    return torch._C._functorch.is_functorch_wrapped_tensor(value)


_UNIT = re.compile(r"^(momentum|beta\d?|dampening|decay|alpha|.*_beta\d?)$")


def check_value(who: str, key: str, value: Any) -> None:
    """Ranges that hold for every method: rates not negative, betas in [0, 1), everything finite."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"{who}: {key} must be a number or a tensor of one element, not of shape {tuple(value.shape)}")
        if value.requires_grad or _batched(value):
            return
        value = float(value)
    if key == "betas":
        if not isinstance(value, (tuple, list)) or not all(isinstance(b, (int, float)) for b in value):
            raise ValueError(f"{who}: betas must be a tuple of numbers, got {value!r}")
        for b in value:
            if not 0 <= b < 1:
                raise ValueError(f"{who}: betas must lie in [0, 1), got {tuple(value)}")
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        raise ValueError(f"{who}: {key} must be finite, got {value}")
    if key in ("lr", "eps", "weight_decay", "rho", "max_norm", "warmup_steps") and value < 0:
        raise ValueError(f"{who}: {key} must not be negative, got {value} (to climb, negate the loss)")
    if _UNIT.match(key) and not 0 <= value < 1 and not (key == "dampening" and value == 1):
        raise ValueError(f"{who}: {key} must lie in [0, 1), got {value}")
