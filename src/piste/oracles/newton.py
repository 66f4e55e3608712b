"""The Hessian, as its products with a few vectors show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import oracle
from ..linalg.krylov import Krylov, lanczos
from ._vectors import Space, space
from .hutchinson import signs


def _product(evaluate: Any, where: Space, exact: bool) -> Callable[[Tensor], Tensor]:
    return lambda x: where.flat(evaluate.hvp(where.lists(x), exact))


def noise_of(where: Space, exact: bool) -> float:
    """The relative error of a product."""
    return 64 * where.rounding if exact else where.rounding ** (2 / 3)


def krylov_of(
    evaluate: Any, where: Space, grads: Sequence[Tensor | None], products: int, exact: bool
) -> Krylov:
    """Krylov's space of the Hessian at w and the gradient."""
    return lanczos(
        _product(evaluate, where, exact),
        where.flat(grads),
        where.dots,
        products,
        0.1 * noise_of(where, exact),
    )


def inverse_size(rounding: float) -> Callable[[Tensor], Tensor]:
    """1 / |λ|, and 0 where λ is but rounding."""

    def of(values: Tensor) -> Tensor:
        sizes = values.abs()
        there = sizes > rounding * sizes.amax()
        return torch.where(there, 1 / torch.where(there, sizes, 1.0), 0.0)

    return of


def dual_square(
    evaluate: Any, params: Sequence[Tensor], x: Sequence[Tensor], products: int, exact: bool
) -> float:
    """xᵀ |∇²f(w)|⁻¹ x, by Lanczos' method."""
    where = space(params, x)
    if where is None:
        return 0.0
    found = krylov_of(evaluate, where, x, products, exact).apply(inverse_size(noise_of(where, exact)))
    return float(where.dots(where.flat(x).unsqueeze(0), found))


@oracle(provides=("loss", "vector"), whole="exact")
def newton(evaluate: Any, params: Sequence[Tensor], *, products: int = 64, exact: bool = False) -> Any:
    """The gradient, and Newton's direction, from at most ``products`` Hessian products:

        vector = |∇²f(w)|⁻¹ ∇f(w) in Krylov's space span(g, ∇²f g, …, ∇²fᵏ⁻¹ g)

    by Lanczos' method with full orthogonalization: exact once k reaches the number of weights (or of different
    eigenvalues), and what conjugate gradients would find before. It ends where the residual is but rounding. Where
    the loss is not convex |λ| takes the place of λ; what has no curvature does not move. No matrix is formed, so the
    weights may be many and sharded; k + 1 vectors of their size are held while it runs, and a product costs two
    evaluations (see ``Evaluate.hvp``).

    Reference: "An iteration method for the solution of the eigenvalue problem of linear differential and integral
    operators", Cornelius Lanczos, 1950, https://doi.org/10.6028/jres.045.026
    """
    loss, grads = evaluate()
    where = space(params, grads)
    if where is None:
        return loss, grads, None
    found = krylov_of(evaluate, where, grads, products, exact)
    return loss, grads, where.locals(found.apply(inverse_size(noise_of(where, exact))))


@oracle(provides=("loss", "vector"), whole="exact")
def symmetric_polynomial(
    evaluate: Any, params: Sequence[Tensor], noise: Sequence[Tensor], *, tau: int = 2, products: int = 32,
    exact: bool = False,
) -> Any:  # fmt: skip
    """The gradient, and its product with a symmetric polynomial of the Hessian B = ∇²f(w) of degree τ:

        vector = P g / σ_τ,   P = σ_τ I - σ_{τ-1} B + … ± B^τ,   on B's eigenvectors: σ_τ of all other eigenvalues

    with the elementary symmetric polynomials σ of B's eigenvalues from the traces of its powers (Newton's identities).
    These are those of Lanczos' ``products`` eigenvalues from a random start, and of the rest, by a random sign vector z
    made orthogonal to theirs, zᵀBⁱz: exact where the weights are not more than ``products``. The paper's B is a fixed
    matrix of known traces; here it is today's Hessian. Where that gives no direction downhill (the loss is not convex,
    or the traces are poor) the vector is g.

    Reference: "Polynomial Preconditioning for Gradient Methods", Nikita Doikov, Anton Rodomanov, 2023,
    https://arxiv.org/abs/2301.13194
    """
    loss, grads = evaluate()
    where = space(params, grads)
    if where is None:
        return loss, grads, None
    product = _product(evaluate, where, exact)
    start = where.flat([None if g is None else z for z, g in zip(noise, grads, strict=True)])
    seen = lanczos(product, start, where.dots, products)
    rest = _rest(product, seen, where.flat(signs(noise, grads)), where, tau)
    values = torch.linalg.eigvalsh(seen.projected)
    sigma = elementary([float(values.pow(i).sum()) + rest[i - 1] for i in range(1, tau + 1)])
    g = where.flat(grads)
    out, power = sigma[tau] * g, g
    for i in range(1, tau + 1):
        power = product(power)
        out = out + (-1) ** i * sigma[tau - i] * power
    uphill = not sigma[tau] > 0 or not float(where.dots(g.unsqueeze(0), out)) > 0
    return loss, grads, where.locals(g if uphill else out / sigma[tau])


