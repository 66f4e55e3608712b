"""Steps in the spectral norm: every singular value of the update set to one, and how long such a step is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import square, transform
from ..linalg.polar import POLAR_EXPRESS, newton_schulz, newton_schulz_rescaled


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


@transform(scope="tensor", normalizes=True, invariant=("sign", "scale"), precision=0.1)
def orthogonalize_rescaled(u: Tensor, *, steps: int = 4) -> Tensor:
    """u ← UVᵀ of diag(s) u = USVᵀ with s_i = (Σ_j |uuᵀ|_ij)^(-1/2) (of a tall u on the other side): as
    ``orthogonalize``, but one step fewer for the same orthogonality; dtypes as there.

    Its singular values end in about [0.8, 1.15] (see ``linalg.newton_schulz_rescaled`` for the accuracy).

    Reference: "Turbo-Muon: Accelerating Orthogonality-Based Optimization with Pre-Conditioning", Thibaut Boissin,
    Thomas Massena, Franck Mamalet, Mathieu Serrurier, 2025, https://arxiv.org/abs/2512.04632
    """
    return newton_schulz_rescaled(u, steps)


@transform(scope="tensor", second_momentum_buffer=square("m"), invariant=("sign",))
def normalize_neurons(
    u: Tensor, second_momentum_buffer: Tensor, *, beta2: float = 0.95, eps: float = 1e-10
) -> Any:
    """Rows (neurons) divided by the root of a running mean of their squares, the matrix kept at its size.

        v ← β₂v + (1-β₂) mean_j u_ij²;   û = u / (√v + ε);   u ← û ‖u‖ / (‖û‖ + ε)

    Reference: "NorMuon: Making Muon more efficient and scalable", Zichong Li, Liming Liu, Chen Liang, Weizhu Chen,
    Tuo Zhao, 2025, https://arxiv.org/abs/2510.05491
    """
    v = second_momentum_buffer.lerp(u.square().mean(-1, keepdim=True), 1 - beta2)
    scaled = u / (v.sqrt() + eps)
    size = torch.linalg.vector_norm
    keep = size(u, dim=(-2, -1), keepdim=True) / (size(scaled, dim=(-2, -1), keepdim=True) + eps)
    return scaled * keep, v


@transform(scope="tensor")
def spectral_scale(u: Tensor) -> Tensor:
    """u √max(1, m/n): the factor of Muon's authors for an m × n matrix (tall matrices get longer steps).

    Reference: "Muon: An optimizer for hidden layers in neural networks", Keller Jordan et al., 2024,
    https://kellerjordan.github.io/posts/muon/
    """
    factor = SCALES["spectral_scale"](*u.shape[-2:])
    return u if factor == 1 else u * factor


@transform(scope="tensor")
def rms_to_rms(u: Tensor) -> Tensor:
    """u √(m/n): an orthogonal u of m outputs and n inputs moves the outputs by at most η in root mean square, for
    inputs of root mean square 1, so that one rate serves all widths. Unlike ``spectral_scale`` it shortens the steps of
    wide matrices, too.

    Reference: "Old Optimizer, New Norm: An Anthology", Jeremy Bernstein, Laker Newhouse, 2024,
    https://arxiv.org/abs/2409.20325
    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return u * SCALES["rms_to_rms"](*u.shape[-2:])


@transform(scope="tensor")
def match_rms(u: Tensor, *, rms: float = 0.2) -> Tensor:
    """u · rms · √max(m, n): the update's root mean square becomes AdamW's, so that AdamW's rates carry over.

    Reference: "Muon is Scalable for LLM Training", Jingyuan Liu et al., 2025, https://arxiv.org/abs/2502.16982
    """
    return u * (rms / 0.2 * SCALES["match_rms"](*u.shape[-2:]))


SCALES: dict[str, Callable[[int, int], float]] = {
    "none": lambda m, n: 1.0,
    "spectral_scale": lambda m, n: max(1.0, m / n) ** 0.5,
    "match_rms": lambda m, n: 0.2 * max(m, n) ** 0.5,
    "rms_to_rms": lambda m, n: (m / n) ** 0.5,
}
"""The conventions for the length of an orthogonal m × n step, by the name of their transform."""


def translate_lr(lr: float, shape: Sequence[int], *, from_: str, to: str) -> float:
    """The rate that takes under one convention the steps that ``lr`` takes under another, for a weight of that shape.

        η_to = η_from · s_from(m, n) / s_to(m, n)

    with s = 1 ("none"), √max(1, m/n) ("spectral_scale", Keller Jordan's), 0.2 √max(m, n) ("match_rms", Moonshot's) or
    √(m/n) ("rms_to_rms", Bernstein's). A decoupled decay is multiplied by the rate: take λ_to = λ_from η_from / η_to to
    keep it. Square matrices of one width share one factor; of several shapes no single rate of one convention is
    another's, which is what the conventions are about. Of more than two axes the first are the rows. Errors: ValueError
    for an unknown convention or a shape that is no matrix.
    """
    for name in (from_, to):
        if name not in SCALES:
            raise ValueError(f"unknown scale {name!r}: there are {', '.join(SCALES)}")
    if len(shape) < 2:
        raise ValueError(f"a scale is of matrices, and {tuple(shape)} is none")
    m, n = shape[0], math.prod(shape[1:])
    return lr * SCALES[from_](m, n) / SCALES[to](m, n)
