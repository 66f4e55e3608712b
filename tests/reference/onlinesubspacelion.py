"""Lion in a subspace that takes steps of online PCA.

Source: as onlinesubspaceadamw.py, whose projection this is, and the authors' galore_lion.py

    g' = Pᵀ g;    w ← w - η sign(P [β₁ m + (1 - β₁) g']);    m ← β₂ m + (1 - β₂) g';    w ← (1 - η λ) w
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .onlinesubspaceadamw import paths

SMOOTH = False
CASE = dict(
    shapes=[(6, 6), (5, 8), (8, 5), (2, 7), (4,), ()],
    tolerance=1e-9,
    hyper={"rank": 3, "projection_lr": 0.05},
)


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0, rank: int = 128, projection_lr: float = 0.005, projection_decay: float = 0.01,
) -> list[Tensor]:  # fmt: skip
    beta1, beta2 = betas

    def inner(g: Tensor, state: dict[str, Any], t: int) -> Tensor:
        m = state.get("m", 0.0)
        state["m"] = beta2 * m + (1 - beta2) * g
        return beta1 * m + (1 - beta1) * g

    def outer(w: Tensor, step: Tensor, projected: bool) -> Tensor:
        return (w - lr * step.sign()) * (1 - lr * weight_decay)

    return paths(params, grads, inner, outer, rank, projection_lr, projection_decay)
