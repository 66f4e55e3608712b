"""Medians of gradients, tracked over the steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, transform


@transform(scope="tree", invariant=("sign",), median_buffer=moment)
def track_median(g: Tensor, dot: Any, median_buffer: Tensor, *, radius: float) -> Any:
    """m ← m + (g - m) min(1, τ/‖g - m‖), the norm over all parameters;  u = m.

    A proximal step on ‖m - g‖, the mean of which the geometric median minimizes: m ← argmin ‖x - g‖ + ‖x - m‖²/2τ. It
    is an average with momentum whose correction is clipped: no gradient, however long, moves it by more than τ. From
    m = 0.

    Reference: "SGD with Clipping is Secretly Estimating the Median Gradient", Fabian Schaipp, Guillaume Garrigos,
    Umut Simsekli, Robert Gower, 2024, https://arxiv.org/abs/2402.12828
    """
    off = g - median_buffer
    size = dot(off, off).sqrt()
    far = size > radius
    m = median_buffer + off * torch.where(far, radius / torch.where(far, size, 1.0), 1.0).to(off.dtype)
    return m, m


@transform(invariant=("sign",), median_buffer=moment)
def track_coordinate_median(g: Tensor, median_buffer: Tensor, *, radius: float) -> Any:
    """m ← m + clamp(g - m, -τ, τ);  u = m: the same of every coordinate, a proximal step on ‖m - g‖₁.

    Reference: "SGD with Clipping is Secretly Estimating the Median Gradient", Fabian Schaipp, Guillaume Garrigos,
    Umut Simsekli, Robert Gower, 2024, https://arxiv.org/abs/2402.12828
    """
    off = g - median_buffer
    m = median_buffer + torch.where(off.abs() > radius, radius * off.sign(), off)
    return m, m
