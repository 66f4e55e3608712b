"""Pure matrix functions on `[..., m, n]`: polar factors, inverse roots, eigenbases, spectral norms.

They import only torch, write nothing in place and never branch on values, so they batch, `vmap` and compile.
"""

from __future__ import annotations

from piste.linalg.polar import CUBIC, KELLER, POLAR_EXPRESS, newton_schulz, newton_schulz_flops, svd_polar

__all__ = [
    "CUBIC",
    "KELLER",
    "POLAR_EXPRESS",
    "newton_schulz",
    "newton_schulz_flops",
    "svd_polar",
]
