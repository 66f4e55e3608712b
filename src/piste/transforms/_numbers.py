"""Arithmetic that reads the same whether a number is a Python float (eager) or a 0-d tensor (compiled, functional)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def debias(average: Any, beta: Any, step: Any) -> Any:
    """An exponential average that started at zero, divided by the weight it has gathered: a / (1 - beta^step)."""
    return average * inverse(1 - beta**step)  # a product: one division a step, not one an entry


def inverse(x: Any) -> Any:
    """1 / x, infinite at 0 (a step that is not counted yet) for floats as for tensors."""
    return 1 / x if isinstance(x, Tensor) or x else math.inf


def sqrt(x: Any) -> Any:
    return x.sqrt() if isinstance(x, Tensor) else math.sqrt(x)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """``yes if condition else no``, elementwise where the condition is a tensor."""
    if not isinstance(condition, Tensor):
        return yes if condition else no
    like = next((x for x in (yes, no) if isinstance(x, Tensor)), None)
    if like is None:
        like = torch.zeros((), dtype=torch.float64)
    yes, no = (x if isinstance(x, Tensor) else torch.full_like(like, x) for x in (yes, no))
    return torch.where(condition, yes, no)


def maximum(a: Any, b: Any) -> Any:
    return where(a > b, a, b)


def minimum(a: Any, b: Any) -> Any:
    return where(a < b, a, b)


def ratio(a: Any, b: Any) -> Any:
    """a / b, and 0 where both are 0 (a schedule-free weight at lr = 0)."""
    return where(b == 0, a * 0.0, a / where(b == 0, b + 1.0, b))


def wide(x: Tensor) -> Tensor:
    """In float64, where the device has it: sums that steer everything do not depend on how they are cut."""
    return x if x.device.type == "mps" else x.to(torch.float64)
