"""Polar factors: the nearest (semi-)orthogonal matrix `U Vᵀ` of `u = U S Vᵀ`, exactly or by products alone.

Shapes are `[..., m, n]` everywhere and are kept; nothing is written in place, nothing branches on values.

The iteration applies odd polynomials to the singular values, `σ ← a σ + b σ³ + c σ⁵`, that is
`X ← (a I + b A + c A²) X` with `A = X Xᵀ` on the shorter side. Two forms give the same matrix in exact
arithmetic:

- *usual*: `A` is formed anew from `X` at every step, `4 m²n + 2 m³` flops a step for `m ≤ n`;
- *Gram side*: the polynomials are multiplied up in `Q` while `A ← P A P` follows in m × m, and `X` is
  touched only to form `A` and to apply `Q`. In bf16 the carried `A` drifts away from `X Xᵀ`: rounding gives a
  rank-deficient one slightly negative eigenvalues, which `P A P` multiplies by a² a step (twelve with `KELLER`,
  67 in the first step of `POLAR_EXPRESS`) until the polynomial, whose even terms do not turn back below zero,
  blows them up. After three steps of `KELLER` on one `A` that happens (singular values of 37 on 32 × 8 matrices
  of rank 4, and in training, where momentum is nearly rank-deficient, a loss three times worse), with
  `POLAR_EXPRESS` after two (of 800). So `A` is formed anew before its rounding error has grown to `_SLACK`: in
  bf16 after two steps of `KELLER`, in float32, which rounds 65,000 times finer, after three of any. The first `A` is
  that of a matrix of Frobenius norm 1, so its own is at most 1 as well and its rounding errors, which are independent,
  have a spectral norm of some eps / √m (later ones, all of whose eigenvalues are near 1: eps). Twice that is
  reckoned with, since most rows may be zero (`POLAR_EXPRESS` blew up on 34 rows of which 7 were not). From m = 484 on
  the first cycle may therefore have three steps of `KELLER`: largest singular values of 1.21 over low ranks, few rows,
  signs and decays, where the usual form has 1.20, from 128 rows on (1.44 at 48).

`newton_schulz` takes whichever counts fewer flops; timings agree with the count (equal at n = 1.5 m for
five steps in bf16).

Sources: Kovarik, "Some iterative methods for improving orthonormality" (1970) and Björck and Bowie, "An
iterative algorithm for computing the best estimate of an orthogonal matrix" (1971) for the iteration;
Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/, for `KELLER`; Amsel, Persson, Musco and Gower, "The Polar
Express: Optimal Matrix Sign Methods and Their Application to the Muon Algorithm" (2025),
https://arxiv.org/abs/2505.16932, for `POLAR_EXPRESS`; Dao, Zhang, Amsel and Chen, "Gram Newton-Schulz: A
Fast, Hardware-Aware Newton-Schulz Algorithm for Muon" (2026),
https://dao-lab.ai/blog/2026/gram-newton-schulz, for the Gram side and its restart; Boissin, Massena, Mamalet and
Serrurier, "Turbo-Muon: Accelerating Orthogonality-Based Optimization with Pre-Conditioning" (2025),
https://arxiv.org/abs/2512.04632, for the rescaled rows, which are those of Prach and Lampert, "Almost-Orthogonal Layers
for Efficient General-Purpose Lipschitz Networks" (2022), https://arxiv.org/abs/2208.03160.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from .products import fma, product_dtype, symmetric, symmetric_flops

Quintics = tuple[tuple[float, float, float], ...]

KELLER: Quintics = ((3.4445, -4.7750, 2.0315),)
"""Steepest at zero, one polynomial for every step; never settles at 1 but stays in about [0.7, 1.2]."""

TURBO: Quintics = (
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Four of the five quintics that modded-nanogpt fitted for bf16, without the first, which `newton_schulz_rescaled`
does not need."""

CUBIC: Quintics = ((1.5, -0.5, 0.0),)
"""The classical iteration: slow at first, converges quadratically to 1."""

