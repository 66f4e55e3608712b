"""Averages whose length is a share of the run, chosen when it is over."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import transform, weights
from ..linalg.profiles import exponent, mixture


@transform(room="delta", short=weights, long=weights)
def power_ema(
    u: Tensor, param: Tensor, step: Any, short: Tensor, long: Tensor, *,
    gamma_short: float = exponent(0.05), gamma_long: float = exponent(0.1), length: float = 0.1,
) -> Any:  # fmt: skip
    """Two averages that grow with the run, from which one of any length is made later.

        a ← β a + (1-β)(p + δ),   β = (1 - 1/t)^(γ+1):    a = (γ+1) t^-(γ+1) ∫ τ^γ p(τ) dτ

    Their lengths are 0.05 and 0.1 of the run; ``piste.linalg.profiles.exponent(length)`` gives the γ of another one.
    The view is the nearest that these two come to an average of ``length``; from several snapshots of both
    (`piste.averaging.Snapshots`) any length at any earlier time is met closely: `piste average RUN --ema-length 0.07`.

    Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
    Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696, equations 2, 123, 126,
    151
    """
    new, earlier = param + u, 1 - 1 / step
    short = short + (1 - earlier ** (gamma_short + 1)) * (new - short)
    return u, short, long + (1 - earlier ** (gamma_long + 1)) * (new - long)


@power_ema.view
def average_of_length(
    short: Tensor, long: Tensor, *, gamma_short: float, gamma_long: float, length: float
) -> Tensor:
    """The nearest to an average of this length, at the present time."""
    a, b = mixture([(gamma_short, 1.0), (gamma_long, 1.0)], length, 1.0).tolist()
    return a * short + b * long
