"""Element stages over slots and weights that are kept in fewer bits: decode, rules and encode as one kernel.

Tensors are seen as [k, B], one row for each block, so that the largest entry of a block is a reduction over a row and
what is decoded never leaves the caches. Where codes come four to a word (`_storage.words`) every row is worked on in
four pieces, its quarters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _compile
from ._coding import key
from ._leaf import Leaf
from ._pass import Pass, finish
from ._program import Frame, run
from ._storage import QUARTERS, Cast, Words
from ._sums import add_up, join

if TYPE_CHECKING:
    from ._plan import Lane, Stage

# rows at a time: where the compiler's loops are not one per row, what they hand to one another stays in the caches
ROWS = 8192
ALONE = 256  # entries in a row where nothing has a scale
_kernels: dict[Any, _compile.Kernel] = {}


def run_coded(
    stage: Stage,
    lane: Lane,
    leaf: Leaf,
    u: Tensor,
    given: Pass,
    prepared: dict[Any, Any],
    sums: dict[Any, Tensor],
) -> Tensor | None:
    """Run the stage on a parameter of which something is coded; the new update (the last stage writes the parameter
    instead). None: it cannot be one kernel (blocks of several lengths, a layout of its own)."""
    results = _results(stage, lane, leaf, u, given, prepared, sums)
    if results is None or not results[0]:
        return None if results is None else u
    return torch.cat([torch.cat(pieces, -1) for pieces in results]).view(leaf.param.shape)


def sum_coded(
    head: Stage,
    lane: Lane,
    leaf: Leaf,
    u: Tensor,
    given: Pass,
    prepared: dict[Any, Any],
    sums: dict[Any, Tensor],
) -> list[Tensor] | None:
    """As :func:`run_coded`, the sums of a head."""
    results = _results(head, lane, leaf, u, given, prepared, sums)
    return None if results is None else join(head.rules, results)


def _results(
    stage: Stage,
    lane: Lane,
    leaf: Leaf,
    u: Tensor,
    given: Pass,
    prepared: dict[Any, Any],
    sums: dict[Any, Tensor],
) -> list[list[Tensor]] | None:
    """What the kernel returns, some rows at a time."""
    moving = _moving(stage, lane, leaf, u, given)
    if "loss" in stage.inputs:
        sums = {**sums, ("loss",): given.input("loss", leaf, lane)}  # of no shape, as they are
    layout = leaf.layouts.get(stage.key)
    if layout is None or not layout.holds(leaf, moving):
        standing = _standing(stage, leaf)
        layout = None if standing is None else _Layout.of(stage, leaf, {**moving, **standing})
        if layout is None:
            return None
        leaf.layouts[stage.key] = layout
    layout.place(moving)
    if layout.kernel is None:
        layout.kernel = _kernel_of(stage, lane, leaf, layout, sums)
    kernel = layout.kernel
    if id(kernel) not in prepared:
        prepared[id(kernel)] = kernel.prepare([float(lane.step), *lane.numbers])
    ready, given_sums = prepared[id(kernel)], list(sums.values())
    results = [kernel.run_rows(part[0].shape[0], [*part, *given_sums], ready) for part in layout.parts]
    layout.forget(moving)
    return results


def _kernel_of(
    stage: Stage, lane: Lane, leaf: Leaf, layout: _Layout, sums: dict[Any, Tensor]
) -> _compile.Kernel:
    codecs = tuple((n, c.codec) for n, c in leaf.codings.items())
    tensors, names = [*layout.parts[0], *sums.values()], [*layout.names, *((key, 0) for key in sums)]
    # entries in a row, and from one row to the next
    widths = [(t.shape[1], t.stride(0)) if t.dim() else (0, 0) for t in tensors]
    kinds = tuple(zip(names, [t.dtype for t in tensors], widths, strict=True))
    kind = (stage.key, leaf.param.device, leaf.dtype, kinds, codecs, leaf.weight)
    if kind not in _kernels:
        pure = _Pure(stage, names, layout.pieces, leaf)
        _kernels[kind] = _compile.Kernel(f"coded_{stage.name}", pure, tensors, len(lane.numbers) + 1, widths)
    return _kernels[kind]


@dataclass
class _Layout:
    """What a kernel is given: tensors [k, width] by name and, in pieces, by number of the piece; some rows at a time.

    Names: an input ("u", "grad", "param"), ("slot", name, ""), ("part", name, suffix), ("weight", suffix). Kept from
    step to step, for most of it stands still: making it costs as much as a million entries' arithmetic.
    """

    rows: int
    pieces: int
    names: list[Any]
    parts: list[list[Tensor]]
    seen: dict[Any, Tensor]  # the tensors it was made of
    kernel: _compile.Kernel | None = None

    @classmethod
    def of(cls, stage: Stage, leaf: Leaf, found: dict[Any, Tensor]) -> _Layout | None:
        codecs = [c.codec for n, c in leaf.codings.items() if n in stage.slots]
        sizes = {t.numel() for name, t in found.items() if name[-1] == "scale"} or {leaf.numel // ALONE}
        k = sizes.pop()
        if sizes or k < 2 or any(t.numel() % k for t in found.values()):
            return None
        if not (leaf.plain and leaf.inplace and all(t.is_contiguous() and t.dim() for t in found.values())):
            return None
        words = {n for n, c in leaf.codings.items() if isinstance(c.codec, Words)}
        if words and not all(isinstance(c, (Words, Cast)) for c in codecs):
            return None  # codes that come in other pieces
        made = cls(k, QUARTERS if words else 1, [], [[] for _ in range(-(-k // ROWS))], found)
        for name, t in found.items():
            whole = name[0] == "part" and name[1] in words and name[2] == ""
            cut = made._cut(t.view(torch.float32) if whole else t, 1 if whole else made.pieces)
            made.names += [(name, i) for i in range(len(cut))]
            for part, rows in zip(made.parts, zip(*cut, strict=True), strict=True):
                part += rows
        return made

    def _cut(self, tensor: Tensor, pieces: int) -> list[Sequence[Tensor]]:
        """The pieces, each as some rows at a time. Words are seen as floats: compilers load those whole, and whole
        numbers by the byte."""
        rows = tensor.view(self.rows, -1)
        cut = [rows] if rows.shape[1] == 1 else rows.view(self.rows, pieces, -1).unbind(1)
        return [piece.tensor_split(len(self.parts)) for piece in cut]

    def holds(self, leaf: Leaf, moving: dict[Any, Tensor]) -> bool:
        """Whether it was made of what the leaf keeps now, and this step's own tensors are alike."""
        for name, t in self.seen.items():
            if name in moving:
                new = moving[name]
                if new.dtype is not t.dtype or new.shape != t.shape or not new.is_contiguous():
                    return False
            elif name[0] in ("slot", "part") and leaf.stored(key(*name[1:])) is not t:
                return False
        return moving.keys() <= self.seen.keys()

    def place(self, moving: dict[Any, Tensor]) -> None:
        """Put this step's own tensors where they belong."""
        for name, t in moving.items():
            start = self.names.index((name, 0))
            for i, several in enumerate(self._cut(t, self.pieces)):
                for part, rows in zip(self.parts, several, strict=True):
                    part[start + i] = rows

    def forget(self, moving: dict[Any, Tensor]) -> None:
        """Hold on to no gradient: what is kept in its place has no memory."""
        for name, t in moving.items():
            self.seen[name] = t.to("meta") if self.seen[name] is t else self.seen[name]
            start = self.names.index((name, 0))
            for part in self.parts:
                part[start : start + self.pieces] = [self.seen[name]] * self.pieces


