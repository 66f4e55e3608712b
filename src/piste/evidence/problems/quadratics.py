"""Quadratics of a given spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..problem import Problem, problem


def rotation(size: int, seed: int) -> Tensor:
    """A random orthogonal matrix, uniform over all of them (QR of a Gaussian one, with the signs of R's diagonal)."""
    random = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(size, size, generator=random, dtype=torch.float64))
    return q * r.diagonal().sign()


@problem
def quadratic(spectrum: Sequence[float] = (1.0, 0.1, 0.01), seed: int = 0, rotated: bool = True) -> Problem:
    """f(x) = ½ (x - x*)ᵀ A (x - x*), A of the given eigenvalues, with axes turned at random unless ``rotated`` is
    false.

    Start and x* are drawn from N(0, I). L and μ are the largest and the smallest eigenvalue, μ also the PL constant (of
    the smallest that is not 0).
    """
    values = torch.tensor(list(spectrum), dtype=torch.float64)
    q = rotation(len(values), seed) if rotated else torch.eye(len(values), dtype=torch.float64)
    random = torch.Generator().manual_seed(seed + 1)
    start, target = torch.randn(2, len(values), generator=random, dtype=torch.float64).unbind()

    def loss(x: Tensor) -> Tensor:
        return 0.5 * (values * ((x - target) @ q).square()).sum()

    positive = float(values[values > 0].min())
    return Problem(
        f"quadratic{tuple(spectrum)}",
        loss,
        start,
        0.0,
        target,
        float(values.max()),
        float(values.min()),
        positive,
    )


@problem
def noisy_quadratic(
    spectrum: Sequence[float] = (1.0, 0.1, 0.01), seed: int = 0, deviation: float = 1.0, tail: float = 0.0
) -> Problem:
    """A rotated quadratic whose gradient comes with noise of mean 0: Gaussian with the given deviation in every
    coordinate or, with ``tail`` ν > 1, Student's t of ν degrees of freedom (infinite variance for ν ≤ 2) times it."""
    p = quadratic(spectrum, seed)

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        noise = torch.randn(x.shape, generator=random, dtype=x.dtype)
        if tail:
            squares = torch._standard_gamma(torch.full((), tail / 2, dtype=x.dtype), generator=random) * 2
            noise = noise / (squares / tail).sqrt()
        return p.loss(x) + deviation * (noise * (x - p.start)).sum()

    law = f"Student's t, {tail:g} degrees of freedom" if tail else f"Gaussian, deviation {deviation:g}"
    return Problem(
        p.name, p.loss, p.start, p.minimum, p.minimizer, p.smoothness, p.strength, p.pl, draw=draw, noise=law
    )
