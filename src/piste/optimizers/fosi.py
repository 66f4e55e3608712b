"""FOSI: Newton where the Hessian is extreme, any rule elsewhere."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.newton import extreme_subspace
from ..schedules import every
from ..transforms.adaptive import scale_by_adam
from ..transforms.momentum import trace
from ..transforms.newton import split_step


@optimizer
def FOSI(
    lr: float = 0.1,
    momentum: float = 0.9,
    approx_k: int = 5,
    approx_l: int = 0,
    num_iters_to_approx_eigs: int = 100,
    alpha: float = 0.1,
    learning_rate_clip: float = 3.0,
    exact: bool = False,
) -> Chain:
    """Heavy ball, and Newton's method in the span of the Hessian's largest (and smallest) eigenvectors.

        every T steps, from the T-th: v, λ ← the k largest and l smallest eigenpairs, by Lanczos' method
        g₁ = Σ v (vᵀg);    m ← μm + g₁;    d₁ = Σ v (vᵀm) / |λ|;    d₂ = heavy ball on g - g₁, without its part along v
        p ← p - α d₁ - η c d₂,    c = λ_max / λ_k, at most ``learning_rate_clip``

    Needs ``step(closure)``; max(4(k + l), 2 ln n) Hessian products every ``num_iters_to_approx_eigs`` (T) steps, and
    k + l vectors kept. For losses whose Hessian has few extreme eigenvalues. The authors take k = 10, T = 100 for
    networks and α from 0.01 to 0.1; on quadratics α = 1. Weight decay belongs into the loss.

    Equal to the authors' torch code (hsivan/fosi at cf040ce) to 5e-15 over 40 steps in float64 with ``exact``, to 1e-10
    without, where Lanczos' method finds all pairs. Its Hessian is of one fixed batch; here it is of the step's.

    Reference: "FOSI: Hybrid First and Second Order Optimization", Hadar Sivan, Moshe Gabel, Assaf Schuster, 2024,
    https://arxiv.org/abs/2302.08484
    """
    every_so_often = every(num_iters_to_approx_eigs, 0, 1)
    return chain(
        extreme_subspace(approx_k, approx_l, every_so_often, exact),
        split_step(
            trace(momentum), lr, approx_k + approx_l, momentum, 0.0, alpha, learning_rate_clip, approx_l
        ),
    )


@optimizer
def FOSIAdam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    approx_k: int = 5,
    approx_l: int = 0,
    num_iters_to_approx_eigs: int = 100,
    alpha: float = 0.1,
    exact: bool = False,
) -> Chain:
    """Adam, and Newton's method in the span of the Hessian's largest (and smallest) eigenvectors.

        every T steps, from the T-th: v, λ ← the k largest and l smallest eigenpairs, by Lanczos' method
        g₁ = Σ v (vᵀg);    m ← β₁m + (1-β₁)g₁;    d₁ = Σ v (vᵀm) / |λ|;    d₂ = Adam on g - g₁, without its part along v
        p ← p - α d₁ - η d₂

    Needs ``step(closure)``; see FOSI. Equal to the authors' torch code to 2e-15, as there.

    Reference: "FOSI: Hybrid First and Second Order Optimization", Hadar Sivan, Moshe Gabel, Assaf Schuster, 2024,
    https://arxiv.org/abs/2302.08484
    """
    every_so_often = every(num_iters_to_approx_eigs, 0, 1)
    rule = scale_by_adam(*betas, eps)
    return chain(
        extreme_subspace(approx_k, approx_l, every_so_often, exact),
        split_step(rule, lr, approx_k + approx_l, betas[0], betas[0], alpha, 1.0, approx_l),
    )
