"""L-BFGS: two-loop recursion and a line search for the strong Wolfe conditions.

Sources: Nocedal, "Updating Quasi-Newton Matrices with Limited Storage" (1980),
https://doi.org/10.1090/S0025-5718-1980-0572855-7; Liu and Nocedal, "On the limited memory BFGS method for
large scale optimization" (1989), https://doi.org/10.1007/BF01589116; Nocedal and Wright, "Numerical
Optimization" (2nd ed. 2006), algorithms 7.4 (two loops), 3.5 and 3.6 (search)

With s = the last step, y = the change of the gradient, kept while yᵀs > 1e-10, the latest `history_size`:

    d = -H g,  H₀ = (yᵀs / yᵀy) I;  at the first iteration d = -g
    w ← w + t d,  t from the search started at lr (first iteration: lr min(1, 1 / ‖g‖₁))

    f(w + t d) ≤ f(w) + c₁ t gᵀd   and   |∇f(w + t d)ᵀd| ≤ -c₂ gᵀd

One step here is one iteration. The search's safeguards are those of Schmidt's minFunc, which
torch.optim.LBFGS shares: cubic interpolation through two points with slopes, extrapolation within [t + 0.01
(t - t'), 10 t], trial points kept 10 % away from the bracket's ends when progress stalls. torch.optim.LBFGS
with max_iter=1 and max_eval=26 takes the same steps; with max_eval left at its default (1 for max_iter=1)
it *cannot* search: the budget is spent by the first evaluation, and it takes t = lr if that decreases the
loss and else stays.

Deviation of minFunc and torch from the book, kept here: the test φ(t) ≥ φ(t') that ends the bracketing
phase is skipped on the first two trials, not just on the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Point(NamedTuple):
    t: float
    f: float
    slope: float
    g: Tensor


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """The minimiser of the cubic that matches values and slopes at both points, kept within [low, high]."""
    if a.t > b.t:
        a, b = b, a
    theta = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    inside = theta**2 - a.slope * b.slope
    if inside < 0:
        return (low + high) / 2
    root = inside**0.5
    t = b.t - (b.t - a.t) * (b.slope + root - theta) / (b.slope - a.slope + 2 * root)
    return min(max(t, low), high)


def strong_wolfe(
    phi: Callable[[float], Point],
    start: Point,
    t: float,
    width: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance: float = 1e-9,
    max_ls: int = 25,
) -> Point:
    """A point on the ray that satisfies the strong Wolfe conditions; `width` is max |d|."""

    def too_high(p: Point) -> bool:
        return p.f > start.f + c1 * p.t * start.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    last, point, trials = start, phi(t), 0
    while True:
        if trials == max_ls:
            low, high = sorted((start, point), key=lambda p: p.f)
            break
        if too_high(point) or (trials > 1 and point.f >= last.f):
            low, high = sorted((last, point), key=lambda p: p.f)
            break
        if flat(point):
            return point
        if point.slope >= 0:
            low, high = sorted((last, point), key=lambda p: p.f)
            break
        t = cubic_minimum(last, point, point.t + 0.01 * (point.t - last.t), 10 * point.t)
        last, point, trials = point, phi(t), trials + 1

    stalled = False
    while trials < max_ls and abs(high.t - low.t) * width >= tolerance:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t, margin = cubic_minimum(low, high, left, right), 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stalled or t >= right or t <= left:
                t = right - margin if right - t < t - left else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        point, trials = phi(t), trials + 1
        if too_high(point) or point.f >= low.f:
            high = point
            if high.f < low.f:
                low, high = high, low
        else:
            if flat(point):
                return point
            if point.slope * (high.t - low.t) >= 0:
                high = low
            low = point
    return low


def direction(g: Tensor, history: list[tuple[Tensor, Tensor]]) -> Tensor:
    """-H g by the two-loop recursion over the pairs (s, y), oldest first."""
    q, alphas = g, []
    for s, y in reversed(history):
        alpha = s.dot(q) / y.dot(s)
        alphas.append(alpha)
        q = q - alpha * y
    if history:
        s, y = history[-1]
        q = q * y.dot(s) / y.dot(y)
    for (s, y), alpha in zip(history, reversed(alphas)):
        q = q + s * (alpha - y.dot(q) / y.dot(s))
    return -q


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 1.0,
    history_size: int = 100,
    tolerance_grad: float = 1e-7,
    tolerance_change: float = 1e-9,
    line_search: bool = True,
    max_ls: int = 25,
) -> list[Tensor]:
    shapes = [w.shape for w in params]

    def unflatten(x: Tensor) -> list[Tensor]:
        parts = x.split([s.numel() for s in shapes])
        return [part.reshape(s) for part, s in zip(parts, shapes)]

    def evaluate(x: Tensor) -> tuple[float, Tensor]:
        leaf = x.detach().clone().requires_grad_()
        value = loss(unflatten(leaf))
        return value.item(), torch.autograd.grad(value, leaf)[0]

    x = torch.cat([w.detach().flatten() for w in params])
    history: list[tuple[Tensor, Tensor]] = []
    last_step: Tensor | None = None
    last_g = torch.zeros_like(x)
    for _ in range(steps):
        f, g = evaluate(x)
        if g.abs().max() <= tolerance_grad:
            break
        if last_step is None:
            t = lr * min(1.0, 1.0 / g.abs().sum().item())
        else:
            t, y = lr, g - last_g
            if y.dot(last_step) > 1e-10:
                history = [*history, (last_step, y)][-history_size:]
        d, last_g = direction(g, history), g
        slope = g.dot(d).item()
        if slope > -tolerance_change:
            break
        if line_search:

            def phi(t: float, x: Tensor = x, d: Tensor = d) -> Point:
                value, grad = evaluate(x + t * d)
                return Point(t, value, grad.dot(d).item(), grad)

            t = strong_wolfe(
                phi,
                Point(0.0, f, slope, g),
                t,
                d.abs().max().item(),
                tolerance=tolerance_change,
                max_ls=max_ls,
            ).t
        last_step = t * d
        x = x + last_step
    return [part.clone() for part in unflatten(x)]
