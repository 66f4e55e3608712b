"""Averages whose length is a share of the run, chosen when it is over."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from .._transform import transform, weights


def exponent(length: float) -> float:
    """γ of the profile τ^γ whose standard deviation is ``length`` of the run's.

        length² = (γ + 1) (γ + 2)⁻² (γ + 3)⁻¹,   γ the largest real root of γ³ + 7γ² + (16 - length⁻²)γ + 12 - length⁻²

    Errors: ValueError outside 0 < length < 0.288 (γ = 0 is the plain mean, 1/√12 of the run).
    """
    if not 0 < length < 12**-0.5:
        raise ValueError(
            f"the length of an average is its standard deviation as a share of the run, above 0 and under "
            f"{12**-0.5:.3f} (all of it, equally); got {length!r}"
        )
    roots = np.roots([1, 7, 16 - length**-2, 12 - length**-2])
    return float(roots.real.max())


def products(gammas: np.ndarray, times: np.ndarray, others: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """⟨p_i, q_j⟩ of profiles (γ + 1) τ^γ / t^(γ + 1) on [0, t]: [i, j]."""
    a, t = gammas[:, None], times[:, None]
    b, s = others[None, :], ends[None, :]
    e = np.where(t < s, b, -a)
    return (a + 1) * (b + 1) * (t / s) ** e / ((a + b + 1) * np.maximum(t, s))


def mixture(kept: list[tuple[float, float]], length: float, at: float) -> np.ndarray:
    """Weights of kept averages, (γ, t) each, whose sum is nearest to the average of this ``length`` at the time ``at``.

    Least squares between profiles, X = A⁻¹B; then to the sum 1.
    """
    gammas, times = (np.array(column, dtype=np.float64) for column in zip(*kept, strict=True))
    wanted, end = np.array([exponent(length)]), np.array([at], dtype=np.float64)
    a = products(gammas, times, gammas, times)
    b = products(gammas, times, wanted, end)
    x = np.linalg.lstsq(a, b, rcond=1e-14)[0][:, 0]
    return x / x.sum()


@transform(room="delta", short=weights, long=weights)
def power_ema(
    u: Tensor, param: Tensor, step: Any, short: Tensor, long: Tensor, *,
    gamma_short: float = exponent(0.05), gamma_long: float = exponent(0.1), length: float = 0.1,
) -> Any:  # fmt: skip
    """Two averages that grow with the run, from which one of any length is made later.

        a ← β a + (1-β)(p + δ),   β = (1 - 1/t)^(γ+1):    a = (γ+1) t^-(γ+1) ∫ τ^γ p(τ) dτ

    Their lengths are 0.05 and 0.1 of the run; ``exponent(length)`` gives the γ of another one. The view is the nearest
    that these two come to an average of ``length``; from several snapshots of both (`piste.averaging.Snapshots`) any
    length at any earlier time is met closely: `piste average RUN --ema-length 0.07`.

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
