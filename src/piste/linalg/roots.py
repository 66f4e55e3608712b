"""Inverse p-th roots `A^(-1/p)` of symmetric positive definite matrices `[..., n, n]`.

`inverse_root` goes through the eigendecomposition: exact, any real `p`, cubic with a large constant.
`inverse_root_newton` uses matrix products alone, for integer `p`: with `M₀ = z A` and `X₀ = z^(1/p) I`,

    T = ((p + 1) I - M) / p,    X ← X T,    M ← Tᵖ M,

which keeps `X^(-p) M = A` and drives `M` to the identity, so that `X` tends to `A^(-1/p)`. Here
`z = (p + 1) / (2 ‖A‖)` places the spectrum of `M₀` in (0, (p + 1) / 2], inside the region of convergence.

`inverse_root_denman_beavers` is for p = 2, 4, 8 ...: with `Y₀ = A / b`, `Z₀ = I` and a bound `b ≥ ‖A‖`,

    E = (3 I - Z Y) / 2,    Y ← Y E,    Z ← E Z,

`Y` tends to `(A / b)^(1/2)` and `Z` to its inverse; a fourth root takes the root of the root. The singular values of
`Z Y` move as those of a matrix under `newton_schulz`, so that its quintics serve in place of the cubic.
`inverse_root_chebyshev` is a polynomial of the matrix: the Chebyshev interpolant of `(x + eps)^(-1/p)` on [0, b], summed
by Clenshaw's recurrence. All but the first are made of products alone.

Sources: Iannazzo, "On the Newton method for the matrix p-th root" (2006), https://doi.org/10.1137/050624790;
used for Shampoo in Anil, Gupta, Koren, Regan and Singer, "Scalable Second Order Optimization for Deep
Learning" (2020), https://arxiv.org/abs/2002.09018; Higham, "Functions of Matrices" (2008), chapter 6, for Denman and
Beavers' iteration and the product form, which is the stable one; Modoranu et al., "DASH: Faster Shampoo via Batched Block
Preconditioning and Efficient Inverse-Root Solvers" (2026), https://arxiv.org/abs/2602.02016, for both in Shampoo.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .eigen import eigh
from .polar import CUBIC, Quintics
from .products import symmetric


def inverse_root(a: Tensor, p: float, eps: float = 0.0) -> Tensor:
    """`(a + eps I)^(-1/p)` by eigendecomposition (`eigen.eigh`: float32 matrices with at least 256 rows in float32).

    Eigenvalues below the rounding error of the largest one have no digits left, not even a sign: they are
    raised to it, so that a singular `a` gives a finite (if large) root. With `a = 0`, `eps` must be positive.
    The relative error is at most about `5 / p` times rounding error times condition number: 1.5 % for `p = 4` in
    float32 at a condition number of 1e5.
    """
    values, vectors = eigh(a)
    values = values + eps
    # what is below the rounding of the matrix as it was given has no digits
    floor = torch.finfo(torch.promote_types(a.dtype, torch.float32)).eps * values[..., -1:]
    half = vectors * (torch.maximum(values, floor) ** (-0.5 / p)).unsqueeze(-2)
    return symmetric(half, half.mT).to(a.dtype)


def inverse_root_newton(a: Tensor, p: int, eps: float = 0.0, steps: int = 30) -> Tensor:
    """`(a + eps I)^(-1/p)` by `steps` coupled Newton iterations, in at least float32.

    Small eigenvalues of `M` grow by `(1 + 1/p)ᵖ` a step before the quadratic phase: 30 steps reach rounding
    error up to a condition number of about 1e8 for `p = 4`. Further steps change nothing.
    """
    if p < 1 or p != int(p):
        raise ValueError(f"inverse_root_newton needs an integer p >= 1 and got {p}; use inverse_root")
    eye, m = _ridged(a, eps)
    z = (p + 1) / (2 * torch.linalg.matrix_norm(m, keepdim=True))
    m, x = z * m, z ** (1 / p) * eye
    for _ in range(steps):
        t = ((p + 1) * eye - m) / p
        x, m = x @ t, torch.linalg.matrix_power(t, p) @ m
    return x.to(a.dtype)


def inverse_root_denman_beavers(
    a: Tensor, p: int, eps: float = 0.0, steps: int = 25, coefficients: Quintics = CUBIC
) -> Tensor:
    """`(a + eps I)^(-1/p)` for `p` a power of two, by `steps` iterations of Denman and Beavers for each square root, in
    at least float32.

    Small eigenvalues of `Z Y` grow by 9/4 a step before the quadratic phase: 25 steps serve condition numbers up to 1e6,
    and with `POLAR_EXPRESS` for coefficients eleven, which lose less, too. The relative error is at most about `5 / p`
    times rounding error times condition number, as that of `inverse_root`.
    """
    if p < 2 or p != int(p) or int(p) & (int(p) - 1):
        raise ValueError(
            f"inverse_root_denman_beavers needs a power of two such as 2 or 4 and got p = {p}; "
            "inverse_root_newton takes any integer and inverse_root any number"
        )
    eye, x = _ridged(a, eps)
    while p > 2:
        x, p = _square_roots(x, eye, steps, coefficients)[0], p // 2
    return _square_roots(x, eye, steps, coefficients)[1].to(a.dtype)


def inverse_root_chebyshev(a: Tensor, p: float, eps: float, degree: int = 60) -> Tensor:
    """`(a + eps I)^(-1/p)` by a polynomial of that degree, in at least float32; `degree - 1` products.

    The relative error is largest at the smallest eigenvalues: at most `2 exp(-2 degree √(eps / b))` for p ≥ 2, with
    `b = norm_bound(a)`, and `2 degree + 5 b / p eps` units of rounding. A degree of 60 is good to 1e-5 for eps = 1e-2 b, to 4 % for
    1e-3 b (1 % was seen), and for 1e-5 b to nothing.
    """
    if degree < 2:
        raise ValueError(f"inverse_root_chebyshev needs degree >= 2 and got {degree}")
    if eps <= 0:
        raise ValueError(
            f"inverse_root_chebyshev needs eps > 0, without which the root is no polynomial, and got {eps}"
        )
    wide = torch.promote_types(a.dtype, torch.float32)
    x = a.to(wide)
    eye = torch.eye(a.shape[-1], dtype=wide, device=a.device)
    bound = norm_bound(x).clamp(min=torch.finfo(wide).tiny)
    c = _interpolant(bound.double(), p, eps, degree).to(wide).unsqueeze(-2)
    s = 2 * x / bound - eye
    later, last = c[..., degree] * eye, 2 * c[..., degree] * s + c[..., degree - 1] * eye
    for k in range(degree - 2, 0, -1):
        later, last = last, symmetric(s, last, c[..., k] * eye - later, 1.0, 2.0)
    return symmetric(s, last, c[..., 0] * eye - later).to(a.dtype)


def norm_bound(a: Tensor) -> Tensor:
    """A bound `[..., 1, 1]` of the spectral norm of each symmetric matrix from above, `‖A²‖^(1/2)` in the Frobenius
    norm: at most `n^(1/4)` times too large."""
    size = (
        a.abs().amax((-2, -1), keepdim=True).clamp(min=torch.finfo(a.dtype).tiny)
    )  # squares of squares underflow
    scaled = a / size
    return size * torch.linalg.matrix_norm(symmetric(scaled, scaled), keepdim=True).sqrt()


def _ridged(a: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The identity, and `a` with `eps` on its diagonal, in at least float32."""
    wide = torch.promote_types(a.dtype, torch.float32)
    eye = torch.eye(a.shape[-1], dtype=wide, device=a.device)
    return eye, a.to(wide) + eps * eye


