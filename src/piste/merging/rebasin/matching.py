"""Permutations that bring one network's units to another's: by their weights, or by what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..._registry import register
from ..running import merge
from .symmetry import Symmetries, spread


def assigned(likeness: Tensor) -> Tensor:
    """The order of columns that makes the sum over rows largest: one column for each row."""
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(likeness.double().cpu().numpy(), maximize=True)
    return torch.from_numpy(columns)


def match_weights(
    found: Symmetries, a: Mapping[str, Tensor], b: Mapping[str, Tensor], generator: torch.Generator | None = None,
    start: Sequence[Tensor] | None = None, sweeps: int = 100,
) -> list[Tensor]:  # fmt: skip
    """Orders of b's units that make Σ ⟨w_a, π(w_b)⟩ larger and larger until no group alone can make it larger.

    Each group in turn, in random order, solves a linear assignment with the others as they are: a local optimum of a
    problem whose best solution is hard to find; with one hidden layer it is the best. ``start``: orders to begin with.

    Reference: "Git Re-Basin: Merging Models modulo Permutation Symmetries", Samuel K. Ainsworth, Jonathan Hayase,
    Siddhartha Srinivasa, 2022, https://arxiv.org/abs/2209.04836, algorithm 1
    """
    orders = found.identity() if start is None else [o.clone() for o in start]
    owners: dict[str, list[tuple[int, int, int]]] = {}
    for p, axes in enumerate(found.groups):
        for name, axis, block in axes:
            owners.setdefault(name, []).append((p, axis, block))
    for _ in range(sweeps):
        moved = False
        for p in torch.randperm(len(orders), generator=generator).tolist():
            n = found.sizes[p]
            likeness = torch.zeros(n, n, dtype=torch.float64)
            for name, axis, _ in found.groups[p]:
                others = b[name]
                for q, at, block in owners[name]:
                    if at != axis:
                        others = others.index_select(at, spread(orders[q], block))
                mine, its = (t.movedim(axis, 0).reshape(n, -1).double() for t in (a[name], others))
                likeness += mine @ its.mT
            order = assigned(likeness)
            gain = likeness[torch.arange(n), order].sum() - likeness[torch.arange(n), orders[p]].sum()
            if gain > 1e-12 * likeness.abs().sum():
                orders[p], moved = order, True
        if not moved:
            break
    return orders


@torch.no_grad()
def match_activations(
    found: Symmetries, model_a: nn.Module, model_b: nn.Module, batches: Iterable[Any]
) -> list[Tensor]:
    """Orders of b's units that make them answer most alike a's: each group for itself maximises Σ ⟨z_a, π(z_b)⟩.

    z are the values where a group begins (for a residual stream its first layer), not centred, over all samples and
    positions.

    Reference: "Git Re-Basin: Merging Models modulo Permutation Symmetries", Samuel K. Ainsworth, Jonathan Hayase,
    Siddhartha Srinivasa, 2022, https://arxiv.org/abs/2209.04836, section 3.1
    """
    sums = [torch.zeros(n, n, dtype=torch.float64) for n in found.sizes]
    both = [_showing(m, [name for name, _ in found.outputs]) for m in (model_a, model_b)]
    seen = 0
    for batch in batches:
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        za, zb = (shown(x) for shown in both)
        for total, (name, axis) in zip(sums, found.outputs, strict=True):
            u, v = (z[name].movedim(axis, 0).flatten(1).double() for z in (za, zb))
            total += u @ v.mT
        seen += len(x)
    if not seen:
        raise ValueError("match_activations: there are no batches to see")
    return [assigned(total) for total in sums]


def _showing(model: nn.Module, names: Sequence[str]) -> nn.Module:
    """The module with the values of these nodes for its output."""
    traced = fx.symbolic_trace(model.eval())
    found = {node.name: node for node in traced.graph.nodes if node.name in names}
    for node in traced.graph.nodes:
        if node.op == "output":
            node.args = (found,)
    traced.recompile()
    return traced


def merge_many(
    found: Symmetries, models: Sequence[Mapping[str, Tensor]], generator: torch.Generator | None = None,
    sweeps: int = 100,
) -> dict[str, Tensor]:  # fmt: skip
    """The mean of several networks after each was matched to the mean of the others, in turn, until none moves.

    Reference: "Git Re-Basin: Merging Models modulo Permutation Symmetries", Samuel K. Ainsworth, Jonathan Hayase,
    Siddhartha Srinivasa, 2022, https://arxiv.org/abs/2209.04836, algorithm 3
    """
    if len(models) < 2:
        raise ValueError(f"merge_many merges two models or more; got {len(models)}")
    now = [dict(m) for m in models]
    for _ in range(sweeps):
        moved = False
        for i in torch.randperm(len(now), generator=generator).tolist():
            rest = merge("soup", [m for j, m in enumerate(now) if j != i])
            orders = match_weights(found, rest, now[i], generator)
            if any(not torch.equal(o, torch.arange(len(o))) for o in orders):
                now[i], moved = found.apply(now[i], orders), True
        if not moved:
            break
    return merge("soup", now)


register("merge", "match_weights", match_weights)
register("merge", "match_activations", match_activations)
register("merge", "merge_many", merge_many)
