"""What a subspace leaves out of a gradient, used all the same, without slots of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import counter, scalar, transform
from ._numbers import maximum, where
from ._shapes import matrices
from .subspaces import counted, inside, laid, renewed, thin


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    P=thin,
    residual_norm=scalar(when=matrices),
    recovered=counter,
)
def in_subspace_with_residual(
    u: Tensor, step: Any, rule: Any, P: Tensor | None, residual_norm: Tensor | None, recovered: Tensor | None, *,
    rank: int, scale: float = 1.0, limit: float = 1.01, refresh: bool = True, carry: bool = False,
) -> Any:  # fmt: skip
    """`in_subspace`, with what the subspace leaves out added: scaled, column by column, as the rule scales the rest.

        P as in `in_subspace`;  R = Pᵀu;  ψ = rule(R)                              (m < n; else with uᵀ for u)
        S = (u - scale · PR) φ,   φⱼ = ‖ψ_·ⱼ‖ / ‖R_·ⱼ‖
        S ← S γ‖S_before‖ / ‖S‖ where ‖S‖ > γ‖S_before‖,  γ = ``limit``, from the second step on
        u ← scale · Pψ + S

    The rule's slots and P as in `in_subspace`; beside them one number a matrix, the last ‖S‖.

    Reference: "Fira: Can We Achieve Full-rank Training of LLMs Under Low-rank Constraint?", Xi Chen, Kaituo Feng,
    Changsheng Li, Xunhao Lai, Xiangyu Yue, Ye Yuan, Guoren Wang, 2024, https://arxiv.org/abs/2410.01623
    """
    lying = laid(u)
    if P is None or residual_norm is None:
        return lying(rule(lying(u), into=lying)), None, None, None
    P, lost = renewed(rule, u, P, refresh, carry)
    seen: Tensor = P.mT @ lying(u)
    made = inside(rule, u, P)
    factor = made.norm(dim=-2, keepdim=True) / (seen.norm(dim=-2, keepdim=True) + 1e-8)
    rest = (lying(u) - scale * (P @ seen)) * factor
    size = rest.norm(dim=(-2, -1)).to(residual_norm.dtype)
    growth = maximum(size / (residual_norm + 1e-8), torch.zeros_like(size) + limit) / limit
    growth = where(step == 1, torch.ones_like(growth), growth)
    rest = rest / growth.to(rest.dtype)[..., None, None]
    return lying(scale * (P @ made) + rest), P, size / growth, counted(recovered, lost)
