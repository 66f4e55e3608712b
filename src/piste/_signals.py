"""What a model has seen that an optimizer wants to know: numbers reported in the forward pass, read by the next step.

    piste.report(self.query, max_logit=scores.amax((0, 2, 3)))     # a module (its weight), or a parameter itself

A transform declares the signals it asks for, ``@transform(signals={"max_logit": signal("m", how="max")})``, and gets
them by name, like any other input; None where nothing was reported since the last step, which it must bear. Reports are
held weakly (they go with their parameter), combined as the declaration says when there are several (accumulation, a
closure that is evaluated twice), and read and cleared by the step of the optimizer that owns the parameter: they are no
state, and a checkpoint holds none. A step that never comes (GradScaler skips one that overflowed) leaves its reports to
the next.

Of sharded parameters every rank reports what its own batch has shown, and the step combines it over the mesh, so that
all ranks see the same number; ranks that have nothing to say (an expert without tokens) take part. Replicas that
PyTorch's DDP keeps are plain tensors, of which nobody can tell: reduce such numbers over the ranks before reporting
them. Under FSDP2 report on the module: in the forward pass its parameter is another, gathered one.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from . import _sharding as sharding
from ._registry import unknown

if TYPE_CHECKING:
    from ._chain import Chain
    from ._leaf import Leaf

HOWS = ("max", "mean")


@dataclass(frozen=True)
class Signal:
    """``axes``: "m", one number for each of equal blocks of the parameter's rows (heads), which rules of any scope see
    broadcast to the parameter's shape; "" any shape, which matrix rules see as it was reported. ``how`` several reports
    are combined, over time and over ranks: "max" or "mean"."""

    axes: str = ""
    how: str = "max"

    @property
    def rows(self) -> bool:
        return self.axes == "m"

    def check(self, name: str, value: Tensor, shape: Sequence[int], who: str) -> None:
        m = shape[0] if len(shape) else 1
        if self.rows and (value.numel() == 0 or m % value.numel()):
            raise ValueError(
                f"signal {name!r} of {who} has {value.numel()} numbers, and the {m} rows of its shape {tuple(shape)} "
                "are no multiple of that: report one for each of equal blocks of rows (a head each), or one for all"
            )


def signal(axes: str = "", *, how: str = "max") -> Signal:
    """Declare what a transform wants to be told by the model (see :class:`Signal`)."""
    if axes not in ("", "m"):
        raise ValueError(f"a signal has the axes 'm' (by blocks of rows) or '' (as reported), not {axes!r}")
    if how not in HOWS:
        raise ValueError(f"several reports of a signal are combined by {' or '.join(HOWS)}, not {how!r}")
    return Signal(axes, how)


SIGNALS: dict[str, Signal] = {}  # by name: all that any transform asks for


def declare(name: str, made: Any, where: str) -> None:
    """Names are the model's vocabulary, so a name means one thing in all transforms."""
    if not isinstance(made, Signal):
        raise TypeError(f"{where}: signal {name!r} must be declared by signal(...), not {made!r}")
    if SIGNALS.setdefault(name, made) != made:
        raise TypeError(
            f"{where}: signal {name!r} is {SIGNALS[name]} elsewhere and {made} here: take another name"
        )


@dataclass
class Report:
    """A number or tensor, or the sum of ``count`` of them."""

    value: Tensor
    count: int = 1

    def add(self, value: Tensor, how: str) -> Report:
        value = value.to(self.value.device, self.value.dtype)
        if value.shape != self.value.shape:
            return Report(value)  # another architecture since: what was seen before is of no use
        if how == "max":
            return Report(torch.maximum(self.value, value))
        return Report(self.value + value, self.count + 1)


Reports = dict[str, Report]
_of_tensors: Any = WeakTensorKeyDictionary()
_of_modules: weakref.WeakKeyDictionary[nn.Module, Reports] = weakref.WeakKeyDictionary()