_SAFETY = 1.01
POLAR_EXPRESS: Quintics = (
    *(
        (a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5)
        for a, b, c in (
            (8.28721201814563, -23.595886519098837, 17.300387312530933),
            (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
            (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
            (3.3184196573706015, -2.488488024314874, 0.51004894012372),
            (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
            (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
            (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
        )
    ),
    (1.875, -1.25, 0.375),
)
"""Minimax polynomials for singular values in [1e-3, 1], one per step, the last one repeated; all but the
last are damped by 1.01 against rounding, as the authors do (they also divide by 1.01 times the Frobenius
norm; we do not)."""

_SLACK = 0.1  # how far rounding may move an eigenvalue of a Gram matrix, the largest being 1


def svd_polar(u: Tensor) -> Tensor:
    """The polar factor `U Vᵀ` from a singular value decomposition, in the input's dtype.

    Where `u` is rank deficient the factor is not unique and the null directions are the decomposition's
    choice.
    """
    left, _, right = torch.linalg.svd(u, full_matrices=False)
    return left @ right


def newton_schulz(
    u: Tensor,
    steps: int = 5,
    coefficients: Quintics = KELLER,
    dtype: torch.dtype | None = None,
    eps: float = 1e-7,
) -> Tensor:
    """Approximate polar factor of each matrix of `u` by `steps` odd quintics after division by the
    Frobenius norm.

    `coefficients` holds one `(a, b, c)` per step and repeats its last; `dtype` is what the products run in (None:
    bf16, or float32 where the CPU has no instructions for bf16; float64 for a float64 input), the result has the
    input's dtype. A zero matrix stays zero.
    """
    x = u.to(dtype or _dtype(u))
    x = x / (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) + eps)
    return _iterate(x, _gram(x), _schedule(coefficients, steps)).to(u.dtype)


def newton_schulz_rescaled(
    u: Tensor,
    steps: int = 4,
    coefficients: Quintics = TURBO,
    dtype: torch.dtype | None = None,
    eps: float = 1e-7,
) -> Tensor:
    """As `newton_schulz`, but every row of the shorter side (of a square matrix: every row) is divided by its own
    bound in place of the Frobenius norm, which starts the singular values higher and saves a step:

        A = U Uᵀ,    s_i = (Σ_j |A_ij|)^(-1/2),    X₀ = diag(s) U,    A₀ = diag(s) A diag(s),

    after which ‖X₀‖ ≤ 1 by Gershgorin's theorem. The Gram matrix that gives s is the one the first step needs.

    What it approaches is the polar factor of `diag(s) U`: orthogonal all the same, and that of `U` where the rows of
    `U` are orthogonal to one another, but in general another matrix, a far one where their lengths are very different.

    Accuracy of four steps of `TURBO`, in float32 as in bf16: singular values end in [0, 1.15]; of Gaussian m × 1.5 m
    matrices in [0.95, 1.04], of condition 100 (256 rows) above 0.65. `‖XXᵀ - I‖ / √m` is at most 1.02 times that of
    five steps of `newton_schulz` with `KELLER`: 0.12 for 0.35 on square Gaussian ones, 0.16 for 0.33 at condition 100,
    and 0.75 for 0.75 at 1e5, where neither lifts the smallest. The polar factor of Gaussian matrices is met to 0.10
    for their 0.20. A zero matrix stays zero.
    """
    x = u.to(dtype or _dtype(u))
    gram = _gram(x)
    # roots and quotients are rounded alike everywhere, which rsqrt in bf16 is not; but not twice to 8 bits
    bound = gram.abs().sum(-1).to(torch.promote_types(x.dtype, torch.float32))
    s = (1 / bound.clamp(min=max(eps**2, torch.finfo(x.dtype).tiny)).sqrt()).to(x.dtype)
    by_columns = x.shape[-2] > x.shape[-1]
    x = x * (s.unsqueeze(-2) if by_columns else s.unsqueeze(-1))
    gram = gram * s.unsqueeze(-1) * s.unsqueeze(-2)
    return _iterate(x, gram, _schedule(coefficients, steps)).to(u.dtype)


def _iterate(x: Tensor, gram: Tensor, schedule: Quintics) -> Tensor:
    """The quintics of a schedule on a matrix of norm at most 1, whose Gram matrix is known."""
    for i, cycle in enumerate(_cycles(x.shape[-2], x.shape[-1], schedule, x.dtype, x.device.type)):
        x = _apply(x, *_product(_gram(x) if i else gram, cycle))
    return x


def newton_schulz_flops(
    m: int, n: int, steps: int = 5, coefficients: Quintics = KELLER, dtype: torch.dtype | None = None
) -> int:
    """Floating point operations of the matrix products in `newton_schulz` on one m × n matrix on a CPU."""
    dtype = dtype or product_dtype("cpu")
    return _flops(m, n, _cycles(m, n, _schedule(coefficients, steps), dtype, "cpu"), "cpu", dtype)


def _dtype(u: Tensor) -> torch.dtype:
    return u.dtype if u.dtype == torch.float64 else product_dtype(u.device.type)


def _schedule(coefficients: Quintics, steps: int) -> Quintics:
    if steps < 1:
        raise ValueError(f"newton_schulz needs steps >= 1 and got {steps}")
    return (*coefficients, *coefficients[-1:] * steps)[:steps]


@functools.cache
def _cycles(m: int, n: int, schedule: Quintics, dtype: torch.dtype, device_type: str) -> tuple[Quintics, ...]:
    """The schedule cut where `A` is formed anew, at the length that counts fewest flops; 1 is the usual form."""
    cuts = [_cut(schedule, most, torch.finfo(dtype).eps, min(m, n)) for most in (1, 2, 3)]
    return min(cuts, key=lambda cycles: _flops(m, n, cycles, device_type, dtype))


def _cut(schedule: Quintics, most: int, eps: float, m: int) -> tuple[Quintics, ...]:
    """Cycles of at most so many steps. An error in `A` grows by a² in each carried one."""
    cycles: list[Quintics] = []
    error = 0.0
    for quintic in schedule:
        error = error * cycles[-1][-1][0] ** 2 if cycles else 0.0
        if not cycles or len(cycles[-1]) == most or error > _SLACK:
            error = eps if cycles else 2 * eps / m**0.5
            cycles.append(())
        cycles[-1] += (quintic,)
    return tuple(cycles)


def _flops(m: int, n: int, cycles: tuple[Quintics, ...], device_type: str, dtype: torch.dtype) -> int:
    """Flops: a cycle has `A` and its application, each step A², a carried one also P Q, A P, (A P) P."""
    m, n = sorted((m, n))
    square = symmetric_flops(m, m, device_type, dtype)
    once = symmetric_flops(m, n, device_type, dtype) + 2 * m * m * n
    return sum(once + (4 * len(cycle) - 3) * square for cycle in cycles)


def _gram(x: Tensor) -> Tensor:
    """The Gram matrix on the shorter side."""
    rows = x.mT if x.shape[-2] > x.shape[-1] else x
    return symmetric(rows, rows.mT)


def _product(gram: Tensor, schedule: Quintics) -> tuple[float, Tensor]:
    """`(s, R)` with `s I + R = P_k ... P_1`, the polynomials of `schedule` in the Gram matrix.

    The multiple of the identity is kept apart: it is the largest part of the diagonal, and would cost `R`
    its digits. All are polynomials in one symmetric matrix, so they commute and their products are symmetric.
    """
    scale, rest = 1.0, None
    for k, (a, b, c) in enumerate(schedule):
        poly = symmetric(gram, gram, gram, b, c)  # P = a I + poly
        rest = poly if rest is None else symmetric(poly, rest, torch.add(rest, poly, alpha=scale / a), a)
        scale *= a
        if k + 1 < len(schedule):
            half = symmetric(gram, poly, gram, a)  # A P
            gram = symmetric(half, poly, half, a)  # A P P = P A P
    assert rest is not None  # a schedule has at least one step
    return scale, rest


def _apply(x: Tensor, scale: float, rest: Tensor) -> Tensor:
    """`(scale I + rest)` on the shorter side of `x`, without copying a transpose."""
    return fma(x, x, rest, scale) if x.shape[-2] > x.shape[-1] else fma(x, rest, x, scale)
