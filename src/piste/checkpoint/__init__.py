"""Checkpoints of a run: atomic, checksummed, without pickle.

::

    piste.checkpoint.save("runs/a", step=step, model=model, optimizer=opt, scheduler=scheduler, epoch=epoch)

    resumed = piste.checkpoint.load("runs/a", model=model, optimizer=opt, scheduler=scheduler)
    start, epoch = (resumed.step, resumed.extra["epoch"]) if resumed else (0, 0)

Tensors lie in safetensors files, the rest in JSON. A save that is killed at any byte, or runs out of disk, leaves the
checkpoints before it as they were; a damaged one is passed over, with a warning that names the file and the reason.
"""

from __future__ import annotations

import json
import operator
import os
import time
import warnings
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._checkpoint import _bare_name
from .._optimizer import Optimizer
from ._files import Damaged as Damaged
from ._files import from_safetensors, to_safetensors, write
from ._folder import commit, files, manifest, rotate
from ._folder import listed as listed
from ._random import random_state, set_random_state
from ._tree import pack, unpack

TENSORS, REST = "rank-00000.safetensors", "rank-00000.json"


class CheckpointWarning(UserWarning):
    """A checkpoint was passed over; the message names the file and the reason."""


@dataclass(frozen=True)
class Loaded:
    """What :func:`load` found. ``extra``: everything that was saved and had nobody to go into, by its name."""

    step: int
    path: Path
    extra: dict[str, Any]


