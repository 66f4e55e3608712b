"""Deliberately wrong methods, for sabotage tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._registry import get


def scaled(name: str, times: float) -> Callable[..., Any]:
    """The optimizer of that name with its rate times a number, whatever it is told."""

    def method(params: Any, lr: float, **hyper: Any) -> Any:
        return get(name, "optimizer").target(params, lr=times * lr, **hyper)

    return method


def instead(name: str, **fixed: Any) -> Callable[..., Any]:
    """Another optimizer, which takes the rate and nothing else of what it is told."""

    def method(params: Any, lr: float, **hyper: Any) -> Any:
        return get(name, "optimizer").target(params, lr=lr, **fixed)

    return method


def told(name: str, **fixed: Any) -> Callable[..., Any]:
    """The optimizer of that name with some hyperparameters fixed, whatever it is told."""

    def method(params: Any, **hyper: Any) -> Any:
        return get(name, "optimizer").target(params, **{**hyper, **fixed})

    return method
