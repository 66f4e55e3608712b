"""Warm migration: another optimizer takes over what it can use of the state of the one before.

Slots are taken by what they mean, not by what they are called: Adam's ``exp_avg`` and Muon's ``momentum_buffer`` are
both a mean of gradients, SGD's ``momentum_buffer`` is a sum of them. What divides by a count of steps is taken with the
count or not at all.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _sharding as sharding
from .._checkpoint import _bare_name
from .._leaf import blocks
from .._optimizer import Optimizer
from .._torch_state import from_torch
from ._meaning import BASIS, Entry, Meaning, Side, carried, factor_between, number


@dataclass(frozen=True)
class Migration:
    """What became of every parameter's slots; printed, a table with like rows folded into one.

    ``rows``: dicts with parameter, old, new (optimizers), step (the count it goes on from), kept ("exp_avg ->
    momentum_buffer", with the factor where there is one), lost and fresh (names of slots).
    """

    rows: list[dict[str, Any]]

    def __str__(self) -> str:
        cells: dict[tuple[str, ...], list[str]] = {}
        for r in self.rows:
            lists = (", ".join(r[k]) or "-" for k in ("kept", "lost", "fresh"))
            cells.setdefault((f"{r['old'] or '-'} -> {r['new']}", str(r["step"]), *lists), []).append(
                r["parameter"]
            )
        head = ("parameters", "optimizer", "step", "kept", "lost", "fresh")
        lines = [head, *((_named(names), *cell) for cell, names in cells.items())]
        width = [max(len(line[i]) for line in lines) for i in range(len(head))]
        text = ["  ".join(f"{c:<{w}}" for c, w in zip(line, width, strict=True)).rstrip() for line in lines]
        return "\n".join([text[0], "-" * len(text[0]), *text[1:]])

    def __repr__(self) -> str:
        return str(self)


def _named(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def migrate(old: torch.optim.Optimizer, new: Optimizer) -> Migration:
    """Let ``new`` go on where ``old`` (ours, or torch's where there is a twin) stands; says what was kept and lost.

    Parameters are matched by identity, else by name. A slot is kept where the same transform keeps it in the same
    shape, or where both mean the same: means of gradients and of their squares, heavy-ball sums (rescaled by 1-μ),
    Adagrad's totals, SOAP's moments (turned out of their basis). SOAP takes an Adam over by starting in the identity
    basis, in which it *is* Adam, and turns from there. Where a second moment, a factor or a basis must start fresh, so
    does everything that shares its count of steps, and the count. Hyperparameters are ``new``'s own; the clock of its
    schedules goes on.

    Errors: TypeError where ``new`` is not ours, ValueError where ``old`` has no twin or no parameter is in both.
    """
    if not isinstance(new, Optimizer):
        raise TypeError(f"migrate(old, new): new must be one of piste's optimizers, not {type(new).__name__}")
    if not isinstance(old, Optimizer):
        old = from_torch(old)
    by_id, by_name = _sides(old)
    rows, plans = [], []
    for chain, group, leaves in zip(new.chains(), new.param_groups, new.leaves(), strict=True):
        for p, leaf in zip(group["params"], leaves, strict=True):
            theirs = by_id.get(id(p)) or by_name.get(_bare_name(leaf.name))
            plan = _plan(theirs, Side(chain, leaf, group["optimizer"]))
            plans.append(plan)
            rows.append(_row(theirs, plan))
    if rows and not any(r["old"] for r in rows):
        raise ValueError("migrate(old, new): the two have no parameter in common, by identity or by name")
    for plan in plans:
        plan.carry_out()
    for group in new.param_groups:
        group["step"] = max(group["step"], *(g["step"] for g in old.param_groups))
    return Migration(rows)


def _sides(old: Optimizer) -> tuple[dict[int, Side], dict[str, Side]]:
    by_id, by_name = {}, {}
    for chain, group, leaves in zip(old.chains(), old.param_groups, old.leaves(), strict=True):
        for p, leaf in zip(group["params"], leaves, strict=True):
            by_id[id(p)] = by_name[_bare_name(leaf.name)] = Side(chain, leaf, group["optimizer"])
    return by_id, by_name


# what becomes of it -------------------------------------------------------------------------------------------------


@dataclass
class _Plan:
    new: Side
    step: int
    values: dict[str, Tensor]
    kept: dict[str, tuple[str, str]]  # new slot -> the old one, and how that is told

    def drop(self, name: str) -> None:
        del self.values[name], self.kept[name]

    def carry_out(self) -> None:
        """Write the state. What copies the weights does so now where the first step, which would, is past."""
        leaf = self.new.leaf
        for name, (slot, _, _) in self.new.shapes.items():
            if name in self.values and leaf.lives(name):
                leaf.write(name, self.values[name])
            elif slot.kind == "weights" and self.step > 0:
                leaf.write(name, leaf.weights())
        leaf.state["step"] = self.step


def _row(old: Side | None, plan: _Plan) -> dict[str, Any]:
    new, used = plan.new, {source for source, _ in plan.kept.values()}
    lost = [k for k in old.shapes if k not in used] if old and old.stepped else []
    return {
        "parameter": new.leaf.name, "old": old.optimizer if old else "", "new": new.optimizer, "step": plan.step,
        "kept": [told for _, told in plan.kept.values()], "lost": lost,
        "fresh": [k for k in new.shapes if k not in plan.kept],
    }  # fmt: skip


def _plan(old: Side | None, new: Side) -> _Plan:
    plan = _Plan(new, new.step, {}, {})
    if old is None or not old.stepped or old.leaf.param.shape != new.leaf.param.shape:
        return plan
    _same(plan, old)
    if old.step > 0:
        _alike(plan, old)
    if _needs_basis(plan):
        _identity_basis(plan, old.step)
    fresh = [e for k, e in new.entries.items() if k not in plan.kept and not e.slot.shared]
    cold = any(e.slot.kind not in ("moment", "weights") or e.slot.ring for e in fresh)
    if cold or (fresh and not plan.kept):
        for name in [k for k in plan.kept if _shares_the_count(new.entries[k])]:
            plan.drop(name)
    else:
        plan.step = old.step
    return plan


def _shares_the_count(entry: Entry) -> bool:
    """Whether it must start fresh when the count does: it is divided by the count, or lives in a basis to be made."""
    return (
        entry.counted
        or entry.space == BASIS
        or entry.slot.kind in ("square", "factor", "basis", "scalar", "index")
    )


def _same(plan: _Plan, old: Side) -> None:
    """What the same transform keeps in the same shape; what lives in a basis only together with the basis."""
    new = plan.new
    for name, entry in new.entries.items():
        theirs = old.entries.get(name)
        if theirs is None or (theirs.transform, theirs.space) != (entry.transform, entry.space):
            continue
        if old.shapes[name][1] == new.shapes[name][1] and not _rates_differ(theirs, entry):
            _take(plan, name, name, carried(old, name, new, name))
    bases = {k for k, e in (*new.entries.items(), *old.entries.items()) if e.transform == BASIS}
    if not bases <= set(plan.kept):
        for name in [k for k in plan.kept if new.entries[k].space == BASIS or k in bases]:
            plan.drop(name)


def _rates_differ(a: Entry, b: Entry) -> bool:
    """Whether the same slot needs rescaling: it was gathered at another rate."""
    if a.meaning is None or b.meaning is None or not (a.meaning.beta or b.meaning.beta):
        return False
    keys = {a.meaning.beta, b.meaning.beta, *(["dampening"] if a.meaning.form == "sum" else [])}
    return any(a.hyper.get(k) != b.hyper.get(k) for k in keys)


def _alike(plan: _Plan, old: Side) -> None:
    """What means the same, rescaled and turned out of its basis."""
    new = plan.new
    in_basis = any(e.transform == BASIS and k in plan.kept for k, e in new.entries.items())
    for name, entry in new.entries.items():
        if name in plan.kept or entry.meaning is None:
            continue
        source = _source(entry.meaning, old)
        if source is None:
            continue
        theirs = old.entries[source]
        if theirs.space not in ("", BASIS) or entry.space not in ("", BASIS):
            continue
        factor = factor_between(theirs, entry, old.step)
        if factor is None or (in_basis and theirs.space != entry.space):
            continue
        out = (
            theirs.space == BASIS and not in_basis and any(e.transform == BASIS for e in old.entries.values())
        )
        turn = functools.partial(old.turn, square=entry.meaning.of == "square") if out else None
        value = carried(old, source, new, name, turn)
        _take(plan, name, source, value if factor == 1 else value * factor, factor, " out of its basis" * out)


def _source(meaning: Meaning, old: Side) -> str | None:
    forms = (meaning.form, "mean") if meaning.form == "largest" else ("mean", "sum", "total")
    for form in forms:
        for name, entry in old.entries.items():
            if entry.meaning is not None and (entry.meaning.of, entry.meaning.form) == (meaning.of, form):
                return name
    return None


def _take(plan: _Plan, name: str, source: str, value: Tensor, factor: float = 1.0, how: str = "") -> None:
    plan.values[name] = value.detach().clone()
    told = source + how if factor == 1 else f"{source}{how} × {factor:.3g}"
    plan.kept[name] = source, told if told == name else f"{told} -> {name}"


# starting SOAP from an Adam -----------------------------------------------------------------------------------------


def _needs_basis(plan: _Plan) -> bool:
    """A basis that nobody has, around a rule of which everything was taken."""
    inside = [k for k, e in plan.new.entries.items() if e.space == BASIS]
    bases = [k for k, e in plan.new.entries.items() if e.transform == BASIS]
    return bool(bases) and not any(k in plan.kept for k in bases) and all(k in plan.kept for k in inside)


def _identity_basis(plan: _Plan, step: int) -> None:
    """Q = I, and L, R the diagonals that the second moment implies: row and column sums of E[g²]."""
    new = plan.new
    squares = [k for k, e in new.entries.items() if e.space == BASIS and e.slot.kind == "square"]
    if not squares:
        return
    entry = new.entries[squares[0]]
    bias = 1 - number(entry.hyper[entry.meaning.beta], step) ** step if entry.meaning else 1.0
    here = new.leaf.lives(squares[0])  # else everything about it is empty
    whole = sharding.whole(plan.values[squares[0]] / bias, new.leaf.spread)
    matrices = new.leaf.matrices(whole) if here else [whole] * len(blocks(new.leaf))
    for i, v in enumerate(matrices):
        end = f".{i}" if len(matrices) > 1 else ""
        for factor, basis, axis in (("L", "Q_L", -1), ("R", "Q_R", -2)):
            if basis + end in new.entries:
                diagonal = torch.diag_embed(v.sum(axis)) if here else v.view(0, 0)
                eye = torch.eye(diagonal.shape[-1], dtype=v.dtype, device=v.device).expand_as(diagonal)
                _take(plan, factor + end, squares[0], diagonal, how=" summed")
                _take(plan, basis + end, "identity", eye)


__all__ = ["Migration", "migrate"]