def save(
    folder: str | os.PathLike[str],
    *,
    step: int,
    model: Any = None,
    optimizer: Any = None,
    keep: int = 3,
    rng: bool = False,
    **extra: Any,
) -> Path:
    """Write a checkpoint into the folder and return its path; of the ones before it the newest ``keep`` - 1 stay.

    ``model``, ``optimizer`` and each of ``extra``: something with a ``state_dict()`` (a module, a scheduler, a
    GradScaler), or tensors, numpy arrays, numbers, text, None, and lists, tuples and dicts of them. ``rng``: also the
    state of the random generators (torch's on CPU and CUDA, numpy's, Python's). Functions (the optimizer's schedules)
    are yours to set up again; their clock is in the optimizer's groups. One process writes to a folder at a time.

    Errors: TypeError names what cannot be written, before anything is; OSError (no space, say) leaves the checkpoints
    before it as they were.
    """
    step, keep = operator.index(step), operator.index(keep)
    if step < 0 or keep < 1:
        raise ValueError(f"step must not be negative and keep at least 1, got step={step}, keep={keep}")
    given = {"model": model, "optimizer": optimizer, **extra}
    items = {name: _state_of(value) for name, value in given.items() if value is not None or name in extra}
    if rng:
        items["rng"] = random_state()
    rest, tensors = pack(items)
    pieces, text = to_safetensors(tensors), json.dumps(rest).encode()
    about = {"torch": torch.__version__, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    path = commit(
        Path(folder), step, about,
        lambda new: {TENSORS: write(new / TENSORS, pieces), REST: write(new / REST, [text])},
    )  # fmt: skip
    rotate(Path(folder), keep)
    return path


def _state_of(value: Any) -> Any:
    return value.state_dict() if callable(getattr(value, "state_dict", None)) else value


def load(
    folder: str | os.PathLike[str],
    *,
    model: Any = None,
    optimizer: Any = None,
    step: int | None = None,
    rng: bool = True,
    **into: Any,
) -> Loaded | None:
    """Put the newest whole checkpoint of the folder (or that of a ``step``) into ``model``, ``optimizer`` and what else
    is named; None where the folder holds none.

    Each is something with a ``load_state_dict``, or a dict of tensors, which are written in place. What was saved and
    is not named here comes back in ``extra``, on the CPU. Random states, where they were saved, are set unless ``rng``
    is False. A truncated or corrupted checkpoint is passed over with a :class:`CheckpointWarning`.

    Errors: :class:`Damaged` (a ValueError) where there are checkpoints but none is whole; ValueError names the
    parameters where model or optimizer do not fit, and KeyError what was never saved: nothing is changed then.
    """
    found = _newest_whole(Path(folder), step)
    if found is None:
        return None
    path, said, items = found
    targets = {"model": model, "optimizer": optimizer, **into}
    targets = {name: target for name, target in targets.items() if target is not None}
    for name, target in targets.items():
        if name not in items:
            raise KeyError(f"{path} holds no {name!r}, only {', '.join(items) or 'nothing'}")
        items[name] = _fitted(name, target, items[name])
    for name in sorted(targets, key=lambda n: n != "optimizer"):  # it may still refuse
        _fill(targets[name], items.pop(name))
    state = items.pop("rng", None)
    if state is not None and rng:
        set_random_state(state)
    return Loaded(said["step"], path, {name: _own(value, {}) for name, value in items.items()})


def _newest_whole(folder: Path, step: int | None) -> tuple[Path, dict[str, Any], dict[str, Any]] | None:
    there = [path for at, path in listed(folder) if step in (None, at)]
    if step is not None and not there:
        steps = ", ".join(str(at) for at, _ in listed(folder)) or "none"
        raise KeyError(f"{folder} holds no checkpoint of step {step}; it has {steps}")
    reasons = []
    for path in there:
        try:
            said = manifest(path)
            held = files(path, said)
            rest = json.loads(held[REST].numpy().tobytes())
            return path, said, {k: unpack(v, from_safetensors(held[TENSORS])) for k, v in rest.items()}
        except Damaged as error:
            reasons.append(str(error))
            if path is not there[-1]:
                warnings.warn(f"checkpoint passed over: {error}", CheckpointWarning, stacklevel=3)
    if reasons:
        raise Damaged(f"no whole checkpoint in {folder}: {'; '.join(reasons)}")
    return None


# putting things back ------------------------------------------------------------------------------------------------


def _fitted(name: str, target: Any, saved: Any) -> Any:
    """What was saved, under the target's own names. Errors: ValueError where a module or a dict does not fit."""
    if isinstance(target, nn.Module):
        mine: Mapping[str, Any] = target.state_dict()
    elif isinstance(target, MutableMapping) and all(isinstance(v, Tensor) for v in target.values()):
        mine = target
    elif callable(getattr(target, "load_state_dict", None)):
        return saved
    else:
        raise TypeError(f"{name}: a {type(target).__name__} has no load_state_dict and is not a dict of tensors; "
                        f"leave it out and take it from .extra[{name!r}]")  # fmt: skip
    if set(saved) != set(mine):  # what DDP, torch.compile and their like put in front does not matter
        bare, called = {_bare_name(k): v for k, v in saved.items()}, {_bare_name(k): k for k in mine}
        if len(bare) == len(saved) and len(called) == len(mine):
            saved = {called.get(k, k): v for k, v in bare.items()}
    theirs = {k: saved[k] for k in mine if k in saved}
    lost = sorted(set(saved) - set(mine))
    wrong = [
        f"{k}: shape {tuple(v.shape)}, not {tuple(mine[k].shape)}"
        for k, v in theirs.items()
        if isinstance(v, Tensor) and isinstance(mine[k], Tensor) and v.shape != mine[k].shape
    ]
    if lost or wrong or len(theirs) < len(mine):
        new = sorted(set(mine) - set(theirs))
        raise ValueError(
            f"the saved {name} does not fit, nothing was loaded. Only in the file: {', '.join(lost[:5]) or '-'}; "
            f"only here: {', '.join(new[:5]) or '-'}; other shapes: {'; '.join(wrong[:5]) or '-'}"
        )
    return theirs


def _fill(target: Any, saved: Any) -> None:
    if isinstance(target, MutableMapping):
        with torch.no_grad():
            for key, value in saved.items():
                target[key].copy_(value)
    else:  # modules and our optimizers copy what they are given; others may keep it
        target.load_state_dict(saved if isinstance(target, (nn.Module, Optimizer)) else _own(saved, {}))


def _own(tree: Any, known: dict[int, Any]) -> Any:
    """Tensors with memory of their own, not views of the file's bytes; shared ones stay shared."""
    if isinstance(tree, Tensor):
        return known.setdefault(id(tree), tree.clone())
    if isinstance(tree, list):
        return [_own(x, known) for x in tree]
    if isinstance(tree, tuple):
        return tuple(_own(x, known) for x in tree)
    if isinstance(tree, dict):
        return type(tree)({k: _own(v, known) for k, v in tree.items()})
    return tree.copy() if hasattr(tree, "__array__") else tree


__all__ = ["CheckpointWarning", "Damaged", "Loaded", "load", "save"]
