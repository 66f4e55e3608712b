"""Distributed Shampoo: Shampoo in blocks, with the length of a diagonal method.

Source: Shi et al., "A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer for
Training Neural Networks At-Scale" (2023), https://arxiv.org/abs/2309.06497, algorithm 2 and section 3; authors' code
https://github.com/facebookresearch/optimizers

For every block g of a gradient (pieces of at most `max_preconditioner_dim` along each axis; a matrix with at most that
many entries is first made a vector), with k axes:

    Hⱼ ← β₂ Hⱼ + (1 - β₂) G₍ⱼ₎ G₍ⱼ₎ᵀ               β₂ = 1: Hⱼ + G₍ⱼ₎ G₍ⱼ₎ᵀ
    m ← β₁ m + (1 - β₁) g                          m̂ = m / (1 - β₁ᵗ), Ĥ = H / (1 - β₂ᵗ) (not for β₂ = 1)
    Pⱼ ← (Ĥⱼ + ε I)^(-1 / 2k)                      at t = start and at later multiples of the frequency
    u = m̂ ×₁ P₁ ×₂ P₂,   grafted: a = m̂ / (√v̂ + ε'),   u ← ‖a‖ / (‖u‖ + 1e-16) u;   before `start`: u = a
    w ← w - η (u + λ w)
"""

from __future__ import annotations

import torch
from torch import Tensor

# ε is far below the rounding of statistics that are still singular: in their null space nothing is smooth
SMOOTH = False

CASE = dict(
    shapes=[(6, 6), (5, 5), (8, 4), (3,)], tolerance=1e-8,
    hyper=dict(
        betas=(0.9, 0.99), epsilon=1e-6, max_preconditioner_dim=4, precondition_frequency=3,
        start_preconditioning_step=4, grafting="adam", grafting_beta2=0.98,
    ),
)  # fmt: skip


def root(h: Tensor, exponent: float, epsilon: float) -> Tensor:
    values, vectors = torch.linalg.eigh(h + epsilon * torch.eye(len(h), dtype=h.dtype))
    return vectors @ torch.diag(values**-exponent) @ vectors.T


def one_block(w: Tensor, grads: list[Tensor], h: dict) -> Tensor:
    beta1, beta2 = h["betas"]
    start = h["start_preconditioning_step"] or h["precondition_frequency"]
    k = w.ndim
    exponent = h["exponents"][k - 1]
    stats = [torch.zeros(n, n, dtype=w.dtype) for n in w.shape]
    roots = [torch.eye(n, dtype=w.dtype) for n in w.shape]
    m, v, sums = (torch.zeros_like(w) for _ in range(3))
    raw = torch.zeros_like(w)
    for t, g in enumerate(grads, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = h["grafting_beta2"] * v + (1 - h["grafting_beta2"]) * g**2
        raw, sums = v, sums + g**2
        biased = not h["use_bias_correction"]
        first = m if biased else m / (1 - beta1**t)
        for j in range(k):
            flat = g.movedim(j, 0).reshape(w.shape[j], -1)
            weight = 1.0 if beta2 == 1 else 1 - beta2
            stats[j] = beta2 * stats[j] + weight * flat @ flat.T
        if t == start or (t > start and t % h["precondition_frequency"] == 0):
            gathered = 1.0 if beta2 == 1 or biased else 1 - beta2**t
            roots = [root(s / gathered, exponent, h["epsilon"]) for s in stats]
        u = first
        for j in range(k):
            u = torch.tensordot(roots[j], u, dims=([1], [j])).movedim(0, j)
        e = h["grafting_epsilon"]
        length = {
            "none": None,
            "sgd": first,
            "adagrad": first / (sums.sqrt() + e),
            "rmsprop": first / (raw.sqrt() + e),
            "adam": first / ((v / (1 - h["grafting_beta2"] ** t)).sqrt() + e),
        }[h["grafting"]]
        if length is not None:
            u = length if t < start else u * length.norm() / (u.norm() + 1e-16)
        w = w - h["lr"] * (u + h["weight_decay"] * w)
    return w


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 1e-2,
    betas: tuple[float, float] = (0.9, 1.0),
    epsilon: float = 1e-12,
    weight_decay: float = 0.0,
    max_preconditioner_dim: int = 1024,
    precondition_frequency: int = 1,
    start_preconditioning_step: int = 0,
    use_bias_correction: bool = True,
    exponents: tuple[float, float] = (0.5, 0.25),
    grafting: str = "none",
    grafting_beta2: float = 0.999,
    grafting_epsilon: float = 1e-8,
    merge_dims: bool = True,
) -> list[Tensor]:
    h = dict(locals())
    final = []
    for i, w in enumerate(params):
        shape, size = w.shape, max_preconditioner_dim
        merged = w.ndim != 1 and w.numel() <= size and merge_dims
        seen = [x[i].reshape(-1) if merged else x[i] for x in (params, *grads)]
        if seen[0].ndim == 0:
            seen = [x.reshape(1) for x in seen]
        ends = [[(a, min(a + size, n)) for a in range(0, n, size)] for n in seen[0].shape]
        result = torch.empty_like(seen[0])
        cells = [(c,) for c in ends[0]] if len(ends) == 1 else [(r, c) for r in ends[0] for c in ends[1]]
        for cell in cells:
            at = tuple(slice(*span) for span in cell)
            # a block of one row or column counts as a vector (the authors keep two factors for it)
            slim = [x[at].flatten() if 1 in x[at].shape else x[at] for x in seen]
            result[at] = one_block(slim[0], slim[1:], h).reshape(result[at].shape)
        final.append(result.reshape(shape))
    return final
