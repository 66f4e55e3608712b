"""What a step did: update and weight sizes by role, the effective rate, what was clipped or skipped.

Off, and free, until ``opt.metrics(on=True)``; then every step keeps a copy of the weights to compare with.
"""

from __future__ import annotations

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
    """Sums of squares of the last step, by role."""

    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    probes: dict[str, list[float]] = field(default_factory=dict)


@contextmanager
def watch(metrics: Metrics | None, lanes: Sequence[Lane], gradients: Mapping[str, Tensor]) -> Iterator[None]:
    """Measure the step that runs inside."""
    if metrics is None:
        yield
        return
    before = [[leaf.param.detach().clone() for leaf in lane.leaves] for lane in lanes]
    probes: list[tuple[Any, str]] = []
    for lane in lanes:
        names = [
            n
            for stage in lane.stages
            for s in stage.steps
            for n, slot in s.slots.items()
            if slot.kind == "probe"
        ]
        for leaf in lane.leaves:
            leaf.probes = {n: torch.zeros((), dtype=torch.float64) for n in names}
            probes += [(leaf, n) for n in names]
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
    for leaf, n in probes:
        metrics.probes.setdefault(n.rpartition(".")[2], []).append(float(leaf.probes[n]))
    for leaf, _ in probes:
        leaf.probes = {}


def _square(t: Tensor) -> Tensor:
    return torch.linalg.vector_norm((torch.view_as_real(t) if t.is_complex() else t).double()).square()


def read(optimizer: Optimizer, on: bool | None) -> dict[str, Any]:
    """``{"skipped_steps", "clipped_share", "lr": {...}, "roles": {role: {"update_rms", "weight_rms", "ratio",
    "effective_lr"}}}``.

    ``ratio`` is update RMS / weight RMS; ``effective_lr`` is update RMS / gradient RMS, the rate a plain gradient step
    of that size would have had. ``clipped_share``: over parameters, the mean share that the chain's clipping touched
    (None when the chain does not clip); so with every probe, such as Shampoo's ``recovered_share``.
    """
    if on is not None:
        optimizer._metrics = Metrics() if on else None
    result: dict[str, Any] = {"skipped_steps": optimizer.skipped_steps}
    result["lr"] = {f"{i}.{g['optimizer']}": float(g["lr"]) for i, g in enumerate(optimizer.param_groups)}
    metrics = optimizer._metrics
    if metrics is None:
        return result
    result["clipped_share"] = None
    result |= {f"{n}_share": sum(seen) / len(seen) for n, seen in metrics.probes.items()}
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
