"""Whether what a problem says of itself holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .problem import Problem

SLACK = 1e-9  # rounding, relative to what is compared


def agree(p: Problem) -> None:
    """Refuse what needs no search to refute: facts that contradict each other, or f at the minimizer."""
    for said in (_misshapen(p), _misordered(p), _unmet(p)):
        if said:
            raise ValueError(f"problem {p.name!r}: {said}")


def check(p: Problem, seed: int = 0, points: int = 24) -> None:
    """Hold the facts of a problem against numbers at random points. Errors (ValueError): the first that does not hold,
    with the numbers."""
    random = torch.Generator().manual_seed(seed)
    near = [
        p.start + p.radius * _direction(p.start, random) * float(torch.rand((), generator=random))
        for _ in range(points)
    ]
    for test in (_minimum, _smoothness, _strength, _pl, _quasar, _lipschitz, _symmetries, _draws):
        said = test(p, near, random)
        if said:
            raise ValueError(f"problem {p.name!r}: {said}")


def _direction(like: Tensor, random: torch.Generator) -> Tensor:
    d = torch.randn(like.shape, generator=random, dtype=like.dtype)
    return d / d.norm()


def _misshapen(p: Problem) -> str:
    if p.minimizer is not None and p.minimizer.shape != p.start.shape:
        return f"the start has the shape {tuple(p.start.shape)} and the minimizer {tuple(p.minimizer.shape)}"
    size = sum(math.prod(shape) for shape in p.shapes.values())
    if p.shapes and (p.start.ndim != 1 or size != p.start.numel()):
        return f"its shapes hold {size} numbers, and the start is of shape {tuple(p.start.shape)}: give a flat one"
    return ""


def _misordered(p: Problem) -> str:
    for name, below in (("μ", p.strength), ("the PL constant", p.pl)):
        if p.smoothness is not None and below is not None and below > p.smoothness * (1 + SLACK):
            return f"{name} is said to be {below:g}, above L = {p.smoothness:g}"
    if p.quasar is not None and not 0 < p.quasar <= 2:
        return f"ζ of quasar-convexity is said to be {p.quasar:g}; it lies in (0, 2], 2 being a quadratic's"
    if p.quasar is not None and p.minimizer is None:
        return "quasar-convexity speaks of a minimizer: give it"
    return ""


def _unmet(p: Problem) -> str:
    if p.minimum is None or p.minimizer is None:
        return ""
    with torch.no_grad():
        seen = float(p.loss(p.minimizer))
    if abs(seen - p.minimum) <= _scale(p):
        return ""
    return f"the minimum is said to be {p.minimum:g}, and f is {seen:g} at the minimizer"


def _scale(p: Problem) -> float:
    with torch.no_grad():
        return SLACK * (1 + abs(float(p.loss(p.start))))


def _minimum(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.minimum is None:
        return ""
    around = [] if p.minimizer is None else [p.minimizer + 1e-3 * _direction(p.start, random) for _ in near]
    lowest = min(float(p.loss(x)) for x in [*near, *around, _lower(p)])
    return (
        ""
        if lowest >= p.minimum - _scale(p)
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
    """Of μ, and of ρ, which is a negative one."""
    said, name = (p.strength, "μ") if p.weak is None else (-p.weak, "-ρ of weak convexity")
    if said is None:
        return ""
    seen = min(
        2 * float(p.loss(y) - p.loss(x) - (p.gradient(x) * (y - x)).sum()) / float((y - x).square().sum())
        for x, y in _pairs(near)
    )
    return (
        ""
        if seen >= said - SLACK * (1 + abs(seen))
        else f"{name} is said to be {said:g}, and {seen:g} was seen"
    )


def _quasar(p: Problem, near: list[Tensor], random: torch.Generator) -> str:
    if p.quasar is None or p.minimizer is None:
        return ""
    least = p.minimizer
    seen = min(float((p.gradient(x) * (x - least)).sum()) / p.gap(x) for x in near if p.gap(x) > SLACK)
    return (
        ""
        if seen >= p.quasar * (1 - SLACK)
        else f"ζ of quasar-convexity is said to be {p.quasar:g}, and {seen:g} was seen"
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
