"""What one step does to one matrix, found by running its rules on tensors without memory.

Nothing is declared for it: an algorithm is written once, so its matrix products are counted where they stand, and a
slot that a rule returns as it came is not written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from .._chain import INPUTS, Chain, sensed_shapes
from .._checkpoint import new_states
from .._leaf import Leaf
from .._plan import Stage, plan
from .._program import Frame, resolve, run, sum_key

WINDOW = 1000  # steps over which refreshes are averaged
NOT_TENSORS = ("step", "loss", "dot", "peak")


@dataclass(frozen=True)
class Work:
    """One stage of a chain on one matrix, averaged over steps: flops of its products and factorizations, and how often
    each slot is read and written."""

    stage: Stage
    flops: float
    reads: dict[str, float]
    writes: dict[str, float]

    @property
    def inputs(self) -> set[str]:
        """The tensors it asks for beside the update."""
        return {i for i in self.stage.inputs if i not in NOT_TENSORS}

    @property
    def heads(self) -> list[Stage]:
        """What is run beforehand, for sums over the tree and over a tensor that will be cut up."""
        return [*self.stage.meetings.values(), *self.stage.heads.values()]


Often = dict[tuple[Any, ...], tuple[int, int, list[Any]]]


def structures(chain: Chain) -> Often:
    """The chain's structures in a window of steps: how often each occurs, its first step, and the numbers then."""
    found: Often = {}
    for t in range(1, WINDOW + 1):
        numbers: list[Any] = []
        structure = resolve(chain, t, numbers)
        count, first, then = found.get(structure, (0, t, numbers))
        found[structure] = count + 1, first, then
    return found


def works(chain: Chain, often: Often, m: int, n: int, dtype: torch.dtype) -> list[Work]:
    """The stages of the chain's ordinary step on an m × n matrix."""
    leaf = Leaf("", torch.empty(m, n, dtype=dtype, device="meta", requires_grad=True), {})
    leaf.state = new_states(chain, [leaf])[0]
    found = [
        [_work(stage, leaf, step, numbers) for stage in plan(structure)]
        for structure, (_, step, numbers) in often.items()
    ]
    counts = [count for count, _, _ in often.values()]
    return [_mean(list(each), counts) for each in zip(*found, strict=True)]


def _work(stage: Stage, leaf: Leaf, step: int, numbers: list[Any]) -> Work:
    slots = {n: leaf.state.get(n) for s in stage.steps for n in s.slots}
    if stage.kind in ("tree", "search"):
        kept = {n: 1.0 for n, value in slots.items() if value is not None}
        return Work(stage, 0.0, kept, kept)
    u = torch.empty_like(leaf.param, dtype=leaf.dtype)
    env: dict[Any, Any] = {name: torch.empty_like(u) for name in INPUTS if name not in NOT_TENSORS}
    env |= {name: u.new_empty(shape) for name, shape in sensed_shapes(*u.shape).items()}
    env["loss"] = u.new_empty(())
    env |= {sum_key(s, name): u.new_empty(()) for s in stage.steps for name in s.tree_sums}
    frame = Frame({**env, "step": step}, dict(slots))
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=FACTORIZATIONS) as counter:
        run(stage.steps, u, frame, numbers)
    reads = {n: 1.0 for n, value in slots.items() if value is not None}
    return Work(stage, counter.get_total_flops(), reads, dict.fromkeys(frame.changed, 1.0))


def _mean(works: list[Work], often: list[int]) -> Work:
    def mean(name: str) -> dict[str, float]:
        counts = [getattr(w, name) for w in works]
        names = dict.fromkeys(n for c in counts for n in c)
        return {
            n: sum(k * c.get(n, 0.0) for k, c in zip(often, counts, strict=True)) / sum(often) for n in names
        }

    flops = sum(k * w.flops for k, w in zip(often, works, strict=True)) / sum(often)
    return Work(works[0].stage, flops, mean("reads"), mean("writes"))


# Golub and Van Loan, "Matrix Computations", 4th ed. 2013: algorithms 8.3.3 (with eigenvectors), 5.2.1 and section 5.1.6
# (Householder QR, then its factor written out), figure 8.6.1 (thin singular value decomposition)


def _eigh(shape: torch.Size, *_: Any, **__: Any) -> int:
    return 9 * shape[:-1].numel() * shape[-1] ** 2


def _qr(shape: torch.Size, *_: Any, **__: Any) -> int:
    m, n = max(shape[-2:]), min(shape[-2:])
    return shape[:-2].numel() * (4 * m * n * n - 4 * n**3 // 3)


def _svd(shape: torch.Size, *_: Any, **__: Any) -> int:
    m, n = max(shape[-2:]), min(shape[-2:])
    return shape[:-2].numel() * (6 * m * n * n + 20 * n**3)


FACTORIZATIONS = {
    torch.ops.aten._linalg_eigh: _eigh,
    torch.ops.aten.linalg_qr: _qr,
    torch.ops.aten._linalg_svd: _svd,
}
