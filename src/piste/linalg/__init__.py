"""Pure matrix functions on `[..., m, n]`: polar factors, inverse roots, eigenbases, spectral norms.

They import only torch, write nothing in place and never branch on values, so they batch, `vmap` and compile.
"""

from __future__ import annotations

from piste.linalg.eigen import eigenbasis, orthogonal_iteration
from piste.linalg.polar import CUBIC, KELLER, POLAR_EXPRESS, newton_schulz, newton_schulz_flops, svd_polar
from piste.linalg.power import power_iteration, spectral_norm
from piste.linalg.products import product_dtype, symmetric
from piste.linalg.roots import inverse_root, inverse_root_newton

__all__ = [
    "CUBIC",
    "KELLER",
    "POLAR_EXPRESS",
    "eigenbasis",
    "inverse_root",
    "inverse_root_newton",
    "newton_schulz",
    "newton_schulz_flops",
    "orthogonal_iteration",
    "power_iteration",
    "product_dtype",
    "spectral_norm",
    "svd_polar",
    "symmetric",
]
