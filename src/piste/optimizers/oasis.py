"""OASIS."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.hutchinson import hutchinson_and_secant
from ..transforms.curvature import scale_by_oasis
from ..transforms.decay import descend


@optimizer
def OASIS(
    lr: float = 1.0,
    beta2: float = 0.999,
    alpha: float = 1e-3,
    eta0: float = 1e-3,
    exact: bool = False,
) -> Chain:
    """A gradient over the Hessian's diagonal, at a rate that it finds itself.

        D ← β₂D + (1-β₂) z ⊙ ∇²f z, z random signs;    D̂ = max(|D| / (1-β₂ᵗ), α)
        η ← min(√(1+θ) η, ½ ‖Δw‖_D̂ / ‖Δ∇f‖_D̂⁻¹);    θ ← η / (the last η)
        p ← p - lr η D̂⁻¹ g

    Needs ``step(closure)``, and four evaluations a step: the gradient, the product, and this batch's gradient at the
    last point. For problems where no rate is known: leave lr at 1, a factor on the rate that the method finds
    (schedules act on it). ``eta0`` is the first step's rate, soon forgotten; ``alpha`` bounds the metric from below.

    Equal to the authors' algorithm 1 with their D₀ replaced: there D₀ is a mean of several probes at the start, here
    the average starts at zero and is debiased. Adaptive rate only; their variants with a fixed rate and momentum are
    AdaHessian's neighbours.

    Reference: "Doubly Adaptive Scaled Algorithm for Machine Learning Using Second-Order Information", Majid Jahani,
    Sergey Rusakov, Zheng Shi, Peter Richtárik, Michael W. Mahoney, Martin Takáč, 2022,
    https://arxiv.org/abs/2109.05198
    """
    return chain(hutchinson_and_secant(exact), scale_by_oasis(beta2, alpha, eta0), descend(lr))
