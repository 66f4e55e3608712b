"""Leading singular values by power iteration on `[..., m, n]`.

    u ← A v / ‖A v‖,    v ← Aᵀ u / ‖Aᵀ u‖,    σ = ‖Aᵀ u‖

The estimate never exceeds the true norm, and its error shrinks by `(σ₂ / σ₁)⁴` a step (Golub and Van Loan,
"Matrix Computations", 4th ed. 2013, section 8.2, applied to `Aᵀ A`).
"""

from __future__ import annotations

import torch
from torch import Tensor


def power_iteration(a: Tensor, steps: int = 10, start: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """`(σ, u, v)` after `steps` rounds from `start [..., n]`, shapes `[...]`, `[..., m]`, `[..., n]`.

    Without `start` a fixed vector without structure is used, so that the result depends on `a` alone; pass
    the last `v` to follow a matrix that changes slowly. A zero matrix gives σ = 0.
    """
    if steps < 1:
        raise ValueError(f"power_iteration needs steps >= 1 and got {steps}")
    v = _unstructured(a) if start is None else start
    v = _unit(v.unsqueeze(-1))
    for _ in range(steps):
        u = _unit(a @ v)
        back = a.mT @ u
        v = _unit(back)
    sigma = torch.linalg.vector_norm(back, dim=(-2, -1))
    return sigma, u.squeeze(-1), v.squeeze(-1)


def spectral_norm(a: Tensor, steps: int = 10, start: Tensor | None = None) -> Tensor:
    """The largest singular value of each matrix, from below, by `steps` rounds of power iteration."""
    return power_iteration(a, steps, start)[0]


def _unstructured(a: Tensor) -> Tensor:
    """Cosines of squares: no period, so orthogonal to no singular vector that a model has by design."""
    k = torch.arange(1, a.shape[-1] + 1, dtype=torch.float64, device=a.device)
    return (k * k).cos().to(a.dtype).expand(*a.shape[:-2], -1)


def _unit(x: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    return x / norm.clamp(min=torch.finfo(x.dtype).tiny)