def _square_roots(
    a: Tensor, eye: Tensor, steps: int, coefficients: Quintics = CUBIC
) -> tuple[Tensor, Tensor]:
    """The square root and its inverse."""
    bound = norm_bound(a).clamp(min=torch.finfo(a.dtype).tiny)
    y, z = a / bound, eye.expand_as(a)
    for k in range(steps):
        c0, c1, c2 = coefficients[min(k, len(coefficients) - 1)]
        m = z @ y
        e = c0 * eye + (c1 * m + c2 * (m @ m) if c2 else c1 * m)
        y, z = y @ e, e @ z
    return y * bound.sqrt(), z * bound.rsqrt()


def _interpolant(bound: Tensor, p: float, eps: float, degree: int) -> Tensor:
    """Chebyshev coefficients `[..., 1, degree + 1]` of `(x + eps)^(-1/p)` on [0, bound], by the discrete cosine
    transform at twice as many nodes."""
    nodes = 2 * (degree + 1)
    angles = (torch.arange(nodes, dtype=torch.float64, device=bound.device) + 0.5) * (math.pi / nodes)
    values = (bound * (angles.cos() + 1) / 2 + eps) ** (-1 / p)
    waves = torch.outer(angles, torch.arange(degree + 1, dtype=torch.float64, device=bound.device)).cos()
    c = 2 / nodes * values @ waves
    return torch.cat([c[..., :1] / 2, c[..., 1:]], -1)
