"""PSGD with a Kronecker product of triangular matrices that whitens the gradient.

Sources: Li, "Preconditioned Stochastic Gradient Descent" (2015), https://arxiv.org/abs/1512.04202 (the criterion and
the Kronecker products); Pooladzandi and Li, "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners"
(2024), https://arxiv.org/abs/2402.04553; Li, "Stochastic Hessian Fittings with Lie Groups" (2024),
https://arxiv.org/abs/2402.11858; authors' code https://github.com/lixilinx/psgd_torch (class KronWhiten with dQ="EQ")

For a tensor with axes a = 1, 2 (a scalar has one), Q = Q₁ ⊗ Q₂, ×ₐ the product along axis a:

    h = g + (δ + ε|g|) v,  v ~ N(0, 1)
    A = h ×₁ Q₁ ×₂ Q₂                    B = v ×₁ Q₁⁻ᵀ ×₂ Q₂⁻ᵀ
    Gₐ = A₍ₐ₎A₍ₐ₎ᵀ - B₍ₐ₎B₍ₐ₎ᵀ            Sₐ = A₍ₐ₎A₍ₐ₎ᵀ + B₍ₐ₎B₍ₐ₎ᵀ    of the unfoldings
    ℓₐ ← max(β_L ℓₐ + (1 - β_L) ‖Sₐ‖, ‖Sₐ‖)
    Qₐ ← Qₐ - μ/ℓₐ triu(Gₐ) Qₐ           a long axis: diagonals alone, and the largest entry as norm
    m ← β m + (1 - β) g,  β = min(1 - 1/t, momentum)
    u = m ×₁ Q₁ᵀQ₁ ×₂ Q₂ᵀQ₂;  rms(u) held to 2, |u| to 10
    w ← w - η (u + λw)

`whiten_grad=False`: h is made of m. Q is fitted in the steps 1 + ⌈i / p⌉. Every 100 steps the factors are balanced.
The start is scale^(1/axes) for each factor; a scale of 0 means (E g⁴ + δ⁴)^(-1/8) of the first gradient: the authors'
code takes the largest of all tensors' E g⁴.

The norm of a matrix S (positive, symmetric) is bounded from below: s is the row of S with the largest diagonal
entry, twice s ← S s / ‖s‖, the bound is ‖s‖. The paper's code did one round; today's does two of 32 random vectors,
without orthogonalizing them, and takes the longest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reference.probes import probe

CASE = {"hyper": {"lr": 0.01, "preconditioner_update_probability": 0.5}}


def along(axis: int, matrix: Tensor, x: Tensor) -> Tensor:
    return torch.tensordot(matrix, x, dims=([1], [axis])).movedim(0, axis)


def bound(s: Tensor) -> Tensor:
    row = s[torch.diag(s).argmax()]
    for _ in range(2):
        row = s @ (row / row.norm())
    return row.norm()


def unfold(x: Tensor, axis: int) -> Tensor:
    return x.movedim(axis, 0).reshape(x.shape[axis], -1)


class Kron:
    """The factors of one tensor (diagonal ones as matrices), and their curvatures."""

    def __init__(self, shape: tuple[int, ...], max_size: float, max_skew: float) -> None:
        self.shape = tuple(n for n in shape if n > 1) or (1,)
        numel = math.prod(self.shape)
        self.dense = [1 < n <= max_size and n * n <= max_skew * numel for n in self.shape]
        self.q = [torch.eye(n, dtype=torch.float64) for n in self.shape]
        self.ell = [0.0 for _ in self.shape]

    def start(self, scale: float) -> None:
        self.q = [q * scale ** (1 / len(self.q)) for q in self.q]

    def fit(self, h: Tensor, v: Tensor, lr: float, beta: float) -> None:
        a, b = h.reshape(self.shape), v.reshape(self.shape)
        for axis, q in enumerate(self.q):
            a, b = along(axis, q, a), along(axis, torch.linalg.inv(q).T, b)
        for axis, q in enumerate(self.q):
            aa, bb = (unfold(x, axis) @ unfold(x, axis).T for x in (a, b))
            norm = float(bound(aa + bb) if self.dense[axis] else torch.diag(aa + bb).max())
            self.ell[axis] = max(beta * self.ell[axis] + (1 - beta) * norm, norm)
            error = torch.triu(aa - bb) if self.dense[axis] else torch.diag(torch.diag(aa - bb))
            self.q[axis] = q - lr / self.ell[axis] * error @ q

    def balance(self) -> None:
        sizes = [float(q.abs().max()) for q in self.q]
        middle = math.prod(sizes) ** (1 / len(sizes))
        self.q = [q * middle / size for q, size in zip(self.q, sizes)]

    def __call__(self, x: Tensor) -> Tensor:
        u = x.reshape(self.shape)
        for axis, q in enumerate(self.q):
            u = along(axis, q.T @ q, u)
        return u.reshape(x.shape)


def first_scale(g: Tensor, damping: float, given: float) -> float:
    return given if given > 0 else float((g**4).mean() + damping**4) ** (-1 / 8)


def clip(u: Tensor, amplitudes: tuple[float, float]) -> Tensor:
    rms = float(u.square().mean()) ** 0.5
    return (u * min(1.0, amplitudes[0] / rms)).clamp(-amplitudes[1], amplitudes[1])


def refreshed(t: int, p: float) -> bool:
    return t == 1 or math.floor((t - 1) * p) > math.floor((t - 2) * p)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: float = math.inf,
    preconditioner_max_skew: float = 1.0,
    preconditioner_update_probability: float = 1.0,
    whiten_grad: bool = True,
    grad_clip_max_amps: tuple[float, float] = (2.0, 10.0),
    kron_of: type[Kron] = Kron,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        kron = kron_of(tuple(w.shape), preconditioner_max_size, preconditioner_max_skew)
        m = torch.zeros_like(w)
        for t, step in enumerate(grads, start=1):
            g, v = step[i], probe(w.shape, i, t)
            beta = min(1 - 1 / t, momentum)
            m = beta * m + (1 - beta) * g
            seen = g if whiten_grad else m
            if t == 1:
                kron.start(first_scale(seen, damping, preconditioner_init_scale))
            if refreshed(t, preconditioner_update_probability):
                h = seen + (damping + torch.finfo(w.dtype).eps * seen.abs()) * v
                kron.fit(h, v, lr_preconditioner, betaL)
            if t > 1 and (t - 1) % 100 == 0:
                kron.balance()
            w = w - lr * (clip(kron(m), grad_clip_max_amps) + weight_decay * w)
        final.append(w)
    return final