def _rest(
    product: Callable[[Tensor], Tensor], seen: Krylov, z: Tensor, where: Space, tau: int
) -> list[float]:
    """zᵀCⁱz for i = 1 … τ, C the matrix on what is orthogonal to the basis that was seen; zeros where nothing is."""

    def aside(x: Tensor) -> Tensor:
        for _ in range(2):
            x = x - where.dots(seen.basis, x).to(x) @ seen.basis
        return x

    left, found = aside(z), []
    floor = 1e3 * torch.finfo(z.dtype).eps
    if not float(where.dots(left.unsqueeze(0), left)) > floor * float(where.dots(z.unsqueeze(0), z)):
        return [0.0] * tau
    power = left
    for _ in range(tau):
        power = aside(product(power))
        found.append(float(where.dots(left.unsqueeze(0), power)))
    return found


def elementary(powers: Sequence[float]) -> list[float]:
    """σ₀ … σ_τ from the power sums p₁ … p_τ: i σᵢ = Σⱼ (-1)ʲ⁻¹ σᵢ₋ⱼ pⱼ."""
    sigma = [1.0]
    for i in range(1, len(powers) + 1):
        sigma.append(sum((-1) ** (j - 1) * sigma[i - j] * powers[j - 1] for j in range(1, i + 1)) / i)
    return sigma


def _first(step: int) -> bool:
    return True


@oracle(provides=("loss", "rows"), whole="exact")
def extreme_subspace(
    evaluate: Any, params: Sequence[Tensor], noise: Sequence[Tensor], *, approx_k: int = 5, approx_l: int = 0,
    refresh: bool = _first, exact: bool = False,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """The gradient, and where ``refresh`` holds the Hessian's k largest and l smallest eigenvalues with their vectors:

        rows = v / √|λ|, so that Σ s (sᵀg) is |∇²f|⁻¹ g in their span

    by Lanczos' method from a random vector, with max(4(k + l), 2 ln n) products, as the paper has it.

    Reference: "FOSI: Hybrid First and Second Order Optimization", Hadar Sivan, Moshe Gabel, Assaf Schuster, 2024,
    https://arxiv.org/abs/2302.08484
    """
    loss, grads = evaluate()
    where = space(params, grads)
    if where is None or not refresh:
        return loss, grads, None
    several = approx_k + approx_l
    count = sum(params[i].numel() for i in where.live)
    order = min(count, max(4 * several, int(2 * torch.tensor(float(count)).log())))
    start = where.flat([None if g is None else z for z, g in zip(noise, grads, strict=True)])
    values, vectors = lanczos(_product(evaluate, where, exact), start, where.dots, order).ritz()
    chosen = [*range(min(approx_l, len(values))), *range(max(approx_l, len(values) - approx_k), len(values))]
    sizes = values[chosen].abs()
    rows = vectors[chosen] * inverse_size(noise_of(where, exact))(sizes).sqrt().to(vectors).unsqueeze(-1)
    if len(rows) < several:
        rows = torch.cat([rows, rows.new_zeros(several - len(rows), rows.shape[-1])])
    return loss, grads, where.locals(rows)


@oracle(provides=("loss", "rows"), whole="always")
def hessian(evaluate: Any, params: Sequence[Tensor], *, max_size: int = 2000, exact: bool = False) -> Any:
    """The gradient, and the whole Hessian, from as many products as there are weights:

        rows = ∇²f(w) [n, n], made symmetric

    Above ``max_size`` weights it refuses.
    """
    count = sum(p.numel() for p in evaluate.params if p.requires_grad)
    if count > max_size:
        raise ValueError(
            f"the whole Hessian of {count} weights has {count}² entries and takes {count} products a step: use a "
            f"method that takes products alone (RootNewton, KrylovGD), freeze weights, or raise max_size "
            f"above {max_size}"
        )
    if exact:
        evaluate.refuse_exact()
    loss, grads = evaluate()
    where = space(params, grads)
    if where is None:
        return loss, grads, None
    product = _product(evaluate, where, exact)
    rows = torch.stack([product(e) for e in torch.eye(len(where.flat(grads)), dtype=where.dtype)])
    return loss, grads, where.locals((rows + rows.mT) / 2)
