"""Chains as methods: what has no optimizer of its own is tried as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import functional
from .._chain import Chain


class Stepper:
    """A chain on a list of parameters, named or not, with the little of an optimizer that experiments use."""

    def __init__(self, make: Callable[..., Chain], params: Any, hyper: dict[str, Any]) -> None:
        named = [given if isinstance(given, tuple) else (str(i), given) for i, given in enumerate(params)]
        self._named: dict[str, Tensor] = dict(named)
        self.param_groups: list[dict[str, Any]] = [{"params": list(self._named.values()), **hyper}]
        self._make = make
        self._state = functional.init(self._chain(), self._named)

    def _chain(self) -> Chain:
        return self._make(**{k: v for k, v in self.param_groups[0].items() if k != "params"})

    def zero_grad(self) -> None:
        for p in self._named.values():
            p.grad = None

    def step(self, closure: Callable[[], Tensor] | None = None) -> None:
        loss = None if closure is None else closure()
        grads = {name: p.grad for name, p in self._named.items() if p.grad is not None}
        with torch.no_grad():
            here = {name: p.detach() for name, p in self._named.items()}
            new, self._state = functional.step(self._chain(), grads, self._state, here, loss=loss)
            for name, p in self._named.items():
                p.copy_(new[name])


def of_chain(make: Callable[..., Chain]) -> Callable[..., Stepper]:
    """A method from a function of hyperparameters (``lr`` among them) to a chain."""

    def method(params: Any, **hyper: Any) -> Stepper:
        return Stepper(make, params, hyper)

    return method
