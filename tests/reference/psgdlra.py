"""PSGD over all weights as one vector, by a diagonal and a change of low rank that whiten the gradient.

Sources: Li, "Black Box Lie Group Preconditioners for SGD" (2022), https://arxiv.org/abs/2211.04422; Pooladzandi and Li,
"Curvature-Informed SGD via General Purpose Lie-Group Preconditioners" (2024), https://arxiv.org/abs/2402.04553;
authors' code https://github.com/lixilinx/psgd_torch (class LRAWhiten)

With g all gradients end to end, N numbers, and Q = (1 + UVᵀ) diag(d), U and V N × r:

    h = g + (δ + ε|g|) v,  v ~ N(0, 1)
    ρ = (tr UᵀU / tr VᵀV)^¼;  E = (UᵀU/ρ² - ρ²VᵀV) / 10 (tr UᵀU/ρ² + ρ² tr VᵀV)
    U ← U/ρ (1 - E + E²/2);  V ← ρV (1 + E + E²/2)
    a = Qh;  b = Q⁻ᵀv;  P = QᵀQ
    d ← d - μ/ℓ_d (h ⊙ Ph - v ⊙ P⁻¹v) ⊙ d                l_d = max|h ⊙ Ph| + max|v ⊙ P⁻¹v|
    in half of the steps, drawn by lot, with the a, b, Q from before:
    U ← U - μ/ℓ_U (aaᵀ - bbᵀ) V (1 + VᵀU)                l_U = ‖a‖ ‖VVᵀa‖ + ‖b‖ ‖VVᵀb‖
    in the others:
    V ← V - μ/ℓ_V (1 + VUᵀ) (aaᵀ - bbᵀ) U                l_V = ‖a‖ ‖UUᵀa‖ + ‖b‖ ‖UUᵀb‖
    ℓ ← max(β_L ℓ + (1 - β_L) l, l)
    m ← β m + (1 - β) g,  β = min(1 - 1/t, momentum)
    u = QᵀQ m;  rms(u) held to 2, |u| to 10;  w ← w - η (u + λw)

d begins at `preconditioner_init_scale`, or (E g⁴ + δ⁴)^(-1/8); U and V are random with norm √0.1: here cos 2πkx and sin
2πkx, k = 1 … r, with x the probability that a normal number is less than the first probe.
"""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from reference.probes import probe
from reference.psgdkron import clip, first_scale, refreshed

CASE = {"hyper": {"lr": 0.01, "rank_of_approximation": 3, "preconditioner_update_probability": 0.5}}


class LowRank:
    """Everything dense: Q is formed, and inverted."""

    def __init__(self, first: Tensor, rank: int, scale: float) -> None:
        below = 0.5 * (1 + torch.erf(first / math.sqrt(2)))
        cycles = 2 * math.pi * below[:, None] * torch.arange(1, rank + 1, dtype=torch.float64)
        self.u, self.v = (x * math.sqrt(0.1) / x.norm() for x in (cycles.cos(), cycles.sin()))
        self.d = torch.full_like(first, scale)
        self.ell = {"u": 0.0, "v": 0.0, "d": 0.0}

    @property
    def q(self) -> Tensor:
        return (torch.eye(len(self.d), dtype=torch.float64) + self.u @ self.v.T) @ torch.diag(self.d)

    def curvature(self, name: str, seen: Tensor, beta: float) -> float:
        self.ell[name] = max(beta * self.ell[name] + (1 - beta) * float(seen), float(seen))
        return self.ell[name]

    def balance(self) -> None:
        u, v, eye = self.u, self.v, torch.eye(self.u.shape[1], dtype=torch.float64)
        rho = (torch.trace(u.T @ u) / torch.trace(v.T @ v)) ** 0.25
        uu, vv = u.T @ u / rho**2, v.T @ v * rho**2
        e = 0.1 * (uu - vv) / (torch.trace(uu) + torch.trace(vv))
        self.u, self.v = u / rho @ (eye - e + e @ e / 2), v * rho @ (eye + e + e @ e / 2)

    def fit(self, h: Tensor, probe_: Tensor, lr: float, beta: float, turn_u: bool) -> None:
        if self.u.numel():
            self.balance()
        u, v, q = self.u, self.v, self.q
        p, eye = q.T @ q, torch.eye(u.shape[1], dtype=torch.float64)
        a, b = q @ h, torch.linalg.inv(q).T @ probe_
        hph, vpv = h * (p @ h), probe_ * (torch.linalg.inv(p) @ probe_)
        size = self.curvature("d", hph.abs().max() + vpv.abs().max(), beta)
        self.d = self.d - lr / size * (hph - vpv) * self.d
        error = torch.outer(a, a) - torch.outer(b, b)
        if not u.numel():
            return
        if turn_u:
            seen = a.norm() * (v @ v.T @ a).norm() + b.norm() * (v @ v.T @ b).norm()
            self.u = u - lr / self.curvature("u", seen, beta) * error @ v @ (eye + v.T @ u)
        else:
            seen = a.norm() * (u @ u.T @ a).norm() + b.norm() * (u @ u.T @ b).norm()
            whole = torch.eye(len(a), dtype=torch.float64) + v @ u.T
            self.v = v - lr / self.curvature("v", seen, beta) * whole @ error @ u


def turn_u(t: int) -> bool:
    return random.Random(f"0/{t}").random() < 0.5


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    rank_of_approximation: int = 10,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_update_probability: float = 1.0,
    whiten_grad: bool = True,
    grad_clip_max_amps: tuple[float, float] = (2.0, 10.0),
) -> list[Tensor]:
    w = torch.cat([p.flatten() for p in params])
    m, q = torch.zeros_like(w), None
    for t, step in enumerate(grads, start=1):
        g = torch.cat([x.flatten() for x in step])
        v = torch.cat([probe(p.shape, i, t).flatten() for i, p in enumerate(params)])
        beta = min(1 - 1 / t, momentum)
        m = beta * m + (1 - beta) * g
        seen = g if whiten_grad else m
        if q is None:
            q = LowRank(v, rank_of_approximation, first_scale(seen, damping, preconditioner_init_scale))
        if refreshed(t, preconditioner_update_probability):
            h = seen + (damping + torch.finfo(w.dtype).eps * seen.abs()) * v
            q.fit(h, v, lr_preconditioner, betaL, turn_u(t))
        w = w - lr * (clip(q.q.T @ q.q @ m, grad_clip_max_amps) + weight_decay * w)
    return [x.view_as(p) for x, p in zip(w.split([p.numel() for p in params]), params)]
