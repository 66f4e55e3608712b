"""Polar factors: the nearest (semi-)orthogonal matrix `U Vᵀ` of `u = U S Vᵀ`, exactly or by products alone.

Shapes are `[..., m, n]` everywhere and are kept; nothing is written in place, nothing branches on values.

The iteration applies odd polynomials to the singular values, `σ ← a σ + b σ³ + c σ⁵`, that is
`X ← (a I + b A + c A²) X` with `A = X Xᵀ` on the shorter side. Two forms give the same matrix in exact
arithmetic:

- *usual*: `A` is formed anew from `X` at every step, `4 m²n + 2 m³` flops a step for `m ≤ n`;
- *Gram side*: the polynomials are multiplied up in `Q` while `A ← P A P` follows in m × m, and `X` is
  touched only to form `A` and to apply `Q`. In bf16 the carried `A` drifts away from `X Xᵀ`: rounding gives a
  rank-deficient one slightly negative eigenvalues, which `P A P` multiplies by twelve a step until the
  polynomial, whose even terms do not turn back below zero, blows them up. After three carried steps that
  happens (singular values of 37 on 32 × 8 matrices of rank 4, and in training, where momentum is nearly
  rank-deficient, a loss three times worse); after two it cannot, so `A` is formed anew after two.

`newton_schulz` takes whichever counts fewer flops; timings agree with the count (equal at n = 1.5 m for
five steps).

Sources: Kovarik, "Some iterative methods for improving orthonormality" (1970) and Björck and Bowie, "An
iterative algorithm for computing the best estimate of an orthogonal matrix" (1971) for the iteration;
Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon/, for `KELLER`; Amsel, Persson, Musco and Gower, "The Polar
Express: Optimal Matrix Sign Methods and Their Application to the Muon Algorithm" (2025),
https://arxiv.org/abs/2505.16932, for `POLAR_EXPRESS`; Dao, Zhang, Amsel and Chen, "Gram Newton-Schulz: A
Fast, Hardware-Aware Newton-Schulz Algorithm for Muon" (2026),
https://dao-lab.ai/blog/2026/gram-newton-schulz, for the Gram side and its restart.
"""

from __future__ import annotations

import torch
from torch import Tensor

Quintics = tuple[tuple[float, float, float], ...]

KELLER: Quintics = ((3.4445, -4.7750, 2.0315),)
"""Steepest at zero, one polynomial for every step; never settles at 1 but stays in about [0.7, 1.2]."""

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

_CARRIED = 2
_MIRRORED = 512  # rows from which two smaller products and a copy beat one on a CPU (10 % at 512 x 1536, 25 % at 1024)


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
    dtype: torch.dtype | None = torch.bfloat16,
    eps: float = 1e-7,
) -> Tensor:
    """Approximate polar factor of each matrix of `u` by `steps` odd quintics after division by the
    Frobenius norm.

    `coefficients` holds one `(a, b, c)` per step and repeats its last; `dtype` is what the products run in
    (None: the input's own), the result has the input's dtype. A zero matrix stays zero.
    """
    if steps < 1:
        raise ValueError(f"newton_schulz needs steps >= 1 and got {steps}")
    x = u if dtype is None else u.to(dtype)
    x = x / (torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) + eps)
    schedule = [coefficients[min(k, len(coefficients) - 1)] for k in range(steps)]
    short, long = sorted(u.shape[-2:])
    carried = _CARRIED if _flops(short, long, steps, _CARRIED) < _flops(short, long, steps, 1) else 1
    for k in range(0, steps, carried):
        x = _apply(x, *_product(_gram(x), schedule[k : k + carried]))
    return x.to(u.dtype)


def newton_schulz_flops(m: int, n: int, steps: int = 5) -> int:
    """Floating point operations of the matrix products in `newton_schulz` on one m × n matrix (on a CPU, where large
    Gram matrices are mirrored)."""
    short, long = sorted((m, n))
    return min(_flops(short, long, steps, carried) for carried in (1, _CARRIED))


def _flops(m: int, n: int, steps: int, carried: int) -> int:
    """Flops with `A` formed anew every `carried` steps: each has A², a carried one also P Q, A P, (A P) P."""
    renewals = -(-steps // carried)
    above = 0 if m < _MIRRORED else (m // 2) * (m - m // 2)  # entries of a Gram matrix that are mirrored
    return renewals * (4 * m * m - 2 * above) * n + (steps + 3 * (steps - renewals)) * 2 * m**3


def _gram(x: Tensor) -> Tensor:
    """The Gram matrix on the shorter side; of a large one the block above the diagonal is mirrored, not computed."""
    rows = x.mT if x.shape[-2] > x.shape[-1] else x
    m = rows.shape[-2]
    if m < _MIRRORED or x.device.type != "cpu":
        return rows @ rows.mT
    upper, lower = rows.split([m // 2, m - m // 2], -2)
    left, below = upper @ upper.mT, lower @ rows.mT
    return torch.cat([torch.cat([left, below[..., : m // 2].mT], -1), below], -2)


def _product(gram: Tensor, schedule: list[tuple[float, float, float]]) -> tuple[float, Tensor]:
    """`(s, R)` with `s I + R = P_k ... P_1`, the polynomials of `schedule` in the Gram matrix.

    The multiple of the identity is kept apart: it is the largest part of the diagonal, and would cost `R`
    its digits.
    """
    scale, rest = 1.0, None
    for k, (a, b, c) in enumerate(schedule):
        poly = _fma(gram, gram, gram, b, c)  # P = a I + poly
        rest = poly if rest is None else _fma(torch.add(a * rest, poly, alpha=scale), poly, rest)
        scale *= a
        if k + 1 < len(schedule):
            half = _fma(gram, gram, poly, a)  # A P
            gram = _fma(half, half, poly, a)  # A P P = P A P: polynomials in A commute
    assert rest is not None  # a schedule has at least one step
    return scale, rest


def _apply(x: Tensor, scale: float, rest: Tensor) -> Tensor:
    """`(scale I + rest)` on the shorter side of `x`, without copying a transpose."""
    return _fma(x, x, rest, scale) if x.shape[-2] > x.shape[-1] else _fma(x, rest, x, scale)


def _fma(base: Tensor, left: Tensor, right: Tensor, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """`beta base + alpha left right`, the sum folded into the product's own pass."""
    if torch._C._functorch.is_batchedtensor(base):  # type: ignore[attr-defined]
        # vmap takes the fused product apart and rounds in between; carried Gram matrices then blow up null
        # directions (a singular value of 189 was seen where the loop gives 1.2), so the sum is made wider
        wide = torch.promote_types(base.dtype, torch.float32)
        return torch.add(beta * base.to(wide), left.to(wide) @ right.to(wide), alpha=alpha).to(base.dtype)
    if base.ndim == 2:
        return torch.addmm(base, left, right, beta=beta, alpha=alpha)
    stacks = (t.reshape(-1, *t.shape[-2:]) for t in (base, left, right))
    return torch.baddbmm(*stacks, beta=beta, alpha=alpha).reshape(base.shape)
