"""Laws of a whole optimizer, on a small problem with a closure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .._optimizer import Optimizer
from ._verdict import Verdict, differs


def check_optimizer(cls: Any, **hyper: Any) -> Iterator[Verdict]:
    """Laws of a whole optimizer, on a small problem with a closure."""
    for law, test in _OPTIMIZER_LAWS.items():
        detail = test(cls, hyper)
        yield Verdict(cls.__name__, law, detail == "", detail)


def _problem() -> tuple[dict[str, torch.nn.Parameter], Callable[[Any], Callable[[], Tensor]]]:
    """Four parameters, the last frozen, the third without a gradient; the closure fills the others' gradients."""
    g = torch.Generator().manual_seed(0)
    shapes = {"w": (6, 6), "b": (6,), "unused": (3, 3), "frozen": (2, 2)}
    params = {
        n: torch.nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64)) for n, s in shapes.items()
    }
    params["frozen"].requires_grad_(False)
    target = torch.randn(6, 6, generator=g, dtype=torch.float64)

    def closure_of(opt: Any) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            opt.zero_grad()
            loss = ((params["w"] @ params["w"].T + params["b"] - target) ** 2).mean()
            loss.backward()
            return loss

        return closure

    return params, closure_of


def _optimizer(cls: Any, params: Mapping[str, Tensor], hyper: Mapping[str, Any]) -> Optimizer:
    groups = [{"params": list(params.items()), "optimizer": cls.factory.name}]
    return cls(groups, **hyper)


def _go(cls: Any, hyper: Mapping[str, Any], count: int) -> tuple[dict[str, Any], Optimizer, Any]:
    params, closure_of = _problem()
    opt = _optimizer(cls, params, hyper)
    for _ in range(count):
        opt.step(closure_of(opt))
    return params, opt, closure_of


def _still(cls: Any, hyper: Mapping[str, Any]) -> str:
    params, _, _ = _go(cls, {**hyper, "lr": 0.0}, 4)
    start, _ = _problem()
    moved = [n for n in params if not torch.equal(params[n], start[n])]
    return f"with lr = 0 {moved[0]!r} moved" if moved else ""


def _untouched(cls: Any, hyper: Mapping[str, Any]) -> str:
    params, _, _ = _go(cls, hyper, 3)
    start, _ = _problem()
    moved = [n for n in ("unused", "frozen") if not torch.equal(params[n], start[n])]
    if moved:
        return f"{moved[0]!r} has no gradient, yet moved"
    return "" if not torch.equal(params["w"], start["w"]) else "nothing moved at all"


def _resumed(cls: Any, hyper: Mapping[str, Any]) -> str:
    whole, _, _ = _go(cls, hyper, 7)
    params, opt, _ = _go(cls, hyper, 4)
    again, closure_of = _problem()
    for n, p in again.items():
        p.data.copy_(params[n])
    twin = _optimizer(cls, again, hyper)
    twin.load_state_dict(opt.state_dict())
    for _ in range(3):
        twin.step(closure_of(twin))
    wrong = [n for n in whole if not torch.equal(whole[n], again[n])]
    return f"{wrong[0]!r} differs after save, load and continue" if wrong else ""


def _reordered(cls: Any, hyper: Mapping[str, Any]) -> str:
    whole, _, _ = _go(cls, hyper, 4)
    params, closure_of = _problem()
    opt = _optimizer(cls, dict(reversed(params.items())), hyper)
    for _ in range(4):
        opt.step(closure_of(opt))
    seen = max(differs(params[n], whole[n]) for n in whole)
    return f"the order of the parameters matters ({seen:.1e})" if seen > 1e-9 else ""


def _forecast(cls: Any, hyper: Mapping[str, Any]) -> str:
    _, opt, _ = _go(cls, hyper, 2)
    said, held = opt.forecast_bytes(), opt.state_bytes()
    return f"forecast {said} bytes, holds {held}" if said != held else ""


_OPTIMIZER_LAWS: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "lr = 0 leaves weights alone": _still,
    "frozen and grad-less parameters untouched": _untouched,
    "resume = no interruption": _resumed,
    "order of parameters irrelevant": _reordered,
    "state bytes as forecast": _forecast,
}
