"""What PSGD's authors put around the preconditioner: a momentum that begins as a mean, bounds on the amplitude."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import mean, moment, probe, transform
from ._numbers import minimum


@transform(invariant=("sign",), momentum_buffer=moment)
def running_mean(u: Tensor, step: Any, momentum_buffer: Tensor, *, momentum: float) -> Any:
    """m ← βm + (1-β)u with β = min(1 - 1/t, μ): the mean of what has come, until the average forgets faster; u ← m.

    It needs no bias correction: the weights add up to one from the first step on.

    Reference: "Stochastic Hessian Fittings with Lie Groups", Xi-Lin Li, 2024, https://arxiv.org/abs/2402.11858
    """
    beta = minimum(1 - 1 / step, momentum)
    m = momentum_buffer.lerp(u, 1 - beta)
    return m, m


@transform(
    invariant=("sign", "transpose"), sums={"mean_sq": mean(lambda u: u.square())}, clips=True, clipped=probe
)
def clip_by_amplitude(
    u: Tensor, mean_sq: Tensor, clipped: Tensor | None, *, max_average: float = 2.0, max_element: float = 10.0
) -> Any:
    """u min(1, a/rms(u)), its entries then held to [-c, c]: what whitens aims at entries of size 1, and may overshoot.

    Reference: "Stochastic Hessian Fittings with Lie Groups", Xi-Lin Li, 2024, https://arxiv.org/abs/2402.11858
    """
    rms = mean_sq.sqrt()
    above = rms > max_average
    u = u * torch.where(above, max_average / torch.where(above, rms, 1.0), 1.0)
    share = None if clipped is None else above.to(torch.float64).mean()
    return torch.where(u.abs() > max_element, u.sign() * max_element, u), share
