"""Where the whole tree meets: the oracle before the stages, and rules and searches over everything at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _sharding as sharding
from ._chain import OF_TREE, Chain, Part
from ._evaluate import Evaluate
from ._leaf import Leaf
from ._noise import normal, stream
from ._pass import Pass
from ._plan import Meeting
from ._program import Frame, Step, run
from ._slots import Slot

if TYPE_CHECKING:
    from ._optimizer import Optimizer


_layout, _name = operator.attrgetter("layout"), operator.attrgetter("name")


class Multipass:
    """One step's closure, and what its evaluations gave."""

    def __init__(
        self,
        leaves: list[Leaf],
        oracle: Part | None,
        multi: bool,
        closure: Callable[[], Any] | None,
        seed: int,
        senses: Any = None,
    ) -> None:
        self.leaves, self.oracle, self.multi, self.closure = leaves, oracle, multi, closure
        self.seed, self.senses = seed, senses
        self.places = [leaf.place for leaf in leaves]
        self.evaluate = (
            Evaluate([leaf.given for leaf in leaves], closure, self.places, senses)
            if multi and closure is not None
            else None
        )
        self.groups: list[list[Leaf]] = []
        self.loss: Any = None
        self.grads: list[Tensor | None] = []
        self.extras: dict[str, Any] = {}
        self.kept: list[tuple[Leaf, str, Tensor]] = []  # what the oracle wants written, if the step is taken

    @classmethod
    def of(
        cls, chains: Sequence[Chain], optimizer: Optimizer, closure: Callable[[], Any] | None
    ) -> Multipass:
        oracles = [p for c in chains for p in c.room("oracle")]
        names = sorted({p.transform.name for p in oracles})
        if len(names) > 1:
            raise ValueError(
                f"the groups' chains have different oracles ({', '.join(names)}): an optimizer has one"
            )
        multi = any(c.needs_closure for c in chains)
        if multi and closure is None:
            who = names[0] if names else next(p.transform.name for c in chains for p in c.room("search"))
            raise ValueError(f"{optimizer.factory.name} evaluates the loss itself ({who}): call step(closure) with a "
                             "closure that computes the loss, calls backward and returns the loss "
                             "(piste.closure makes one)")  # fmt: skip
        groups = optimizer.leaves()
        everyone = [leaf for group in groups for leaf in group]
        made = cls(
            everyone, oracles[0] if oracles else None, multi, closure, optimizer.seed, optimizer._senses
        )
        made.groups = groups
        return made

    def local(self, values: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """By parameter, the parts that live here of what there is."""
        pairs = zip(self.leaves, values, strict=True)
        return {leaf.name: sharding.aligned(x, leaf.place) for leaf, x in pairs if x is not None}

    def keep(self) -> None:
        """Write the oracle's slots: the step is taken."""
        for leaf, name, value in self.kept:
            leaf.write(name, value)

    def gradients(self) -> tuple[Any, dict[str, Tensor]]:
        """(the loss or None, the gradients by parameter name)."""
        if self.evaluate is None:
            if self.closure is not None:
                listens = nullcontext() if self.senses is None else self.senses.during(self.closure, True)
                with torch.enable_grad(), listens:
                    self.loss = self.closure()
            self.grads = [leaf.given.grad for leaf in self.leaves]
        elif self.oracle is None:
            self.loss, self.grads = self.evaluate()
        else:
            self.loss, self.grads = _run_oracle(self.oracle, self)
        if self.evaluate is not None:
            self.evaluate.finish()
        grads: Any = self.grads
        found: dict[str, Tensor] = dict(zip(map(_name, self.leaves), grads, strict=True))
        try:
            layouts = {*map(_layout, grads)}
        except AttributeError:  # some have none
            found = {n: g for n, g in found.items() if g is not None}
            layouts = {*map(_layout, found.values())}
        if layouts <= {torch.strided}:
            if any(self.places):
                where = {leaf.name: leaf.place for leaf in self.leaves}
                found = {n: sharding.aligned(g, where[n]) for n, g in found.items()}
            return self.loss, found
        name, g = next((n, g) for n, g in found.items() if g.layout is not torch.strided)
        raise ValueError(
            f"the gradient of {name!r} is sparse ({g.layout}): make it dense, e.g. nn.Embedding(sparse=False)"
        )


def _run_oracle(part: Part, multi: Multipass) -> tuple[Any, list[Tensor | None]]:
    t = part.transform
    given = {"evaluate": multi.evaluate, "params": [leaf.given.detach() for leaf in multi.leaves]}
    given["step"] = step = max(leaf.state["step"] for leaf in multi.leaves) + 1
    if "noise" in t.asks:
        given["noise"] = [_noise(leaf, stream(multi.seed, leaf.name, step)) for leaf in multi.leaves]
    for name, slot in t.slots.items():
        given[name] = (
            multi.leaves[0].read(name) if slot.shared else [_kept(leaf, name, slot) for leaf in multi.leaves]
        )
    hyper = {n: v(step) if callable(v) else v for n, v in part.hyper.items()}
    if t.whole and hyper.get(t.whole) and multi.evaluate is not None:
        multi.evaluate.refuse_exact()
    loss, grads, *new = t.fn(*(given[a] for a in t.asks), **hyper)
    further = [name for name in t.provides if name != "loss"]
    for name, values in zip(further, new, strict=False):
        multi.extras[name] = None if values is None else multi.local(values)
    new = new[len(further) :]
    for (name, slot), values in zip(t.slots.items(), new, strict=True):
        for i, leaf in enumerate(multi.leaves):
            # a group whose chain is without the oracle keeps nothing for it; what takes no step is left as it is
            if leaf.has(name) and grads[i] is not None:
                multi.kept.append((leaf, name, values if slot.shared else sharding.local(values[i])))
    return loss, list(grads)


def _kept(leaf: Leaf, name: str, slot: Slot) -> Tensor | None:
    """What an oracle finds in its slot: a whole tensor where the slot has the parameter's shape, and in a copy of the
    weights, before the first step, the weights. None where the chain is without the oracle."""
    if slot.kind == "weights" and leaf.state["step"] <= 0 and leaf.has(name):
        return leaf.given.detach()
    value = leaf.read(name)
    return value if value is None or slot.axes != "m n" else sharding.wrap(value, leaf.place)


def _noise(leaf: Leaf, key: int) -> Tensor:
    """Standard normal numbers in the parameter's shape and placement."""
    like = leaf.shown.detach()
    return sharding.wrap(normal(like, key, sharding.indices(like, leaf.place)), leaf.place)


def meet(multi: Multipass, step: Step, kind: str, meetings: list[Meeting], given: Pass) -> list[Any]:
    """Answer the lanes that have met at a search or a tree rule: their new updates."""
    answer = _search if kind == "search" else tree_rule
    return answer(multi, step, meetings, given)


def _search(multi: Multipass, step: Step, meetings: list[Meeting], given: Pass) -> list[Any]:
    """One scale for the direction of the whole tree."""
    updates = {
        leaf.name: sharding.wrap(u, leaf.place)
        for m in meetings
        for leaf, u in zip(m.lane.leaves, m.values, strict=True)
    }
    zero = [torch.zeros_like(leaf.given) for leaf in multi.leaves]
    direction = [
        -updates[leaf.name] if leaf.name in updates else z for leaf, z in zip(multi.leaves, zero, strict=True)
    ]
    env: dict[str, Any] = {
        "evaluate": multi.evaluate, "params": [leaf.given.detach() for leaf in multi.leaves], "direction": direction,
        "loss": multi.loss, "step": meetings[0].lane.step,
        "grads": [z if g is None else g for g, z in zip(multi.grads, zero, strict=True)],
    }  # fmt: skip
    t = step.transform
    leaves = [leaf for m in meetings for leaf in m.lane.leaves]
    for name in t.slots:
        env[name] = leaves[0].read(name)
    out = t.fn(*(env[a] for a in t.asks), **step.hyperparameters(meetings[0].lane.numbers))
    scale, *new = out if t.slots else (out,)
    for name, value in zip(t.slots, new, strict=True):
        for leaf in leaves:
            leaf.write(name, value)
    if multi.evaluate is not None:
        multi.evaluate.finish()
    return [[-scale * u for u in m.values] for m in meetings]


def tree_rule(multi: Any, step: Step, meetings: list[Meeting], given: Pass) -> list[Any]:
    """A rule that sees everything: all tensors laid end to end as one vector."""
    leaves = [leaf for m in meetings for leaf in m.lane.leaves]
    lane = meetings[0].lane
    us = [given.lift(leaf, u) for m in meetings for leaf, u in zip(m.lane.leaves, m.values, strict=True)]
    envs = [given.inputs(leaf, lane, step.inputs - {*OF_TREE}) for leaf in leaves]
    sizes, places = [x.numel() for x in us], [leaf.place for leaf in leaves]

    def dot(a: Tensor, b: Tensor, apart: bool = False) -> Tensor:
        """Of two vectors, or of all rows of two windows with one another; ``apart``: what each parameter adds to it."""
        if not any(places) and not apart:
            return products(a, b)
        parts = [products(x, y) for x, y in zip(a.split(sizes, -1), b.split(sizes, -1), strict=True)]
        each = torch.stack([x.to(us[0].device) for x in sharding.totals(parts, places, "sum")])
        return each if apart else each.sum(0)

    def peak(a: Tensor) -> Tensor:
        """The size of the largest entry."""
        if not any(places):
            return a.abs().amax()
        parts = [x.abs().amax() if x.numel() else x.new_zeros(()) for x in a.split(sizes)]
        return sharding.reduce(sharding.totals(parts, places, "max"), "max")

    env: dict[str, Any] = {"dot": dot, "peak": peak}
    for name, value in envs[0].items():
        tensor = isinstance(value, Tensor) and name != "loss"
        env[name] = (
            torch.cat([_laid(leaf, e[name]) for leaf, e in zip(leaves, envs, strict=True)], dim=-1)
            if tensor
            else value
        )
    slots: dict[str, Any] = {}
    for name, slot in step.slots.items():
        if slot.axes == "":
            slots[name] = leaves[0].read(name)
        elif "m n" in slot.axes:
            kept = [leaf.read(name) for leaf in leaves]
            rows = [_rows(leaf, x, slot.axes) for leaf, x in zip(leaves, kept, strict=True) if x is not None]
            slots[name] = torch.cat(rows, dim=-1) if rows else None
        else:
            slots[name] = torch.stack([leaf.read(name) for leaf in leaves])
    frame = Frame(env, slots)
    u = run(
        (step,), torch.cat([leaf.flat(x) for leaf, x in zip(leaves, us, strict=True)]), frame, lane.numbers
    )
    for name in frame.changed:
        slot, new = step.slots[name], frame.slots[name]
        shaped = "m n" in slot.axes
        pieces = new.split(sizes, dim=-1) if shaped else new if slot.axes else [new] * len(leaves)
        for leaf, piece in zip(leaves, pieces, strict=True):
            leaf.write(name, _unrows(leaf, piece) if shaped else piece)
    split = iter([leaf.unflat(x) for leaf, x in zip(leaves, u.split(sizes), strict=True)])
    return [[next(split) for _ in m.values] for m in meetings]


def _laid(leaf: Leaf, value: Tensor) -> Tensor:
    """[numel], or [k, numel] of several vectors."""
    return leaf.flat(value) if value.dim() == leaf.real(leaf.param).dim() else _rows(leaf, value, "k m n")


def products(a: Tensor, b: Tensor) -> Tensor:
    """Of the last axes: of two vectors, a window and a vector, or two windows."""
    return torch.dot(a, b) if a.dim() == b.dim() == 1 else a @ (b.mT if b.dim() > 1 else b)


def _rows(leaf: Leaf, stored: Tensor, axes: str) -> Tensor:
    """[numel], or [k, numel] for a window."""
    return leaf.flat(stored) if axes == "m n" else torch.stack([leaf.flat(row) for row in stored])


def _unrows(leaf: Leaf, piece: Tensor) -> Tensor:
    return (
        leaf.unflat(piece)
        if piece.dim() == 1
        else torch.stack([leaf.unflat(row.contiguous()) for row in piece])
    )
