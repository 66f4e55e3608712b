"""Newton's method with a step that makes it global."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.newton import hessian, newton
from ..searches import backtrack, universal_newton
from ..transforms.decay import descend
from ..transforms.newton import filter_newton, follow, scale_by_root_newton


@optimizer
def RootNewton(
    lr: float = 1.0, q: float = 4.0, smoothness: float = 1.0, products: int = 64, exact: bool = False
) -> Chain:
    """Newton's method, shortened by a formula so that it converges from anywhere.

        n = |∇²f|⁻¹ g;    γ² = gᵀn
        p ← p - η n / (1 + θ),    θ = (9M)^(1/(q-1)) γ^((q-2)/(q-1)),    M = ``smoothness``

    Needs ``step(closure)``, on the full batch. For small smooth convex problems: the directions are exact up to
    ``products`` weights, and what so many conjugate gradient steps find beyond (two evaluations each; ``exact``: a
    double backward each, which needs ``piste.closure``). Leave lr at 1. q = 2 to 4 says how smooth f is: 3 for
    Lipschitz Hessians (rate k⁻²), 4 for Lipschitz third derivatives (k⁻³), M being the constant in the Hessian's norm.

    Equal to the authors' code (fxrshed/root-newton at fd3d31d) to 2e-15 over 40 steps in float64 with ``exact``, to
    3e-11 without. Where the loss is not convex |λ| takes the place of λ. Version 2 of the paper is called "Newton
    Method Revisited: Global Convergence Rates up to O(k^-3) for Stepsize Schedules and Linesearch Procedures".

    Reference: "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate", Slavomír Hanzely,
    Farshed Abdukhakimov, Martin Takáč, 2024, https://arxiv.org/abs/2405.18926
    """
    return chain(newton(products, exact), scale_by_root_newton(smoothness, q), descend(lr))


@optimizer
def UniversalNewton(
    lr: float = 1.0,
    beta: float = 1.0,
    sigma0: float = 1.0,
    c: float = 2.0,
    products: int = 64,
    exact: bool = False,
) -> Chain:
    """Newton's method with a step found by backtracking: no constant of the loss is needed.

        n = |∇²f|⁻¹ g;    γ² = gᵀn;    α = 1/(1 + θ),  θ = cʲ σ γ^β
        the first j = 0, 1, … with ⟨∇f(p - αn), n⟩ ≥ ‖∇f(p - αn)‖*² / 2αθ;    σ ← σ cʲ⁻¹
        p ← p - η α n

    Needs ``step(closure)``, on the full batch; for small smooth convex problems of unknown smoothness (see RootNewton).
    β from 2/3 to 1. Equal to the authors' code (fxrshed/root-newton at fd3d31d) to 2e-15 over 10 steps in float64 with
    ``exact``, to 4e-11 without; it has c = 1 by default, which never backs off: 2 is ours.

    Reference: "Damped Newton Method with Near-Optimal Global O(k^-3) Convergence Rate", Slavomír Hanzely,
    Farshed Abdukhakimov, Martin Takáč, 2024, https://arxiv.org/abs/2405.18926
    """
    return chain(newton(products, exact), follow(), universal_newton(lr, beta, sigma0, c, products, exact))


@optimizer(needs=("closure", "few weights"))
def FilteredNewton(
    lr: float = 1.0,
    alpha: float = 0.9,
    beta: float = 0.2,
    c: float = 0.95,
    max_size: int = 2000,
    exact: bool = False,
) -> Chain:
    """Newton's method on mini-batches, whose gradients and Hessians a Kalman filter averages over the whole history.

        M = α²Σ + βI;    S = β/(1-α²) I
        Σ⁻¹ ← M⁻¹ + (∇²f)⁻¹ - S⁻¹;    μ ← Σ (αM⁻¹μ + (∇²f)⁻¹g)
        p ← p - s Σ⁻¹μ,    s the first of η, η/2, …, η/16 with f(p') ≤ f(p) - c s gᵀΣ⁻¹μ

    Needs ``step(closure)``, few weights (the Hessian is formed, from two evaluations a weight, and Σ is as large) in
    one group, and log-convex losses: logistic or Poisson regression on small batches. α and β say how fast the slope
    moves; 0.9 and 0.2 are those of the author's experiment, where they were not tuned.

    Equal to the author's code (burkh4rt/Filtered-Stochastic-Newton at 5755dbe) to 1e-15 over 40 steps in float64 with
    ``exact``, to 5e-12 without.

    Reference: "Discriminative Bayesian filtering lends momentum to the stochastic Newton method for minimizing
    log-convex functions", Michael C. Burkhart, 2023, https://doi.org/10.1007/s11590-022-01895-5
    """
    return chain(hessian(max_size, exact), filter_newton(alpha, beta), backtrack(lr, c))
