"""How far to go along the direction of the whole tree: parts of a chain that stand where ``descend`` would.

A search sees ``direction`` (downhill: what the chain made of the gradients, negated), the loss and gradients at the
weights, and may evaluate elsewhere; it returns how many times the direction to step. Its decisions are made on the
host, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._sharding import largest, number
from ._transform import scalar, search
from .oracles.newton import dual_square

Tensors = Sequence[Tensor]


def _dot(a: Tensors, b: Tensors) -> float:
    """Products in at least float32, added up in float64 (where the device has it): how a sum is cut over ranks then
    changes nothing that a decision sees."""
    return sum(number((_wide(x) * _wide(y)).sum(dtype=_widest(x))) for x, y in zip(a, b, strict=True))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _widest(x: Tensor) -> torch.dtype:
    return torch.float32 if x.device.type == "mps" else torch.float64


@search
def full_step(*, lr: float) -> float:
    """The step of length η: what ``descend`` does, as a search."""
    return lr


@search(step_size=scalar(shared=True, fill="init_step_size"))
def armijo(
    evaluate: Any, params: Tensors, direction: Tensors, loss: Any, grads: Tensors, step_size: Tensor, *, lr: float,
    init_step_size: float = 1.0, c: float = 0.1, beta: float = 0.9, gamma: float = 2.0,
    n_batches_per_epoch: float = 500.0,
) -> Any:  # fmt: skip
    """Backtracking on the mini-batch: the largest of η₀, βη₀, β²η₀, ... with f(w + ηd) ≤ f(w) + c η gᵀd.

    η₀ is the last step's η times γ^(1 / batches per epoch), at most ``lr``. After 100 trials in vain the step is 1e-6;
    a gradient below 1e-8, or an ``lr`` of 0, moves nothing.

    Reference: "Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates", Sharan Vaswani,
    Aaron Mishkin, Issam Laradji, Mark Schmidt, Gauthier Gidel, Simon Lacoste-Julien, 2019,
    https://arxiv.org/abs/1905.09997
    Reference: "Minimization of functions having Lipschitz continuous first partial derivatives", Larry Armijo, 1966,
    https://doi.org/10.2140/pjm.1966.16.1
    """
    if lr == 0:
        return 0.0, step_size
    grown = float(step_size) * gamma ** (1 / n_batches_per_epoch)
    slope = _dot(grads, direction)
    if math.sqrt(_dot(grads, grads)) < 1e-8:
        return 0.0, torch.full_like(step_size, grown)
    eta, taken = min(grown, lr), min(1e-6, lr)
    for _ in range(100):
        there, _ = evaluate([p + eta * d for p, d in zip(params, direction, strict=True)])
        if float(there) <= float(loss) + c * eta * slope:
            taken = eta
            break
        eta *= beta
    return taken, torch.full_like(step_size, eta)


@search
def backtrack(
    evaluate: Any, params: Tensors, direction: Tensors, loss: Any, grads: Tensors, *, lr: float, c: float = 0.95,
    trials: int = 5,
) -> float:  # fmt: skip
    """The first of η, η/2, η/4, ... with f(w + sd) ≤ f(w) + c s gᵀd, and after some trials the last one all the same.

    Reference: "Minimization of functions having Lipschitz continuous first partial derivatives", Larry Armijo, 1966,
    https://doi.org/10.2140/pjm.1966.16.1
    """
    slope = _dot(grads, direction)
    for k in range(trials if lr else 0):
        there, _ = evaluate([p + lr * 2.0**-k * d for p, d in zip(params, direction, strict=True)])
        if float(there) - float(loss) <= c * lr * 2.0**-k * slope:
            return lr * 2.0**-k
    return lr * 2.0 ** (1 - trials)


@search(sigma=scalar(shared=True, fill="sigma0"))
def universal_newton(
    evaluate: Any, params: Tensors, direction: Tensors, loss: Any, grads: Tensors, sigma: Tensor, *, lr: float,
    beta: float = 1.0, sigma0: float = 1.0, c: float = 2.0, products: int = 64, exact: bool = False,
) -> Any:  # fmt: skip
    """How far along Newton's direction -n, by backtracking on the gradient in the Hessian's metric:

        α = 1/(1 + θ),  θ = cʲ σ γ^β,  γ² = gᵀn,   for the first j = 0, 1, … with
        ⟨∇f(w - αn), n⟩ ≥ ‖∇f(w - αn)‖*² / 2αθ,   ‖x‖*² = xᵀ|∇²f(w)|⁻¹x;    then σ ← σ cʲ⁻¹

    and lr times that. After 60 trials in vain the last one is taken. Every trial costs an evaluation and as many
    products as the solution of ∇²f x = ∇f(w - αn) takes, ``products`` at most.

    Reference: "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate", Slavomír Hanzely,
    Farshed Abdukhakimov, Martin Takáč, 2024, https://arxiv.org/abs/2405.18926
    """
    decrement = -_dot(grads, direction)
    if lr == 0 or not decrement > 0:
        return 0.0, sigma
    size, j, alpha = decrement**0.5, 0, 1.0
    for j in range(60):
        theta = c**j * float(sigma) * size**beta
        alpha = 1 / (1 + theta)
        _, there = evaluate([p + alpha * d for p, d in zip(params, direction, strict=True)])
        there = [torch.zeros_like(d) if g is None else g for g, d in zip(there, direction, strict=True)]
        if -_dot(there, direction) * 2 * alpha * theta >= dual_square(
            evaluate, params, there, products, exact
        ):
            break
    return lr * alpha, torch.full_like(sigma, float(sigma) * c ** (j - 1))


@dataclass(frozen=True)
class _Point:
    """A point of the ray: how far, the loss there, and its slope along the ray."""

    t: float
    loss: float
    slope: float


@search
def strong_wolfe(
    evaluate: Any, params: Tensors, direction: Tensors, loss: Any, grads: Tensors, *, lr: float, c1: float = 1e-4,
    c2: float = 0.9, max_ls: int = 25, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9,
) -> float:  # fmt: skip
    """A step that lowers the loss enough and flattens its slope enough, found by bracketing from ``lr`` and zooming.

        f(w + td) ≤ f(w) + c₁ t gᵀd   and   |∇f(w + td)ᵀd| ≤ -c₂ gᵀd

    Trial points come from the cubic through two points and their slopes, kept off the ends of the bracket when it
    stops shrinking: the safeguards of ``torch.optim.LBFGS`` (and of Schmidt's minFunc), step for step. A loss that is
    not finite counts as too high. Where the gradient or the slope is below its tolerance nothing moves.

    Reference: "Numerical Optimization", Jorge Nocedal, Stephen J. Wright, 2006,
    https://doi.org/10.1007/978-0-387-40065-5
    """
    start = _Point(0.0, float(loss), _dot(grads, direction))
    steepest = max(map(largest, grads))
    if lr == 0 or steepest <= tolerance_grad or start.slope > -tolerance_change:
        return 0.0

    def at(t: float) -> _Point:
        there, slopes = evaluate([p + t * d for p, d in zip(params, direction, strict=True)])
        slopes = [torch.zeros_like(d) if g is None else g for g, d in zip(slopes, direction, strict=True)]
        return _Point(t, float(there), _dot(slopes, direction))

    def too_high(p: _Point) -> bool:
        return not p.loss <= start.loss + c1 * p.t * start.slope

    def flat(p: _Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    low, high, used = _bracket(at, start, lr, too_high, flat, max_ls)
    narrow = tolerance_change / max(map(largest, direction))
    return _zoom(at, low, high, too_high, flat, max_ls - used, narrow).t


Trial = Callable[[float], _Point]
Test = Callable[[_Point], bool]


def _bracket(
    at: Trial, start: _Point, t: float, too_high: Test, flat: Test, trials: int
) -> tuple[_Point, _Point, int]:
    """Two points, the lower one first, that enclose a good step (the same one twice: this is it); the trials used."""
    last, here = start, at(t)
    for k in range(trials):
        # not before the third trial: the textbook would compare at the second one already
        if too_high(here) or (k > 1 and here.loss >= last.loss):
            return *_ordered(last, here), k
        if flat(here):
            return here, here, k
        if here.slope >= 0:
            return *_ordered(last, here), k
        further = _cubic(last, here, here.t + 0.01 * (here.t - last.t), 10 * here.t)
        last, here = here, at(further)
    return *_ordered(start, here), trials


def _zoom(
    at: Trial, low: _Point, high: _Point, too_high: Test, flat: Test, trials: int, narrow: float
) -> _Point:
    """The good step between the two, or the lowest point seen when the trials or the digits run out."""
    stalled = False
    for _ in range(trials):
        left, right = sorted((low.t, high.t))
        if right - left <= narrow or low is high:
            break
        t, edge = _cubic(low, high, left, right), 0.1 * (right - left)
        near = min(t - left, right - t) < edge
        if near and (stalled or t <= left or t >= right):
            t, near = (left + edge if t - left <= right - t else right - edge), False
        stalled = near
        here = at(t)
        if too_high(here) or here.loss >= low.loss:
            low, high = _ordered(low, here)
            continue
        if flat(here):
            return here
        low, high = here, (low if here.slope * (high.t - low.t) >= 0 else high)
    return low


def _ordered(a: _Point, b: _Point) -> tuple[_Point, _Point]:
    return (a, b) if a.loss <= b.loss or not math.isfinite(b.loss) else (b, a)


def _cubic(a: _Point, b: _Point, least: float, most: float) -> float:
    """The minimum of the cubic with these values and slopes, within bounds; their middle where it has none."""
    a, b = (a, b) if a.t <= b.t else (b, a)
    bend = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    inside = bend * bend - a.slope * b.slope
    if not 0 <= inside < math.inf:
        return (least + most) / 2
    root = math.sqrt(inside)
    fall = b.slope - a.slope + 2 * root
    t = b.t - (b.t - a.t) * (b.slope + root - bend) / fall if fall else math.nan
    return min(max(t, least), most) if math.isfinite(t) else (least + most) / 2
