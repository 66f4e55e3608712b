"""Steps in the spectral norm: every singular value of the update set to one."""

from __future__ import annotations

from torch import Tensor

from .._transform import transform
from ..linalg.polar import POLAR_EXPRESS, newton_schulz


@transform(scope="tensor", normalizes=True, invariant=("sign", "scale", "transpose"), precision=0.1)
def orthogonalize(u: Tensor, *, steps: int = 5) -> Tensor:
    """u ← UVᵀ of u = USVᵀ, to the accuracy that Newton-Schulz's quintic reaches in ``steps`` iterations, in bf16
    (float32 on a CPU that only emulates bf16; float64 updates in float64).

    Its singular values end in about [0.7, 1.2] and do not settle at 1.

    Reference: "Muon: An optimizer for hidden layers in neural networks", Keller Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon/
    """
    return newton_schulz(u, steps)


@transform(scope="tensor", normalizes=True, invariant=("sign", "scale", "transpose"), precision=0.1)
def orthogonalize_by_polar_express(u: Tensor, *, steps: int = 5) -> Tensor:
    """u ← UVᵀ of u = USVᵀ: as ``orthogonalize``, with another quintic in each step, the best for the interval that the
    steps before it leave; dtypes as there.

    Costs the same per step. Made for singular values from 1 down to 1/1000 of the Frobenius norm; the first steps lift
    small ones faster and the later ones settle at 1: 8 steps reach the polar factor to rounding.

    Reference: "The Polar Express: Optimal Matrix Sign Methods and Their Application to the Muon Algorithm", Noah Amsel,
    David Persson, Christopher Musco, Robert M. Gower, 2025, https://arxiv.org/abs/2505.16932
    """
    return newton_schulz(u, steps, POLAR_EXPRESS)


@transform(scope="tensor")
def spectral_scale(u: Tensor) -> Tensor:
    """u √max(1, m/n): the factor of Muon's authors for an m × n matrix (tall matrices get longer steps).

    Reference: "Muon: An optimizer for hidden layers in neural networks", Keller Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon/
    """
    m, n = u.shape[-2:]
    return u if m <= n else u * (m / n) ** 0.5


@transform(scope="tensor")
def match_rms(u: Tensor, *, rms: float = 0.2) -> Tensor:
    """u · rms · √max(m, n): the update's root mean square becomes AdamW's, so that AdamW's rates carry over.

    Reference: "Muon is Scalable for LLM Training", Jingyuan Liu et al., 2025, https://arxiv.org/abs/2502.16982
    """
    m, n = u.shape[-2:]
    return u * (rms * max(m, n) ** 0.5)
