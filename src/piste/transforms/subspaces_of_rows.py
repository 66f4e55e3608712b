"""Rules run on a few rows of a matrix: the projection is a choice, kept as indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._transform import basis, index, transform
from ._numbers import where
from ._shapes import matrices
from .subspaces import laid


def since(k: int) -> Callable[[int], float]:
    """How many steps have been taken since the last of each k-th step from the first on, that one being the first."""
    return lambda step: float((step - 1) % k + 1)


rows_kept = index("rank&short", when=matrices, dtype=torch.int32)


def _sizes(flat: Tensor) -> Tensor:
    """Norms of rows; what is not finite counts as nothing."""
    norms = flat.norm(dim=-1)
    return torch.where(norms.isfinite(), norms, 0.0)


def _in_rows(
    rule: Any, u: Tensor, chosen: Tensor, weight: Tensor | None, scale: Any, refresh: bool, age: Any
) -> Tensor:
    """scale · P rule(Pᵀu), P having one entry in each of its columns: a gather there and a scatter back."""
    lying = laid(u)
    if refresh:
        rule.turn(moment=torch.zeros_like, square=torch.zeros_like)
    at = chosen.long().unsqueeze(-1)

    def into(x: Tensor) -> Tensor:
        kept = lying(x).gather(-2, at.expand(*at.shape[:-1], lying(x).shape[-1]))
        return kept if weight is None else kept * weight.unsqueeze(-1)

    made = rule(into(u), into=into, step=age)
    made = made if weight is None else made * weight.unsqueeze(-1)
    flat = lying(u)
    back = torch.zeros_like(flat).scatter_add(-2, at.expand(*at.shape[:-1], flat.shape[-1]), made)
    return scale * lying(back)


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    chosen=rows_kept,
)
def in_top_rows(
    u: Tensor, rule: Any, chosen: Tensor | None, *,
    rank: int, scale: float = 1.0, refresh: bool = True, age: float = 1.0,
) -> Any:  # fmt: skip
    """Any rule, run on the ``rank`` rows of the largest norms, on the matrix's shorter side: the others rest.

        where ``refresh`` holds: rows ← those of the largest ‖uᵢ‖; the rule begins anew
        u ← scale · P rule(Pᵀ u),  P the columns of the identity for these rows

    The projection that of all choices of rows leaves the least of u. It is kept as indices, and costs no product.
    ``age``: the step that the rule is told, which begins anew with its moments (:func:`since`).

    Reference: "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse Gradients", Aashiq Muhamed,
    Oscar Li, David Woodruff, Mona Diab, Virginia Smith, 2024, https://arxiv.org/abs/2406.17660
    """
    if chosen is None:
        return rule(u), None
    if refresh:
        chosen = _sizes(laid(u)(u)).topk(chosen.shape[-1], sorted=False).indices.to(chosen.dtype)
    return _in_rows(rule, u, chosen, None, scale, refresh, age), chosen


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    only={"noise": "refresh"},
    chosen=rows_kept,
)
def in_drawn_rows(
    u: Tensor, noise: Tensor | None, rule: Any, chosen: Tensor | None, *,
    rank: int, scale: float = 1.0, power: float = 1.0, refresh: bool = True, age: float = 1.0,
) -> Any:  # fmt: skip
    """Any rule, run on ``rank`` different rows drawn with chances in proportion to ‖uᵢ‖^power: the others rest.

    As :func:`in_top_rows`, which is the limit of a large power; 0 draws them uniformly. Drawn without replacement, by
    the largest of p log ‖uᵢ‖ - log(-log Uᵢ), U uniform from the input ``noise``.

    Reference: "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse Gradients", Aashiq Muhamed,
    Oscar Li, David Woodruff, Mona Diab, Virginia Smith, 2024, https://arxiv.org/abs/2406.17660
    """
    if chosen is None:
        return rule(u), None
    if refresh and noise is not None:
        lying = laid(u)
        chance = _uniform(lying(noise)[..., :, 0])
        worth = power * _sizes(lying(u)).clamp(min=torch.finfo(u.dtype).tiny).log() - (-chance.log()).log()
        chosen = worth.topk(chosen.shape[-1], sorted=False).indices.to(chosen.dtype)
    return _in_rows(rule, u, chosen, None, scale, refresh, age), chosen


@transform(
    invariant=("sign",),
    scope="tensor",
    holds=("rule",),
    space=("rank&short", "long"),
    only={"noise": "refresh"},
    chosen=rows_kept,
    weight=basis("rank&short", when=matrices),
)
def in_weighted_rows(
    u: Tensor, noise: Tensor | None, rule: Any, chosen: Tensor | None, weight: Tensor | None, *,
    rank: int, scale: float = 1.0, power: float = 1.0, refresh: bool = True, age: float = 1.0,
) -> Any:  # fmt: skip
    """Any rule, run on ``rank`` rows drawn with replacement, weighted so that PPᵀu is u in expectation.

        where ``refresh`` holds: rows σⱼ ~ q, qᵢ ∝ ‖uᵢ‖^power;  ρⱼ ← 1/√(r q_σⱼ);  the rule begins anew
        u ← scale · P rule(Pᵀ u),  P = [ρ₁ e_σ₁, …, ρᵣ e_σᵣ]

    E‖PPᵀu - u‖² is least where chances are in proportion to norms, power = 1 (the authors' theorem).

    Reference: "Grass: Compute Efficient Low-Memory LLM Training with Structured Sparse Gradients", Aashiq Muhamed,
    Oscar Li, David Woodruff, Mona Diab, Virginia Smith, 2024, https://arxiv.org/abs/2406.17660
    """
    if chosen is None or weight is None:
        return rule(u), None, None
    if refresh and noise is not None:
        lying, r = laid(u), chosen.shape[-1]
        sizes = _sizes(lying(u))
        sizes = torch.where((sizes > 0).any(-1, keepdim=True), sizes, 1.0)
        sizes = sizes / sizes.amax(-1, keepdim=True)
        worth = where(power == 0, torch.ones_like(sizes), sizes**power)
        q = worth / worth.sum(-1, keepdim=True)
        below = q.cumsum(-1).unsqueeze(-2) <= _uniform(lying(noise)[..., 0, :r]).unsqueeze(-1)
        drawn: Tensor = below.sum(-1).clamp(max=q.shape[-1] - 1)
        chosen = drawn.to(chosen.dtype)
        weight = (r * q.gather(-1, drawn).clamp(min=torch.finfo(u.dtype).tiny)).rsqrt()
    return _in_rows(rule, u, chosen, weight, scale, refresh, age), chosen, weight


def _uniform(normal: Tensor) -> Tensor:
    """Numbers inside (0, 1) from standard normal ones."""
    tiny = torch.finfo(normal.dtype).eps
    return (0.5 * (1 + torch.erf(normal / math.sqrt(2.0)))).clamp(tiny, 1 - tiny)
