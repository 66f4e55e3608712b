"""Rates from curvature: by differences of iterates, and by Lanczos' method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from .._registry import register
from ..linalg.krylov import lanczos


class HessianFreeRate:
    """The rate that the curvature seen along a run of plain SGD would allow, smoothed.

        ε* = ε Σ|θ₁ - θ₀| / Σ|2θ₁ - θ₀ - θ₂|,   sums over all weights;    LR ← 0.1 ε* + 0.9 LR

    Call :meth:`update` after each step with the rate that it used; from the third call on there is an estimate. On a
    quadratic it is a mean of 1/h over the coordinates, each counted as h²|θ|. It speaks of SGD without momentum at a
    rate that stays; noise makes it too small. The authors look at it and do not steer by it.

    Errors: ValueError for a rate that is not positive, or where the rate changed between the two steps it compares.

    Reference: "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", Leslie N. Smith,
    Nicholay Topin, 2017, https://arxiv.org/abs/1708.07120, equation 8
    """

    def __init__(self, params: Iterable[Tensor], smoothing: float = 0.1) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(f"HessianFreeRate: smoothing must be over 0 and at most 1; got {smoothing!r}")
        self.params, self.smoothing = list(params), smoothing
        self.before: list[Tensor] = [p.detach().clone() for p in self.params]
        self.moved: list[Tensor] | None = None
        self.lr: float | None = None
        self.value = math.nan

    @torch.no_grad()
    def update(self, lr: float) -> float:
        """The smoothed estimate; NaN before there is one."""
        if not lr > 0:
            raise ValueError(f"HessianFreeRate: the rate of the step must be over 0; got {lr!r}")
        moved = [p - b for p, b in zip(self.params, self.before, strict=True)]
        if self.moved is not None:
            if not math.isclose(lr, self.lr or 0.0, rel_tol=1e-6):
                raise ValueError(
                    f"HessianFreeRate: it compares two steps of one rate; they had {self.lr} and {lr}: call reset() "
                    f"where the rate changes"
                )
            top = sum(float(m.abs().sum()) for m in self.moved)
            low = sum(float((a - b).abs().sum()) for a, b in zip(self.moved, moved, strict=True))
            if low > 0:
                found = lr * top / low
                known = found if math.isnan(self.value) else self.value
                self.value = self.smoothing * found + (1 - self.smoothing) * known
        self.before, self.moved, self.lr = [p.detach().clone() for p in self.params], moved, lr
        return self.value

    def reset(self) -> None:
        """Forget the last step, keep the estimate: before a step with another rate."""
        self.before, self.moved = [p.detach().clone() for p in self.params], None


class LanczosRate(NamedTuple):
    """``lr`` for gradient descent; ``heavy_ball``: a rate and a momentum; the curvatures they come from."""

    lr: float
    heavy_ball: tuple[float, float]
    largest: float
    middle: float


def lanczos_rate(
    loss: Callable[[], Tensor], params: Iterable[Tensor], products: int = 20, seed: int = 0
) -> LanczosRate:
    """A rate and a momentum from the Hessian of one batch, seen by Lanczos' method from a random vector.

        L, μ: the largest and the median of the Ritz values' magnitudes
        lr = 2 / (L + μ);    heavy ball: lr = (2 / (√L + √μ))²,  momentum = ((√L - √μ) / (√L + √μ))²

    ``loss()`` computes the loss of a fixed batch; some thousand samples, since the Hessian of few has larger
    eigenvalues than that of all. The first rate is the authors' experiments'; the heavy-ball pair is Polyak's for the
    same two numbers (which rule their paper has for momentum was not seen). Ask again now and then.

    Errors: ValueError where the loss has no second derivatives, or they are zero or not finite.

    Reference: "Learning Rates as a Function of Batch Size: A Random Matrix Theory Approach to Neural Network Training",
    Diego Granziol, Stefan Zohren, Stephen Roberts, 2022, https://www.jmlr.org/papers/v23/20-1258.html
    """
    given = [p for p in params if p.requires_grad]
    sizes = [p.numel() for p in given]
    with torch.enable_grad():
        grads = torch.autograd.grad(loss(), given, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in grads])
    if not flat.requires_grad:
        raise ValueError(
            "lanczos_rate: the gradient does not depend on the weights: there is no curvature to see"
        )

    def product(v: Tensor) -> Tensor:
        found = torch.autograd.grad(flat, given, v, retain_graph=True, materialize_grads=True)
        return torch.cat([g.reshape(-1) for g in found])

    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(sum(sizes), generator=generator, dtype=torch.float64).to(flat)
    krylov = lanczos(
        product, start, lambda rows, x: (rows.double() @ x.double()).cpu(), min(products, sum(sizes))
    )
    ritz = torch.linalg.eigvalsh(krylov.projected).abs()
    largest, middle = float(ritz.max()), float(ritz.median())
    if not (math.isfinite(largest) and largest > 0):
        raise ValueError(f"lanczos_rate: the largest curvature is {largest}: give a batch whose loss bends")
    low, high = math.sqrt(middle), math.sqrt(largest)
    pair = (2 / (high + low)) ** 2, ((high - low) / (high + low)) ** 2
    return LanczosRate(2 / (largest + middle), pair, largest, middle)


register("rate", "HessianFreeRate", HessianFreeRate)
register("rate", "lanczos_rate", lanczos_rate)
