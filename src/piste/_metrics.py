"""What a step did: update and weight sizes by role, the effective rate, what was clipped or skipped.

Off, and free, until ``opt.metrics(on=True)``; then every step keeps a copy of the weights to compare with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._plan import Lane

if TYPE_CHECKING:
    from ._optimizer import Optimizer


@dataclass
class Metrics:
    """Sums of squares of the last step, by role; what its probes showed, by name and role, one number for each
    parameter that has one; and what counters have counted since the metrics were switched on."""

    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    probes: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    counts: dict[str, dict[str, float]] = field(default_factory=dict)


@contextmanager
def watch(metrics: Metrics | None, lanes: Sequence[Lane], gradients: Mapping[str, Tensor]) -> Iterator[None]:
    """Measure the step that runs inside."""
    if metrics is None:
        yield
        return
    before = [[leaf.param.detach().clone() for leaf in lane.leaves] for lane in lanes]
    probes: list[tuple[Any, str, bool]] = []
    for lane in lanes:
        slots = [
            (n, slot.adds)
            for stage in lane.stages
            for s in stage.steps
            for n, slot in s.slots.items()
            if slot.kind == "probe"
        ]
        for leaf in lane.leaves:
            leaf.probes = {
                n: torch.full((), torch.nan, dtype=torch.float64) for n, _ in slots
            }  # nothing said yet
            probes += [(leaf, n, adds) for n, adds in slots]
    yield
    metrics.rows.clear()
    for lane, olds in zip(lanes, before, strict=True):
        places = [leaf.place for leaf in lane.leaves]
        found = {
            "update": [leaf.param.detach() - old for leaf, old in zip(lane.leaves, olds, strict=True)],
            "weight": olds,
            "grad": [gradients[leaf.name] for leaf in lane.leaves],
        }
        squares = {k: sharding.totals([*map(_square, ts)], places, "sum") for k, ts in found.items()}
        for i, leaf in enumerate(lane.leaves):
            row = metrics.rows.setdefault(leaf.role or "all", dict.fromkeys(("n", *found), 0.0))
            row["n"] += leaf.shape.numel()
            for name, values in squares.items():
                row[name] += float(values[i])
    metrics.probes.clear()
    for leaf, n, adds in probes:
        _note(metrics, n.rpartition(".")[2], leaf.role or "all", float(leaf.probes[n]), adds)
    for leaf, _, _ in probes:
        leaf.probes = {}


def _note(metrics: Metrics, name: str, role: str, value: float, adds: bool) -> None:
    """Put down what one probe has shown of one parameter; one that had nothing to say has nan."""
    if math.isnan(value):
        return
    if adds:
        counts = metrics.counts.setdefault(name, {})
        counts[role] = counts.get(role, 0.0) + value
    else:
        metrics.probes.setdefault(name, {}).setdefault(role, []).append(value)


def _square(t: Tensor) -> Tensor:
    return torch.linalg.vector_norm((torch.view_as_real(t) if t.is_complex() else t).double()).square()


def read(optimizer: Optimizer, on: bool | None) -> dict[str, Any]:
    """``{"skipped_steps", "clipped_share", "lr": {...}, "roles": {role: {"update_rms", "weight_rms", "ratio",
    "effective_lr"}}, "probes": {name: {role: number}}}``.

    ``ratio`` is update RMS / weight RMS; ``effective_lr`` is update RMS / gradient RMS, the rate a plain gradient step
    of that size would have had. ``clipped_share``: over parameters, the mean share that the chain's clipping touched
    (None when the chain does not clip). ``probes``: what the chain's other diagnostics showed (such as how many roots
    ``recovered``), the mean over a role's parameters; of counters the sum, over the steps since the metrics were
    switched on.
    """
    if on is not None:
        optimizer._metrics = Metrics() if on else None
    result: dict[str, Any] = {"skipped_steps": optimizer.skipped_steps}
    result["lr"] = {f"{i}.{g['optimizer']}": float(g["lr"]) for i, g in enumerate(optimizer.param_groups)}
    metrics = optimizer._metrics
    if metrics is None:
        return result
    clipped = [x for values in metrics.probes.get("clipped", {}).values() for x in values]
    result["clipped_share"] = sum(clipped) / len(clipped) if clipped else None
    result["probes"] = {name: dict(by_role) for name, by_role in metrics.counts.items()}
    for name, by_role in metrics.probes.items():
        if name != "clipped":
            result["probes"][name] = {role: sum(values) / len(values) for role, values in by_role.items()}
    result["roles"] = {}
    for role, row in metrics.rows.items():
        update, weight, grad = ((row[k] / row["n"]) ** 0.5 for k in ("update", "weight", "grad"))
        result["roles"][role] = {
            "update_rms": update,
            "weight_rms": weight,
            "ratio": update / weight if weight else float("inf"),
            "effective_lr": update / grad if grad else float("nan"),
        }
    return result
