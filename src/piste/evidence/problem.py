"""Problems: objectives that are exactly specified, with what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec

import torch
from torch import Tensor

from .._registry import register

P = ParamSpec("P")
Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """An objective f of one tensor, in float64, and the facts that theorems speak of.

    ``minimum``: inf f, and ``minimizer`` a point that reaches it; ``smoothness`` L: ‖∇f(x) - ∇f(y)‖ ≤ L ‖x - y‖;
    ``strength`` μ: f(y) ≥ f(x) + ⟨∇f(x), y - x⟩ + μ/2 ‖y - x‖², with 0 for convex; ``pl`` μ: ‖∇f(x)‖² ≥ 2μ (f(x) -
    inf f); ``lipschitz`` G: ‖∇f(x)‖ ≥ G nowhere within ``radius`` of the start; ``symmetries``: maps that leave f
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
    lipschitz: float | None = None
    radius: float = 1.0
    symmetries: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None
    noise: str = "none"
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

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


def check(p: Problem, seed: int = 0, points: int = 24) -> None:
    """Hold the facts of a problem against numbers at random points. Errors (ValueError): the first that does not hold,
    with the numbers."""
    random = torch.Generator().manual_seed(seed)
    near = [
        p.start + p.radius * _direction(p.start, random) * float(torch.rand((), generator=random))
        for _ in range(points)
    ]
    for test in (_minimum, _smoothness, _strength, _pl, _lipschitz, _symmetries, _draws):
        said = test(p, near, random)
        if said:
            raise ValueError(f"problem {p.name!r}: {said}")


def _direction(like: Tensor, random: torch.Generator) -> Tensor:
    d = torch.randn(like.shape, generator=random, dtype=like.dtype)
    return d / d.norm()


SLACK = 1e-9  # rounding, relative to what is compared


def _minimum(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.minimum is None:
        return ""
    scale = SLACK * (1 + abs(float(p.loss(p.start))))
    if p.minimizer is not None and abs(p.gap(p.minimizer)) > scale:
        return f"the minimum is said to be {p.minimum:g}, and f is {float(p.loss(p.minimizer)):g} at the minimizer"
    around = [] if p.minimizer is None else [p.minimizer + 1e-3 * _direction(p.start, random) for _ in near]
    lowest = min(float(p.loss(x)) for x in [*near, *around, _lower(p)])
    return (
        ""
        if lowest >= p.minimum - scale
        else f"the minimum is said to be {p.minimum:g}, and f is {lowest:g} somewhere"
    )


def _lower(p: Problem, steps: int = 60) -> Tensor:
    """Downhill from the start by halving steps until they help."""
    x, t = p.start.clone(), 1.0
    for _ in range(steps):
        g, here = p.gradient(x), float(p.loss(x))
        while t > 1e-12 and not float(p.loss(x - t * g)) < here:
            t /= 2
        x, t = x - t * g, 2 * t
    return x


def _pairs(near: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(near, [*near[1:], near[0]], strict=True))


def _smoothness(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.smoothness is None:
        return ""
    seen = max(float((p.gradient(x) - p.gradient(y)).norm() / (x - y).norm()) for x, y in _pairs(near))
    return (
        ""
        if seen <= p.smoothness * (1 + SLACK)
        else f"L is said to be {p.smoothness:g}, and {seen:g} was seen"
    )


def _strength(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.strength is None:
        return ""
    seen = min(
        2 * float(p.loss(y) - p.loss(x) - (p.gradient(x) * (y - x)).sum()) / float((y - x).square().sum())
        for x, y in _pairs(near)
    )
    return (
        ""
        if seen >= p.strength - SLACK * (1 + abs(seen))
        else f"μ is said to be {p.strength:g}, and {seen:g} was seen"
    )


def _pl(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.pl is None:
        return ""
    seen = min(float(p.gradient(x).square().sum()) / (2 * p.gap(x)) for x in near if p.gap(x) > SLACK)
    return (
        "" if seen >= p.pl * (1 - SLACK) else f"the PL constant is said to be {p.pl:g}, and {seen:g} was seen"
    )


def _lipschitz(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.lipschitz is None:
        return ""
    seen = max(float(p.gradient(x).norm()) for x in near)
    return (
        ""
        if seen <= p.lipschitz * (1 + SLACK)
        else f"gradients are said to be at most {p.lipschitz:g}, and {seen:g} was seen"
    )


def _symmetries(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    for name, turn in p.symmetries.items():
        off = max(abs(float(p.loss(turn(x)) - p.loss(x))) / (1 + abs(float(p.loss(x)))) for x in near)
        if off > SLACK:
            return f"{name} is said to leave f as it is, and changes it by {off:g} of itself"
    return ""


def _draws(p: Problem, near: list[Tensor], random: torch.Generator, count: int = 4000) -> str:
    if p.draw is None:
        return ""
    with torch.no_grad():
        seen = torch.stack([p.draw(p.start, random) for _ in range(count)])
        off = float((seen.mean() - p.loss(p.start)).abs())
    error = float(seen.std()) / count**0.5
    return (
        ""
        if off <= 5 * error + SLACK
        else f"draws average {float(seen.mean()):g}, {off / error:.1f} standard errors from f"
    )


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
