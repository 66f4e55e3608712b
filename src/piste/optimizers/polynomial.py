"""Gradient descent preconditioned by polynomials of the curvature."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.newton import newton, symmetric_polynomial
from ..searches import armijo
from ..transforms.newton import follow


@optimizer
def PolynomialGD(
    lr: float = 1e3, tau: int = 2, init_step_size: float = 1.0, products: int = 32, exact: bool = False
) -> Chain:
    """Gradient descent that evens out the largest curvatures, whatever they are, by a symmetric polynomial.

        P = σ_τ I - σ_{τ-1} B + … ± B^τ,    B = ∇²f(p), σ the elementary symmetric polynomials of its eigenvalues
        p ← p - s P g / σ_τ,    s from today's guess, halved until f(p') ≤ f(p) - ½ s gᵀPg/σ_τ, and doubled afterwards

    Needs ``step(closure)``, on the full batch, and ``products`` + 2τ Hessian products a step. For convex problems with
    a few (τ) large eigenvalues far above the rest: the condition number becomes that of the rest. ``lr`` is the
    longest s.

    The paper's B is one matrix whose traces are known; here it is today's Hessian, and the traces of its powers are
    exact up to ``products`` weights and estimated beyond (the largest eigenvalues by Lanczos' method, the rest by a
    probe). P is divided by σ_τ so that s has the scale of a gradient step. The authors published no code that we found.

    Reference: "Polynomial Preconditioning for Gradient Methods", Nikita Doikov, Anton Rodomanov, 2023,
    https://arxiv.org/abs/2301.13194
    """
    search = armijo(lr, init_step_size, 0.5, 0.5, 2.0, 1.0)
    return chain(symmetric_polynomial(tau, products, exact), follow(), search)


@optimizer
def KrylovGD(lr: float = 1.0, tau: int = 4, init_step_size: float = 1.0, exact: bool = False) -> Chain:
    """Gradient descent with the best polynomial preconditioner of degree τ, found anew in every step.

        h = argmin ⟨g, h⟩ + ½ hᵀBh over span(g, Bg, …, B^τ g),    B = ∇²f(p)
        p ← p + s h,    s from today's guess, halved until f(p') ≤ f(p) + 0.4 s gᵀh, and doubled afterwards

    Needs ``step(closure)``, on the full batch, and τ + 1 Hessian products a step. For smooth convex problems too large
    for Newton's method, which it becomes as τ grows. ``lr`` is the longest s.

    The paper's B is one fixed matrix; here it is today's Hessian, with |λ| for λ where the loss is not convex. The
    authors published no code that we found.

    Reference: "Polynomial Preconditioning for Gradient Methods", Nikita Doikov, Anton Rodomanov, 2023,
    https://arxiv.org/abs/2301.13194
    """
    c = 0.4  # a quadratic's exact step meets ½ with equality, where rounding decides
    return chain(newton(tau + 1, exact), follow(), armijo(lr, init_step_size, c, 0.5, 2.0, 1.0))
