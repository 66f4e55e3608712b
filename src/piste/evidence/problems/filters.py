"""One filter of a rectified convolution, to be found again from what it answers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..problem import Problem, problem


def angle(w: Tensor, v: Tensor) -> Tensor:
    """Between the rows of w and v."""
    along = (w * v).sum(-1)
    across = (w.square().sum(-1) * v.square().sum(-1) - along.square()).clamp(min=0).sqrt()
    return torch.atan2(across, along)


@problem
def rectified_filter(size: int = 8, rows: int = 4, seed: int = 0, reach: float = 0.95) -> Problem:
    """f(w) = ½ E (max(wᵀz, 0) - max(vᵀz, 0))² for z ~ N(0, I), summed over the rows of w, which are independent
    trials: ¼ ‖w‖² + ¼ ‖v‖² - ‖w‖ ‖v‖ (sin φ + (π - φ) cos φ) / 2π, with the angle φ between the two.

    ‖v‖ = 1; the rows start at random points at the distance ``reach`` from v.

    Source: "When is a Convolutional Filter Easy To Learn?", Simon S. Du, Jason D. Lee, Yuandong Tian, 2018.
    """
    random = torch.Generator().manual_seed(seed)
    v = torch.randn(size, generator=random, dtype=torch.float64)
    v = v / v.norm()
    away = torch.randn(rows, size, generator=random, dtype=torch.float64)
    start = v + reach * away / away.norm(dim=1, keepdim=True)

    def loss(w: Tensor) -> Tensor:
        along = (w * v).sum(-1)
        across = (w.square().sum(-1) - along.square()).clamp(min=1e-300).sqrt()
        phi = torch.atan2(across, along)
        match = (across + (math.pi - phi) * along) / (2 * math.pi)
        return (0.25 * w.square().sum(-1) + 0.25 - match).sum()

    return Problem("rectified filter", loss, start, 0.0, v.repeat(rows, 1))


@problem
def pooled_filter(
    closeness: float = 0.5, size: int = 5, patches: int = 4, samples: int = 300, seed: int = 0
) -> Problem:
    """f(w) = ½ mean (s(w) - s(v))² over samples, where s(w) is the mean of max(wᵀz, 0) over the patches z of a sample.

    Patches are Gaussian and share a part: their correlation is ``closeness``. Start and v are random, v of length 1
    and the start 0.1.

    Source: "When is a Convolutional Filter Easy To Learn?", Simon S. Du, Jason D. Lee, Yuandong Tian, 2018.
    """
    random = torch.Generator().manual_seed(seed)
    shared = torch.randn(samples, 1, size, generator=random, dtype=torch.float64)
    own = torch.randn(samples, patches, size, generator=random, dtype=torch.float64)
    z = closeness**0.5 * shared + (1 - closeness) ** 0.5 * own
    v, start = torch.randn(2, size, generator=random, dtype=torch.float64).unbind()
    v, start = v / v.norm(), 0.1 * start / start.norm()
    answers = (z @ v).clamp(min=0).mean(1)

    def loss(w: Tensor) -> Tensor:
        return 0.5 * ((z @ w).clamp(min=0).mean(1) - answers).square().mean()

    return Problem(f"filter pooled over {patches} patches", loss, start, 0.0, v)
