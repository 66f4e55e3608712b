"""Accelerated methods for quasar-convex functions."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.quasar import between
from ..transforms.decay import descend
from ..transforms.newton import follow


def _checked(name: str, gamma: float) -> None:
    if not 0 < gamma <= 1:
        raise ValueError(
            f"{name}: gamma, how quasar-convex the loss is, must lie in (0, 1] (1: convex), got {gamma}"
        )


@optimizer
def QASGD(lr: float = 1e-3, gamma: float = 0.8, tolerance: float = 0.0) -> Chain:
    """Momentum found by a search along a line, for losses whose slope points to the minimizer and that are no more
    convex than that: quasar-convex, ⟨∇f(x), x - x*⟩ ≥ γ(f(x) - f*).

        w = τp + (1-τ)z,  g = ∇f(w),  τ such that  c f(w) + τ⟨g, p - z⟩ ≤ c f(p) + ε,  c = γ(k+1)²/(2k+3)
        p ← w;   z ← z - η (2k+3)/γ g,     k = 0, 1, … the steps before

    Where gradients are noisy: linear dynamical systems, generalised linear models. Needs ``step(closure)``, two
    evaluations a step and more where τ = c/(1 + c) will not do. z's steps grow with k: for steps of which there
    are K, the authors take η = min(1/L, γ √(2D²/σ²) / (K+1)^1.5), D the distance to go and σ² the mean square of
    gradients. They set γ to 0.5 or 0.8 without knowing it.

    Follows the authors' code (``ASGD``, read without its repository's name) but for two things: its search compares
    with f(z) where the condition, and the search it is taken from, have f(p); and it tries τ = 1 - 2/(k+2) first, here
    c/(1 + c), which for γ = 1 is that of their QASVRG. With these two changed equal to it to 1e-16 over 40 steps of
    least squares in float64.

    Reference: "Accelerated Stochastic Optimization Methods under Quasar-convexity", Qiang Fu, Dongchu Xu, Ashia Wilson,
    2023, https://arxiv.org/abs/2305.04736
    """
    _checked("QASGD", gamma)
    return chain(between(lr, gamma, 1 / gamma, 0.0, tolerance), follow(), descend(1.0))


@optimizer
def QAGD(lr: float = 1e-2, gamma: float = 0.8, rho: float = 1.0, tolerance: float = 0.0) -> Chain:
    """QASGD for gradients without noise, or with noise that vanishes as they do: p goes a step further than w.

        w, g and τ as in :class:`QASGD`;   p ← w - ηg;   z ← z - η γ(2k+3)/4ρ g

    With η = 1/ρL for an L-smooth f and E‖g‖² ≤ ρ‖∇f‖² (ρ = 1: exact gradients), f(p) - f* falls as ρ²L D²/γ²k², as for
    convex functions with γ = 1: for losses that can be fitted exactly. Needs ``step(closure)``, two evaluations a step
    and more where τ = c/(1 + c) will not do. lr may not move.

    Follows the authors' code (``ASGDSGC``) but for the search, as :class:`QASGD`.

    Reference: "Accelerated Stochastic Optimization Methods under Quasar-convexity", Qiang Fu, Dongchu Xu, Ashia Wilson,
    2023, https://arxiv.org/abs/2305.04736
    Reference: "Near-Optimal Methods for Minimizing Star-Convex Functions and Beyond", Oliver Hinder, Aaron Sidford,
    Nimit Sohoni, 2020, https://arxiv.org/abs/1906.11985
    """
    _checked("QAGD", gamma)
    if not rho >= 1:
        raise ValueError(f"QAGD: rho, of the strong growth of noise, must be at least 1, got {rho}")
    return chain(between(lr, gamma, gamma / (4 * rho), 1.0, tolerance), follow(), descend(1.0))
