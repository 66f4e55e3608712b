"""Methods that minimize a model of the loss at every step, and not its tangent."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.prox_linear import prox_linear
from ..oracles.proximal_point import proximal_point
from ..transforms.decay import descend
from ..transforms.newton import follow


@optimizer
def StochasticProximalPoint(lr: float = 1e-2, inner_steps: int = 10) -> Chain:
    """Every step ends where the loss of the batch and half the squared distance over η are least together.

        p ← argmin f(y) + ‖y - p‖²/2η  =  p - ηu,   u = ∇f(p - ηu)
        u = ∇f(p), then for j = 1 … J:   u ← u + 2/(j+2) (∇f(p - ηu) - u)

    For losses that are weakly convex (any convex function of a smooth map) and rates that are hard to know: no rate
    makes it diverge so long as f + ‖·‖²/2η is convex. 1 + J = ``inner_steps`` evaluations a step, of which a closure is
    needed. The theory has 1/η = ρ̄ + √(T+1)/γ for T + 1 steps, with ρ̄ above the loss's weak convexity.

    The authors solve the inner problem exactly, by a formula where there is one; here by the subgradient method with
    averaged gradients, whose error is O(ηG²/J). 0 inner steps are SGD.

    Reference: "Stochastic model-based minimization of weakly convex functions", Damek Davis, Dmitriy Drusvyatskiy,
    2019, https://arxiv.org/abs/1803.06523
    """
    return chain(proximal_point(lr, inner_steps), descend(lr))


@optimizer(needs=("closure", "residuals"))
def StochasticProxLinear(lr: float = 1e-2, sweeps: int = 50) -> Chain:
    """Least absolute residuals, of which each step takes the map to be linear and the absolute values as they are.

        p ← p + argmin_d 1/n Σ |rᵢ + (Jd)ᵢ| + ‖d‖²/2η,    J = ∂r/∂p

    For robust regression and phase retrieval, and rates that are hard to know: a step stops where the residuals are
    solved. Of one residual it is d = -η clip(r/(η‖∇r‖²), -1, 1) ∇r. Needs
    ``step(piste.closure(residual_of, batches, model, residuals=True))`` on small batches (J takes n copies of the
    weights), and whole weights. The loss it reports is the mean of |rᵢ|, the closure's own ½ Σ rᵢ². The theory has
    1/η = ρ̄ + √(T+1)/γ for T + 1 steps.

    For n residuals the inner problem is solved through its dual, ``sweeps`` coordinate rounds at most; the authors'
    experiments take one residual a step.

    Reference: "Stochastic model-based minimization of weakly convex functions", Damek Davis, Dmitriy Drusvyatskiy,
    2019, https://arxiv.org/abs/1803.06523
    """
    if sweeps < 1:
        raise ValueError(f"StochasticProxLinear: sweeps must be at least 1 (0 takes no step), got {sweeps}")
    return chain(prox_linear(lr, sweeps), follow(), descend(lr))
