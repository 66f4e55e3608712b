"""K-FAC: the natural gradient with a layer's Fisher matrix taken for a Kronecker product.

Sources:
- Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature" (2015),
  https://arxiv.org/abs/1503.05671: sections 3 (factors), 4.2 (block-diagonal inverse), 5 (running averages),
  6.3 (factored damping)
- Ba, Grosse and Martens, "Distributed Second-Order Optimization using Kronecker-Factored Approximations" (2017),
  https://openreview.net/forum?id=SkkTMpjex: the step's length

Of a network of fully connected layers with tanh between them and softmax cross-entropy behind, with a_l the
inputs of layer l, g_l each example's own gradient at its outputs:

    A_l ← ε A_l + (1 - ε) mean a aᵀ    G_l ← ε G_l + (1 - ε) mean g gᵀ    ε = min(1 - 1/k, stat_decay), k-th time
    π² = (tr A / n) / (tr G / m)
    U = (G + √λ/π I)⁻¹ ∇W (A + π √λ I)⁻¹                  bias: A = 1, a block of its own (in the paper the inputs
    ν = min(1, √(κ / (η² Σ ⟨U, ∇W⟩)))                      have a 1 behind them, and there is one block)
    B ← μ B + ν U + weight_decay W,  W ← W - η B
"""

from __future__ import annotations

import torch
from torch import Tensor

TOLERANCE = 1e-10  # long steps on few examples: roundings grow
CASES = [
    {},
    {"damping": 0.1, "kl_clip": 1.0, "lr": 0.3, "TInv": 3, "TCov": 2, "weight_decay": 0.01},
    {"momentum": 0.0, "kl_clip": 0.0, "damping": 1.0, "stat_decay": 0.5, "TInv": 1},
]

Batch = tuple[Tensor, Tensor]


def passes(weights: list[Tensor], x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Inputs and output gradients of every layer, an example a row; weights and biases alternate."""
    inputs, pairs = [x], list(zip(weights[::2], weights[1::2]))
    for i, (w, b) in enumerate(pairs):
        z = inputs[-1] @ w.T + b
        inputs.append(z.tanh() if i < len(pairs) - 1 else z)
    g = torch.softmax(inputs[-1], 1)
    g[torch.arange(len(y)), y] -= 1
    found = []
    for i in reversed(range(len(pairs))):
        found.append((inputs[i], g))
        g = (g @ pairs[i][0]) * (1 - inputs[i] ** 2)
    return found[::-1]


def blocks(weights: list[Tensor], x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Of every weight and bias (as one row of outputs): its gradient [m, n], and what A and G are made of."""
    found = []
    for a, g in passes(weights, x, y):
        found.append((g.T @ a / len(x), a, g))
        found.append((g.mean(0, keepdim=True).T, torch.ones_like(a[:, :1]), g))
    return found


def reference(
    weights: list[Tensor],
    batches: list[Batch],
    lr: float = 0.1,
    momentum: float = 0.9,
    stat_decay: float = 0.95,
    damping: float = 1e-3,
    kl_clip: float = 1e-3,
    weight_decay: float = 0.0,
    TCov: int = 1,
    TInv: int = 20,
) -> list[Tensor]:
    A, G, inverse = {}, {}, {}
    buffers = [torch.zeros_like(w) for w in weights]
    seen = 0
    for t, (x, y) in enumerate(batches):
        found = blocks(weights, x, y)
        if t % TCov == 0:
            seen += 1
            e = min(1 - 1 / seen, stat_decay)
            for i, (_, a, g) in enumerate(found):
                A[i] = e * A.get(i, 0.0) + (1 - e) * (a.T @ a) / len(x)
                G[i] = e * G.get(i, 0.0) + (1 - e) * (g.T @ g) / len(x)
        if t % TInv == 0:
            for i in range(len(weights)):
                n, m = len(A[i]), len(G[i])
                pi = ((A[i].trace() / n) / (G[i].trace() / m)) ** 0.5
                eyes = torch.eye(n, dtype=x.dtype), torch.eye(m, dtype=x.dtype)
                inverse[i] = (
                    torch.linalg.inv(A[i] + pi * damping**0.5 * eyes[0]),
                    torch.linalg.inv(G[i] + damping**0.5 / pi * eyes[1]),
                )
        updates = [inverse[i][1] @ grad @ inverse[i][0] for i, (grad, _, _) in enumerate(found)]
        slope = sum(float((u * grad).sum()) for u, (grad, _, _) in zip(updates, found))
        nu = min(1.0, (kl_clip / (lr**2 * slope)) ** 0.5) if kl_clip else 1.0
        for i, u in enumerate(updates):
            step = nu * u.reshape(weights[i].shape) + weight_decay * weights[i]
            buffers[i] = momentum * buffers[i] + step
        weights = [w - lr * b for w, b in zip(weights, buffers)]
    return weights
