"""Shampoo: one preconditioner per axis of each tensor.

Source: Gupta, Koren and Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization" (2018),
https://arxiv.org/abs/1802.09568; the authors' TensorFlow implementation (tf.contrib.opt.ShampooOptimizer)

For a tensor with k axes, G₍ⱼ₎ its unfolding along axis j:

    Hⱼ ← Hⱼ + G₍ⱼ₎ G₍ⱼ₎ᵀ                 (`beta`: Hⱼ ← β Hⱼ + (1 - β) G₍ⱼ₎ G₍ⱼ₎ᵀ)
    Pⱼ ← (Hⱼ + ε I)^(-1 / 2k)            every `precondition_frequency` steps, the first included
    w ← w - η · m ×₁ P₁ ... ×ₖ Pₖ        m = g, or momentum

so -1/4 on either side of a matrix. Adding ε I at the root equals the paper's H₀ = ε I when the statistics are
summed; with an average (`beta`) an initial ε I would fade away.

`momentum_on="gradient"` (authors): m ← μ m + (1 - μ) g is preconditioned, the statistics see the raw g.
`momentum_on="update"` (Anil et al., "Scalable Second Order Optimization for Deep Learning" (2020),
https://arxiv.org/abs/2002.09018): m ← μ m + preconditioned g. `exponent` overrides 1 / 2k: Anil et al. and
Morwani et al., "A New Perspective on Shampoo's Preconditioner" (2024), https://arxiv.org/abs/2406.17748,
argue for 1/2 on matrices. L2 penalty, if any, enters the gradient.

Popular implementations deviate: moskomule/shampoo.pytorch (and those descended from it: jettify's
torch-optimizer, pytorch_optimizer's plain Shampoo) uses exponent -1/k instead of -1/2k, feeds the second
axis' statistics with the gradient already preconditioned on the first, and stores the *preconditioned* step
as the momentum that is mixed into the next raw gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

# parity needs full rank: what a null space becomes is arbitrary
CASE = dict(
    shapes=[(6, 6), (5, 5), (4,)], tolerance=1e-9, hyper={"momentum": 0.9, "precondition_frequency": 3}
)


def inverse_power(h: Tensor, exponent: float, eps: float) -> Tensor:
    values, vectors = torch.linalg.eigh(h + eps * torch.eye(len(h), dtype=h.dtype))
    return vectors @ torch.diag(values**-exponent) @ vectors.T


def along(axis: int, matrix: Tensor, x: Tensor) -> Tensor:
    """The mode product: `matrix` applied to axis `axis` of `x`."""
    return torch.tensordot(matrix, x, dims=([1], [axis])).movedim(0, axis)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    momentum: float = 0.0,
    eps: float = 1e-4,
    weight_decay: float = 0.0,
    beta: float | None = None,
    precondition_frequency: int = 1,
    exponent: float | None = None,
    momentum_on: str = "gradient",
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        k = w.ndim
        statistics = [torch.zeros(n, n, dtype=w.dtype) for n in w.shape]
        roots = [torch.eye(n, dtype=w.dtype) for n in w.shape]
        m = torch.zeros_like(w)
        for t, step in enumerate(grads):
            g = step[i] + weight_decay * w
            for j in range(k):
                unfolded = g.movedim(j, 0).reshape(w.shape[j], -1)
                outer = unfolded @ unfolded.T
                statistics[j] = (
                    statistics[j] + outer if beta is None else beta * statistics[j] + (1 - beta) * outer
                )
                if t % precondition_frequency == 0:
                    roots[j] = inverse_power(statistics[j], exponent or 1 / (2 * k), eps)
            if momentum_on == "gradient":
                m = momentum * m + (1 - momentum) * g
            update = m if momentum_on == "gradient" else g
            for j in range(k):
                update = along(j, roots[j], update)
            if momentum_on == "update":
                m = momentum * m + update
                update = m
            w = w - lr * update
        final.append(w)
    return final