def _moving(stage: Stage, lane: Lane, leaf: Leaf, u: Tensor, given: Pass) -> dict[Any, Tensor]:
    """What comes anew in every step."""
    found: dict[Any, Tensor] = {("u",): u}
    if "grad" in stage.inputs:
        found["grad",] = given.gradients[leaf.name]
    if stage.last and leaf.weight is not None and leaf.weight.noisy:
        found["weight", "noise"] = given.rounding(leaf, lane)
    return found


def _standing(stage: Stage, leaf: Leaf) -> dict[Any, Tensor] | None:
    """What is written in place; None if the stage asks for what has no such form."""
    if stage.inputs - {"step", "loss", "grad", "param"}:
        return None
    found: dict[Any, Tensor] = {}
    if "param" in stage.inputs and leaf.weight is None:
        found["param",] = leaf.param
    elif "param" in stage.inputs:
        found |= {("weight", suffix): part for suffix, part in leaf.weight_parts().items()}
    for name in [n for n in stage.slots if n in leaf.codings or n in leaf.state]:
        if name in leaf.codings:
            found |= {("part", name, suffix): part for suffix, part in leaf.parts(name).items()}
        else:
            found["slot", name, ""] = leaf.stored(name)
    return found


class _Pure:
    """The stage as a pure function of a layout's tensors: every piece of a row by itself, but for what a codec wants to
    know of the whole row."""

    def __init__(self, stage: Stage, names: list[Any], pieces: int, leaf: Leaf) -> None:
        self.stage, self.names, self.pieces, self.dtype = stage, names, pieces, leaf.dtype
        held = {name[1] for name, _ in names if name[0] in ("slot", "part")}
        self.slots = [n for n in stage.slots if n in held]
        self.codecs = {n: leaf.codings[n].codec for n in self.slots if n in leaf.codings}
        self.weight = leaf.weight

    def __call__(
        self, args: Sequence[Tensor], values: Sequence[Any]
    ) -> tuple[dict[int, Tensor], list[Tensor]]:
        given = dict(zip(self.names, args, strict=True))
        kept = {n: self._read(n, given) for n in self.slots}
        sums: dict[Any, Any] = {name: t for (name, _), t in given.items() if name[0] == "sum"}
        if (("loss",), 0) in given:
            sums["loss"] = given[("loss",), 0]
        frames, results = [], []
        for i in range(self.pieces):
            env: dict[Any, Any] = {
                name[0]: t.to(self.dtype) for (name, j), t in given.items() if j == i and len(name) == 1
            }
            if self.weight is not None and "param" in self.stage.inputs:
                env["param"] = self.weight.decode(_parts(given, ("weight",), i)).to(self.dtype)
            frame = Frame({**env, **sums, "step": values[0]}, {n: pieces[i] for n, pieces in kept.items()})
            result = run(self.stage.steps, env["u"], frame, values[1:])
            if self.stage.rules:
                results.append(add_up(self.stage, result, frame, values[1:]))
            else:
                results.append(finish(self.stage, result, env))
            frames.append(frame)
        if self.stage.rules:
            return {}, join(self.stage.rules, results)
        writes: dict[Any, Tensor] = {}
        for n in sorted(frames[0].changed):
            writes |= self._written(n, [frame.slots[n] for frame in frames], given)
        if self.stage.last:
            for i, value in enumerate(results):
                writes |= self._new_weight(value, given, i)
            results = []
        return {self.names.index(name): value for name, value in writes.items()}, results

    def _read(self, name: str, given: dict[Any, Tensor]) -> list[Tensor]:
        """A slot, piece by piece."""
        codec = self.codecs.get(name)
        if codec is None:
            return [given[("slot", name, ""), i] for i in range(self.pieces)]
        if isinstance(codec, Words):
            words = given[("part", name, ""), 0].view(torch.int32)
            return [x.to(self.dtype) for x in codec.read(words, given[("part", name, "scale"), 0])]
        several = [_parts(given, ("part", name), i) for i in range(self.pieces)]
        return [codec.decode(parts).to(self.dtype) for parts in several]

    def _written(self, name: str, new: list[Tensor], given: dict[Any, Tensor]) -> dict[Any, Tensor]:
        """What is to be kept of a slot's new pieces."""
        codec = self.codecs.get(name)
        if codec is None:
            return {(("slot", name, ""), i): value for i, value in enumerate(new)}
        if isinstance(codec, Words):
            words, scale = codec.write([x.float() for x in new])
            return {(("part", name, ""), 0): words.view(torch.float32), (("part", name, "scale"), 0): scale}
        found = {}
        for i, value in enumerate(new):
            parts = codec.encode(value.float(), _parts(given, ("part", name), i))
            found |= {(("part", name, suffix), i): part for suffix, part in parts.items()}
        return found

    def _new_weight(self, value: Tensor, given: dict[Any, Tensor], i: int) -> dict[Any, Tensor]:
        if self.weight is None:
            return {(("param",), i): value}
        parts = _parts(given, ("weight",), i)
        new = self.weight.encode(value.float(), parts, parts.pop("noise", None))
        return {(("weight", suffix), i): part for suffix, part in new.items()}


def _parts(given: dict[Any, Tensor], start: tuple[str, ...], i: int) -> dict[str, Tensor]:
    """The parts of something coded, by suffix, of piece ``i`` (a scale is whole)."""
    return {
        name[-1]: t
        for (name, j), t in given.items()
        if name[:-1] == start and (j == i or name[-1] == "scale")
    }