@torch._disable_dynamo
def report(where: nn.Module | Tensor, /, **signals: Tensor | float) -> None:
    """Tell the optimizer of ``where``, a parameter or a module (whose ``weight`` is meant), what the model has seen.

    Call it in the forward pass while training (``if self.training``). Errors: TypeError for what cannot be a
    parameter, ValueError for a signal that no transform asks for or that does not fit the parameter's rows.
    """
    param, who = _target(where)
    for name, value in signals.items():
        if name not in SIGNALS:
            raise ValueError(f"report: {unknown('signal', name, sorted(SIGNALS))}")
        value = torch.as_tensor(value).detach()
        value = sharding.everywhere(value).to(torch.promote_types(value.dtype, torch.float32))
        SIGNALS[name].check(name, value, param.shape, who)
        held = _of_modules if isinstance(where, nn.Module) else _of_tensors
        reports: Reports = held.setdefault(where, {})  # pyright: ignore
        before = reports.get(name)
        reports[name] = Report(value) if before is None else before.add(value, SIGNALS[name].how)


def _target(where: Any) -> tuple[Tensor, str]:
    if isinstance(where, nn.Module):
        weight = where._parameters.get("weight")
        if weight is None:
            raise TypeError(
                f"report: this {type(where).__name__} has no parameter 'weight': name the parameter itself"
            )
        return weight, f"the weight of a {type(where).__name__}"
    if not isinstance(where, Tensor) or not where.is_leaf:
        kind = "a tensor computed from others" if isinstance(where, Tensor) else f"a {type(where).__name__}"
        raise TypeError(
            f"report: what an optimizer owns is a parameter or the module that has it, not {kind}"
        )
    return where, f"the parameter of shape {tuple(where.shape)}"


def asked(chains: Iterable[Chain]) -> list[str]:
    """The names of the signals that some part of a chain asks for."""
    found = {n for c in chains for part in c.parts for n in part.transform.signals}
    held = [h for c in chains for part in c.parts for h in part.inner]
    return sorted(found | set(asked(held)) if held else found)


def take(chains: Sequence[Chain], leaves: Sequence[Leaf]) -> dict[str, dict[str, Tensor]]:
    """What was reported of these parameters since they were last asked, by signal and parameter: read and cleared."""
    names = asked(chains)
    if not names:
        return {}
    there = [_taken(leaf.given, names) for leaf in leaves] if _of_tensors else [{} for _ in leaves]
    _from_modules(leaves, there, names)
    places = [leaf.place for leaf in leaves]
    found: dict[str, dict[str, Tensor]] = {}
    for name in names:
        here = [(r[name].value, r[name].count) if name in r else None for r in there]
        how = SIGNALS[name].how
        whole = sharding.combined(here, places, how) if any(places) else here
        found[name] = {
            leaf.name: pair[0] / pair[1] if how == "mean" else pair[0]
            for leaf, pair in zip(leaves, whole, strict=True)
            if pair is not None
        }
    return found


def _taken(param: Tensor, names: Sequence[str]) -> Reports:
    reports: Reports = _of_tensors.get(param) or {}
    return {name: reports.pop(name) for name in names if name in reports}


def _from_modules(leaves: Sequence[Leaf], there: list[Reports], names: Sequence[str]) -> None:
    """A module's parameter is looked up now, when the gathered one of the forward pass has gone."""
    if not _of_modules:
        return
    at = {id(leaf.given): i for i, leaf in enumerate(leaves)}
    for module, reports in list(_of_modules.items()):
        i = at.get(id(module._parameters.get("weight")), -1)
        for name in names if i >= 0 else ():
            if name in reports:
                mine, new = there[i], reports.pop(name)
                mine[name] = mine[name].add(new.value, SIGNALS[name].how) if name in mine else new


def shown(name: str, value: Tensor, leaf: Leaf) -> Tensor:
    """A signal as rules see it: by rows in the parameter's shape (the part of it that lives here), or as it is."""
    value = value.to(leaf.param.device, leaf.dtype)
    made = SIGNALS[name]
    if not made.rows:
        return value
    made.check(name, value, leaf.shape, repr(leaf.name))
    shape = (*leaf.shape, 2) if leaf.param.is_complex() else tuple(leaf.shape)
    value = value.reshape(-1)
    if shape:
        m = shape[0]
        value = value.repeat_interleave(m // value.numel()).view(m, *[1] * (len(shape) - 1))
    return sharding.put_back(value.reshape(1).view(()) if not shape else value.expand(shape), leaf.place)


__all__ = ["Report", "Signal", "report", "signal"]
