"""MuonClip: Muon at AdamW's step length, with the clipping of queries and keys.

Source: Kimi Team, "Kimi K2: Open Agentic Intelligence" (2025), https://arxiv.org/abs/2507.20534, algorithm 1

    M ← μ M + G;  O ← Newton-Schulz(M) · √max(n, m) · 0.2;  W ← W - η (O + λ W)
    for each head h of a query or key projection, S its largest logit: if S > τ: γ ← τ / S, W_h ← √γ W_h

`logits`: by step, {index of a parameter: the largest logit of each head, of as many equal blocks of rows}.

Where things differ: Muon's usual constants (five steps, division by ‖M‖ + 1e-7) are not in the report; the 1e-7 meets a
sum there and an average in piste, hence the tolerance.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = False
CASE = dict(shapes=[(6, 6), (8, 4), (4, 8), (5,)], tolerance=1e-6, hyper=dict(lr=0.02))


def orthogonalize(u: Tensor, steps: int) -> Tensor:
    x = u.T if u.shape[0] > u.shape[1] else u
    x = x / (x.square().sum().sqrt() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x.T if u.shape[0] > u.shape[1] else x


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 2e-4,
    momentum: float = 0.95,
    ns_steps: int = 5,
    weight_decay: float = 0.1,
    tau: float = 100.0,
    logits: list[dict[int, Tensor]] | None = None,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        m = torch.zeros_like(w)
        for t, step in enumerate(grads):
            m = momentum * m + step[i]
            matrix = m.reshape(1, -1) if m.dim() < 2 else m
            o = orthogonalize(matrix, ns_steps) * max(matrix.shape) ** 0.5 * 0.2
            w = w - lr * (o.reshape(w.shape) + weight_decay * w)
            heads = (logits[t] if logits else {}).get(i, [])
            for h, s in enumerate(heads):
                if s > tau:
                    rows = slice(h * len(w) // len(heads), (h + 1) * len(w) // len(heads))
                    w = torch.cat([w[: rows.start], (tau / s) ** 0.5 * w[rows], w[rows.stop :]])
        final.append(w)
    return final
