"""Steepest descent in the spectral norm between RMS norms: d = √(rows / columns) U Vᵀ, w ← w - η (⟨g, d⟩ d + λ w).

Source: Bernstein and Newhouse, "Old Optimizer, New Norm: An Anthology" (2024), https://arxiv.org/abs/2409.20325

⟨g, d⟩ is √(rows / columns) times the sum of the singular values where U Vᵀ is exact; here both come from Muon's quintic.
"""

from __future__ import annotations

from torch import Tensor

from reference.scion import quintic

SMOOTH = False  # the quintic does not settle

CASE = dict(shapes=[(6, 6), (8, 4), (4, 8)], tolerance=1e-9)


def reference(
    params: list[Tensor],
    grads: list[list[Tensor]],
    lr: float = 0.1,
    weight_decay: float = 0.0,
    ns_steps: int = 5,
) -> list[Tensor]:
    final = []
    for i, w in enumerate(params):
        for step in grads:
            d = (w.shape[0] / w.shape[1]) ** 0.5 * quintic(step[i], ns_steps)
            w = w - lr * ((step[i] * d).sum() * d + weight_decay * w)
        final.append(w)
    return final
