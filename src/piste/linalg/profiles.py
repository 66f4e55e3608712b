"""Averages whose weights are a power of time: their lengths, and how to make one of others.

Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696, equations 123, 126 and 151
"""

from __future__ import annotations

import numpy as np


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
