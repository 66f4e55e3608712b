"""Laws of a whole optimizer, on a small problem with a closure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Problem:
    """Parameters by name, what is handed to the optimizer, and its closure."""

    params: dict[str, torch.nn.Parameter]
    given: Any
    loss: Callable[[], Tensor]

    def closure(self, opt: Any) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            opt.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return closure


def _problem(cls: Any, backwards: bool = False) -> _Problem:
    """Four parameters, the last frozen, the third without a gradient; the closure fills the others' gradients.
    ``backwards``: handed over in the other order."""
    if cls.factory.chain().senses:
        return _layers(backwards)
    g = torch.Generator().manual_seed(0)
    shapes = {"w": (6, 6), "b": (6,), "unused": (3, 3), "frozen": (2, 2)}
    params = {
        n: torch.nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64)) for n, s in shapes.items()
    }
    params["frozen"].requires_grad_(False)
    target = torch.randn(6, 6, generator=g, dtype=torch.float64)
    listed = list(reversed(params.items())) if backwards else list(params.items())
    given = [{"params": listed, "optimizer": cls.factory.name}]
    return _Problem(params, given, lambda: ((params["w"] @ params["w"].T + params["b"] - target) ** 2).mean())


def _layers(backwards: bool) -> _Problem:
    """The same of layers, for what watches them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        used, unused, frozen = (torch.nn.Linear(k, k, bias=k == 6, dtype=torch.float64) for k in (6, 3, 2))
        x, y = torch.randn(2, 12, 6, dtype=torch.float64)
    frozen.requires_grad_(False)
    params: Any = {"w": used.weight, "b": used.bias, "unused": unused.weight, "frozen": frozen.weight}
    layers = {"used": used, "unused": unused, "frozen": frozen}
    given = torch.nn.ModuleDict(reversed(layers.items()) if backwards else layers)
    return _Problem(params, given, lambda: ((used(x).tanh() - y) ** 2).mean())


def _go(
    cls: Any, hyper: Mapping[str, Any], count: int, backwards: bool = False
) -> tuple[_Problem, Optimizer]:
    problem = _problem(cls, backwards)
    opt = cls(problem.given, **hyper)
    for _ in range(count):
        opt.step(problem.closure(opt))
    return problem, opt


def _still(cls: Any, hyper: Mapping[str, Any]) -> str:
    params = _go(cls, {**hyper, "lr": 0.0}, 4)[0].params
    start = _problem(cls).params
    moved = [n for n in params if not torch.equal(params[n], start[n])]
    return f"with lr = 0 {moved[0]!r} moved" if moved else ""


def _untouched(cls: Any, hyper: Mapping[str, Any]) -> str:
    params = _go(cls, hyper, 3)[0].params
    start = _problem(cls).params
    moved = [n for n in ("unused", "frozen") if not torch.equal(params[n], start[n])]
    if moved:
        return f"{moved[0]!r} has no gradient, yet moved"
    return "" if not torch.equal(params["w"], start["w"]) else "nothing moved at all"


def _resumed(cls: Any, hyper: Mapping[str, Any]) -> str:
    whole = _go(cls, hyper, 7)[0].params
    first, opt = _go(cls, hyper, 4)
    again = _problem(cls)
    for n, p in again.params.items():
        p.data.copy_(first.params[n])
    twin = cls(again.given, **hyper)
    twin.load_state_dict(opt.state_dict())
    for _ in range(3):
        twin.step(again.closure(twin))
    wrong = [n for n in whole if not torch.equal(whole[n], again.params[n])]
    return f"{wrong[0]!r} differs after save, load and continue" if wrong else ""


def _reordered(cls: Any, hyper: Mapping[str, Any]) -> str:
    whole, other = (_go(cls, hyper, 4, backwards)[0].params for backwards in (False, True))
    seen = max(differs(other[n], whole[n]) for n in whole)
    return f"the order of the parameters matters ({seen:.1e})" if seen > 1e-9 else ""


def _forecast(cls: Any, hyper: Mapping[str, Any]) -> str:
    _, opt = _go(cls, hyper, 2)
    said, held = opt.forecast_bytes(), opt.state_bytes()
    return f"forecast {said} bytes, holds {held}" if said != held else ""


_OPTIMIZER_LAWS: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "lr = 0 leaves weights alone": _still,
    "frozen and grad-less parameters untouched": _untouched,
    "resume = no interruption": _resumed,
    "order of parameters irrelevant": _reordered,
    "state bytes as forecast": _forecast,
}
