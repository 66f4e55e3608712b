"""Deliberately wrong methods, for sabotage tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._registry import get


def scaled(name: str, times: float) -> Callable[..., Any]:
    """The optimizer of that name with its rate times a number, whatever it is told."""

    def method(params: Any, lr: float, **hyper: Any) -> Any:
        return get(name, "optimizer").target(params, lr=times * lr, **hyper)

    return _named(method, name)


def instead(name: str, **fixed: Any) -> Callable[..., Any]:
    """Another optimizer, which takes the rate and nothing else of what it is told."""

    def method(params: Any, lr: float, **hyper: Any) -> Any:
        return get(name, "optimizer").target(params, lr=lr, **fixed)

    return _named(method, name)


def told(name: str, **fixed: Any) -> Callable[..., Any]:
    """The optimizer of that name with some hyperparameters fixed, whatever it is told."""

    def method(params: Any, **hyper: Any) -> Any:
        return get(name, "optimizer").target(params, **{**hyper, **fixed})

    return _named(method, name)


def _named(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Called as what it stands for: Muon is handed its matrices with names."""
    method.__name__ = name
    return method
