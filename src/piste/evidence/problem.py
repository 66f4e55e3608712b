"""Problems: objectives that are exactly specified, with what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec

import torch
from torch import Tensor

from .._registry import register
from .facts import agree

P = ParamSpec("P")
Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """An objective f of one tensor, in float64, and the facts that theorems speak of.

    ``minimum``: inf f, and ``minimizer`` a point that reaches it; ``smoothness`` L: ‖∇f(x) - ∇f(y)‖ ≤ L ‖x - y‖;
    ``strength`` μ: f(y) ≥ f(x) + ⟨∇f(x), y - x⟩ + μ/2 ‖y - x‖², with 0 for convex; ``pl`` μ: ‖∇f(x)‖² ≥ 2μ (f(x) -
    inf f); ``quasar`` ζ: ⟨∇f(x), x - x*⟩ ≥ ζ (f(x) - inf f) for the minimizer x*; ``weak`` ρ: f + ρ/2 ‖x‖² is
    convex; ``lipschitz`` G: ‖∇f(x)‖ ≥ G nowhere within ``radius`` of the start; ``symmetries``: maps that leave f
    as it is. ``draw(x, generator)`` is a random loss at x whose mean is f; ``noise`` says how it is distributed.
    None: not known. ``shapes``: of the parameters that methods see, by name, where x is a flat vector made of several.
    """

    name: str
    loss: Loss
    start: Tensor
    minimum: float | None = None
    minimizer: Tensor | None = None
    smoothness: float | None = None
    strength: float | None = None
    pl: float | None = None
    quasar: float | None = None
    weak: float | None = None
    lipschitz: float | None = None
    radius: float = 1.0
    symmetries: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None
    noise: str = "none"
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Errors (ValueError): facts that contradict each other, or f at the minimizer."""
        agree(self)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """x, cut into its parameters."""
        if not self.shapes:
            return {"x": x}
        cut = x.split([math.prod(shape) for shape in self.shapes.values()])
        return {name: part.view(shape) for part, (name, shape) in zip(cut, self.shapes.items(), strict=True)}

    def whole(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The x that is made of these parameters."""
        return torch.cat([part.flatten() for part in parts.values()]) if self.shapes else parts["x"]

    def gap(self, x: Tensor) -> float:
        """f(x) - inf f."""
        if self.minimum is None:
            raise ValueError(f"problem {self.name!r} does not say its minimum: measure something else")
        with torch.no_grad():
            return float(self.loss(x)) - self.minimum

    def gradient(self, x: Tensor) -> Tensor:
        x = x.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(self.loss(x), x)
        return found


def problem(make: Callable[P, Problem]) -> Callable[P, Problem]:
    """Register a maker of problems: `piste list --kind problem` shows it."""
    register("problem", make.__name__, make)
    return make


@dataclass(frozen=True)
class Trace:
    """Where a method went: the point before every step and after the last, and f there."""

    points: list[Tensor]
    losses: list[float]

    @property
    def end(self) -> Tensor:
        return self.points[-1]

    @property
    def mean(self) -> Tensor:
        """Of the points from which gradients were taken."""
        return torch.stack(self.points[:-1]).mean(0)


def descend(
    p: Problem, method: Callable[..., Any], steps: int, seed: int = 0, *, batch: int = 0,
    schedule: Callable[[int], float] | None = None, start: Tensor | None = None, **hyper: Any,
) -> Trace:  # fmt: skip
    """Run an optimizer on a problem. ``batch``: how many draws make each gradient, 0 for the exact one; ``schedule``: a
    factor on the rate of step t = 0, 1, …"""
    first = (p.start if start is None else start).detach().clone()
    params = {name: torch.nn.Parameter(part.clone()) for name, part in p.parts(first).items()}
    opt = method(list(params.items()) if p.shapes else list(params.values()), **hyper)
    random = torch.Generator().manual_seed(seed)

    def closure() -> Tensor:
        opt.zero_grad()
        x = p.whole(params)
        drawn = [_drawn(p, x, random) for _ in range(batch)]
        loss = torch.stack(drawn).mean() if drawn else p.loss(x)
        loss.backward()
        return loss.detach()

    rates = [group["lr"] for group in opt.param_groups]
    points, losses = [first], [float(p.loss(first))]
    for t in range(steps):
        if schedule is not None:
            for group, rate in zip(opt.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(t)
        opt.step(closure)
        points.append(p.whole(params).detach().clone())
        losses.append(float(p.loss(points[-1])))
    return Trace(points, losses)


def _drawn(p: Problem, x: Tensor, random: torch.Generator) -> Tensor:
    if p.draw is None:
        raise ValueError(f"problem {p.name!r} has no noise: leave out batch")
    return p.draw(x, random)
