"""SOAP: Adam run in the slowly turning eigenbasis of Shampoo's statistics.

Source: Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (2024),
https://arxiv.org/abs/2409.11321; authors' code https://github.com/nikhilvyas/SOAP, which this file follows

First call: statistics from g, bases by eigendecomposition (descending), *no step taken and none counted*.
Then, with t counting from 1, L, R the statistics and Q_L, Q_R the bases of a matrix (any number of axes
likewise):

    g' = Q_Lᵀ g Q_R                      m' ← β₁ m' + (1 - β₁) g'      v' ← β₂ v' + (1 - β₂) g'²
    w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · Q_L [m' / (√v' + ε)] Q_Rᵀ
    w ← (1 - η λ) w                      after the step
    L ← β L + (1 - β) g gᵀ               β = shampoo_beta, or β₂ if that is negative
    every `precondition_frequency` steps: sort the columns of Q by diag(Qᵀ L Q), descending, permute v' alike,
    Q ← the orthogonal factor of L Q, and m' is carried into the new bases (v' is only permuted)

Paper and code differ: algorithm 3 knows no skipped first step and no sorting, and refers to AdamW for the
bias correction and the decay: ε after the correction (in the code before it, so that ε weighs 1 / √(1 -
β₂ᵗ) more) and the decay applied to the weights before the step (in the code after; an earlier version of it
had the sign of the decay wrong). For vectors the paper runs AdamW; so does the code unless
`precondition_1d`, but skipping the first step there too. The authors' code computes bases in float32 even
for float64 weights; here they are in the weights' dtype. An axis longer than `max_precond_dim` keeps the
identity.
"""

from __future__ import annotations

import torch
from torch import Tensor

# parity needs full rank: what a null space becomes is arbitrary
CASE = dict(shapes=[(6, 6), (5, 5), (4,)], tolerance=1e-10, hyper={"precondition_frequency": 3})

Bases = list[Tensor | None]


def turn(x: Tensor, bases: Bases, back: bool = False) -> Tensor:
    for axis, q in enumerate(bases):
        if q is not None:
            x = torch.tensordot(q if back else q.T, x, dims=([1], [axis])).movedim(0, axis)
    return x


def accumulate(statistics: Bases, g: Tensor, beta: float) -> Bases:
    new: Bases = []
    for axis, h in enumerate(statistics):
        unfolded = g.movedim(axis, 0).reshape(g.shape[axis], -1)
        new.append(None if h is None else beta * h + (1 - beta) * (unfolded @ unfolded.T))
    return new


def first_bases(statistics: Bases) -> Bases:
    return [None if h is None else torch.linalg.eigh(h)[1].flip(1) for h in statistics]


def next_bases(statistics: Bases, bases: Bases, v: Tensor) -> tuple[Bases, Tensor]:
    new: Bases = []
    for axis, (h, q) in enumerate(zip(statistics, bases)):
        if h is None or q is None:
            new.append(None)
            continue
        order = torch.diag(q.T @ h @ q).argsort(descending=True)
        v = v.index_select(axis, order)
        new.append(torch.linalg.qr(h @ q[:, order])[0])
    return new, v


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float = -1.0,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    max_precond_dim: int = 10000,
    precondition_1d: bool = False,
    normalize_grads: bool = False,
    correct_bias: bool = True,
) -> list[Tensor]:
    beta1, beta2 = betas
    beta = shampoo_beta if shampoo_beta >= 0 else beta2
    final = []
    for i, w in enumerate(params):
        turned = [n <= max_precond_dim and (w.ndim > 1 or precondition_1d) for n in w.shape]
        statistics: Bases = [
            torch.zeros(n, n, dtype=w.dtype) if on else None for n, on in zip(w.shape, turned)
        ]
        statistics = accumulate(statistics, grads[0][i], beta)
        bases = first_bases(statistics)
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        for t, step in enumerate(grads[1:], start=1):
            g = step[i]
            g_turned = turn(g, bases)
            m = beta1 * m + (1 - beta1) * g_turned
            v = beta2 * v + (1 - beta2) * g_turned**2
            update = turn(m / (v.sqrt() + eps), bases, back=True)
            if normalize_grads:
                update = update / (1e-30 + update.square().mean().sqrt())
            size = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t) if correct_bias else lr
            w = (w - size * update) * (1 - lr * weight_decay)
            statistics = accumulate(statistics, g, beta)
            if t % precondition_frequency == 0:
                m_straight = turn(m, bases, back=True)
                bases, v = next_bases(statistics, bases, v)
                m = turn(m_straight, bases)
        final.append(w)
    return final
