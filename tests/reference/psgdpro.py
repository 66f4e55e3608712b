"""PSGD with a Kronecker product of near symmetric matrices that whitens the gradient, fitted by products alone.

Source: Li, "Stochastic Hessian Fittings with Lie Groups" (2024), https://arxiv.org/abs/2402.11858 (the geometry
dQ = Q^½ E Q^1½); authors' code https://github.com/lixilinx/psgd_torch (class KronWhiten, its default)

As `psgdkron`, but for the fit. For a tensor of N numbers with axes a of length nₐ:

    A = h ×₁ Q₁ᵀQ₁ ×₂ Q₂ᵀQ₂
    ℓₐ ← max(β_L ℓₐ + (1 - β_L) l, l),   l = ‖A₍ₐ₎A₍ₐ₎ᵀ‖ + N/nₐ
    Qₐ ← Qₐ - μ/ℓₐ (A₍ₐ₎A₍ₐ₎ᵀ - N/nₐ) Qₐ
    Qₐ ← (1 + aR + a²R²/2) Qₐ,   R = (Qₐᵀ - Qₐ) / ‖Qₐᵀ - Qₐ‖

The second term is the mean of the probes' V₍ₐ₎V₍ₐ₎ᵀ. The rotation leads towards a symmetric factor: a = -tr RQ / tr RRQ
where tr RRQ < 0, at most 1/8. Norms are bounded from below as there, that of R by the root of RRᵀ's.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from reference import psgdkron
from reference.psgdkron import along, bound, unfold

CASE = {"hyper": {"lr": 0.01, "preconditioner_update_probability": 0.5}}


def rotate(q: Tensor) -> Tensor:
    r = q.T - q
    if not r.any():
        return q
    r = r / bound(r @ r.T).sqrt()
    slope, bend = torch.trace(r @ q), torch.trace(r @ r @ q)
    a = min(float(-slope / bend), 1 / 8) if bend < 0 else 1 / 8
    return q + a * r @ q + a**2 / 2 * r @ r @ q


class Rotated(psgdkron.Kron):
    def fit(self, h: Tensor, v: Tensor, lr: float, beta: float) -> None:
        a = h.reshape(self.shape)
        for axis, q in enumerate(self.q):
            a = along(axis, q.T @ q, a)
        for axis, q in enumerate(self.q):
            aa, mean = unfold(a, axis) @ unfold(a, axis).T, a.numel() / len(q)
            norm = float(bound(aa) if self.dense[axis] else torch.diag(aa).max()) + mean
            self.ell[axis] = max(beta * self.ell[axis] + (1 - beta) * norm, norm)
            aa = aa if self.dense[axis] else torch.diag(torch.diag(aa))
            q = q - lr / self.ell[axis] * (aa - mean * torch.eye(len(q), dtype=q.dtype)) @ q
            self.q[axis] = rotate(q) if self.dense[axis] else q


@functools.wraps(psgdkron.reference)
def reference(*args, **hyper):
    return psgdkron.reference(*args, kron_of=Rotated, **hyper)
