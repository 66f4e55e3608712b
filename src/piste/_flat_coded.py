"""Element stages over slots that are kept in fewer bits: decode, rules and encode as one kernel.

Tensors are seen as [k, B], one row for each block, so that the largest entry of a block is a reduction over a row and
what is decoded never leaves the caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _compile
from ._coding import Coding
from ._leaf import Leaf
from ._pass import Pass, finish
from ._program import Frame, run

if TYPE_CHECKING:
    from ._plan import Lane, Stage

ROWS = (
    2048  # at a time: what the compiler's loops hand to one another stays in the caches (3 to 4 times faster)
)
_kernels: dict[Any, _compile.Kernel] = {}


def run_coded(
    stage: Stage, lane: Lane, leaf: Leaf, u: Tensor, given: Pass, prepared: dict[Any, Any]
) -> Tensor | None:
    """Run the stage on a parameter some of whose slots are coded; the new update (the last stage writes the parameter
    instead). None: it cannot be one kernel (blocks of several lengths, a layout of its own)."""
    slots = [n for s in stage.steps for n in s.slots if n in leaf.state]
    codings = {n: leaf.codings[n] for n in slots if n in leaf.codings}
    tensors: dict[Any, Tensor] = {"u": u}
    for name in stage.inputs - {"step", "loss"}:
        found = given.gradients[leaf.name] if name == "grad" else leaf.param if name == "param" else None
        if found is None:
            return None
        tensors[name] = found
    for name in slots:
        if name in codings:
            tensors |= {("part", name, suffix): part for suffix, part in leaf.parts(name).items()}
        else:
            tensors["slot", name] = leaf.stored(name)
    rows = {leaf.stored(f"{n}.scale").numel() for n, c in codings.items() if "scale" in c.parts} or {
        leaf.numel // 256
    }
    k = rows.pop()
    alike = leaf.plain and leaf.inplace and all(t.is_contiguous() and t.dim() for t in tensors.values())
    if rows or not alike or k < 2 or leaf.numel % k or any(t.numel() % k for t in tensors.values()):
        return None
    widths = [t.numel() // k for t in tensors.values()]
    kinds = tuple((name, t.dtype, w) for (name, t), w in zip(tensors.items(), widths, strict=True))
    key = (stage.key, u.device, leaf.dtype, kinds, tuple((n, c.codec) for n, c in codings.items()))
    kernel = _kernels.get(key)
    if kernel is None:
        pure = _pure(stage, list(tensors), codings, slots, leaf)
        name = "_".join(["coded", *(s.transform.name for s in stage.steps)])
        kernel = _kernels[key] = _compile.Kernel(
            name, pure, list(tensors.values()), len(lane.numbers) + 1, widths
        )
    if key not in prepared:
        prepared[key] = kernel.prepare([float(lane.step), *lane.numbers])
    pieces = -(-k // ROWS)
    rows_of = [t.view(k, -1).tensor_split(pieces) for t in tensors.values()]
    results = [kernel.run_rows(part[0].shape[0], part, prepared[key]) for part in zip(*rows_of, strict=True)]
    return torch.cat([r[0] for r in results]).view(leaf.param.shape) if results[0] else u


def _pure(
    stage: Stage, names: list[Any], codings: dict[str, Coding], slots: list[str], leaf: Leaf
) -> _compile.PureStage:
    dtype = leaf.dtype

    def pure(args: Sequence[Tensor], values: Sequence[Any]) -> tuple[dict[int, Tensor], list[Tensor]]:
        given = dict(zip(names, args, strict=True))
        parts = {n: {s: given["part", n, s] for s in c.parts} for n, c in codings.items()}
        kept = {
            n: codings[n].codec.decode(parts[n]).to(dtype) if n in codings else given["slot", n]
            for n in slots
        }
        env = {k: v.to(dtype) for k, v in given.items() if isinstance(k, str)}
        frame = Frame({**env, "step": values[0]}, kept)
        result = finish(stage, run(stage.steps, env["u"], frame, values[1:]), env)
        writes: dict[int, Tensor] = {}
        for n in sorted(frame.changed):
            if n in codings:
                new = codings[n].codec.encode(frame.slots[n].float(), parts[n])
                writes |= {names.index(("part", n, s)): part for s, part in new.items()}
            else:
                writes[names.index(("slot", n))] = frame.slots[n]
        if stage.last:
            return {**writes, names.index("param"): result}, []
        return writes, [result]

    return pure
