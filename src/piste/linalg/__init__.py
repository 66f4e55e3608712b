"""Pure matrix functions on `[..., m, n]`: polar factors, inverse roots, eigenbases, spectral norms.

They import only torch, write nothing in place and never branch on values, so they batch, `vmap` and compile.
"""

from __future__ import annotations

from piste.linalg.eigen import eigenbasis, orthogonal_iteration
from piste.linalg.jacobi import jacobi, pairwise_gram_schmidt
from piste.linalg.polar import (
    CUBIC,
    KELLER,
    POLAR_EXPRESS,
    TURBO,
    newton_schulz,
    newton_schulz_flops,
    newton_schulz_rescaled,
    svd_polar,
)
from piste.linalg.power import power_iteration, spectral_norm
from piste.linalg.products import product_dtype, symmetric
from piste.linalg.roots import (
    inverse_root,
    inverse_root_chebyshev,
    inverse_root_denman_beavers,
    inverse_root_newton,
    norm_bound,
)

__all__ = [
    "CUBIC",
    "KELLER",
    "POLAR_EXPRESS",
    "TURBO",
    "eigenbasis",
    "inverse_root",
    "inverse_root_chebyshev",
    "inverse_root_denman_beavers",
    "inverse_root_newton",
    "jacobi",
    "newton_schulz",
    "newton_schulz_flops",
    "newton_schulz_rescaled",
    "norm_bound",
    "orthogonal_iteration",
    "pairwise_gram_schmidt",
    "power_iteration",
    "product_dtype",
    "spectral_norm",
    "svd_polar",
    "symmetric",
]
