"""NAG-GS."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.kinematic import flow_half_implicitly


@optimizer
def NAGGS(lr: float = 1e-2, mu: float = 1.0, gamma: float = 1.0) -> Chain:
    """Nesterov's accelerated flow, integrated half implicitly: momentum that large rates do not make unstable.

        v ← v + α/(αμ + γ) (μ(p - v) - g),  α = η
        p ← p + a(v - p);   γ ← γ + a(μ - γ),   a = α/(1 + α)

    When: momentum SGD's problems. μ is the flow's strong convexity and γ where its scale starts, both to be tuned with
    the rate: a step of small α is about α²/γ g. On a quadratic with curvatures from μ to L, with γ = μ, α = 2/(√(L/μ) -
    1) is the best and contracts by (√L - √μ)/(√L + √μ); with μ = γ ≥ L every rate is stable.

    Reference: "NAG-GS: Semi-Implicit, Accelerated and Robust Stochastic Optimizer", Valentin Leplat, Daniil Merkulov,
    Aleksandr Katrutsa, Daniel Bershatsky, Olga Tsymboi, Ivan Oseledets, 2022, https://arxiv.org/abs/2209.14937

    Equal to the authors' code (skolai/nag-gs at 095235e, PyTorch) to 4e-15 over 40 steps in float64 where γ = μ.
    Their PyTorch NAGGS computes the new γ and then keeps the old one, so that it is their NAG4; their JAX code moves γ,
    as here, but before v and from the second gradient on. There is no decay, as there.
    """
    if mu < 0:
        raise ValueError(f"NAGGS: mu must not be negative, got {mu}")
    if not gamma > 0:
        raise ValueError(f"NAGGS: gamma must be positive, since v moves by 1/gamma; got {gamma}")
    return chain(flow_half_implicitly(lr, mu, gamma))
