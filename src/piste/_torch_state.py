"""torch.optim's states, both ways: a run can change library in the middle and take the same steps.

torch's own state dicts load through ``load_state_dict``; here is the way back, and a live optimizer taken over whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._factory import NOTES
from ._leaf import Leaf
from ._registry import get
from ._transform import Chain

if TYPE_CHECKING:
    from ._optimizer import Optimizer


@dataclass(frozen=True)
class Twin:
    """The torch class that takes the same steps: its flags, whether it counts steps per parameter, whether its state
    is there before the first step, and the hyperparameters for which there is no twin."""

    theirs: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    counts: bool = True
    eager: bool = False
    without: Mapping[str, Any] = field(default_factory=dict)


TWINS = {
    "SGD": Twin("SGD", counts=False),
    "Adam": Twin("Adam", {"amsgrad": False}),
    "AMSGrad": Twin("Adam", {"amsgrad": True}, without={"paper": True}),
    "AdamW": Twin("AdamW", {"amsgrad": False}),
    "AdaMax": Twin("Adamax", without={"paper": True}),
    "RMSProp": Twin("RMSprop"),
    "Adagrad": Twin("Adagrad", eager=True),
    "Muon": Twin("Muon", counts=False),
}
_HOW = ("foreach", "fused", "capturable")  # how torch computes, not what
_SAME = {"adjust_lr_fn": {"original": None}}  # two words of torch's for one thing
_Pair = tuple[dict[str, Any], Chain, Leaf]


def _defaults(theirs: str) -> dict[str, Any]:
    """Of this version of torch, which knows best what its groups must hold."""
    cls = getattr(torch.optim, theirs, None)
    if cls is None:
        raise ValueError(f"torch {torch.__version__} has no optim.{theirs}; a newer one does")
    return dict(cls([torch.zeros(1, 1)]).defaults)


# out ----------------------------------------------------------------------------------------------------------------


def to_torch(optimizer: Optimizer, like: torch.optim.Optimizer | None = None) -> dict[str, Any]:
    """A state dict that torch's optimizer of the same algorithm loads and continues from, step for step.

    ``like``: the torch optimizer that will load it, over the same parameters (or some of them) in any order and
    grouping; without it, groups and parameters are those of ``optimizer``. Where two algorithms work side by side
    (Muon and the AdamW of its rest), call it once for the torch optimizer of each. Values are copies, steps are counted
    as torch counts them, and torch stores state in the weights' dtype, so that bf16 weights lose digits there.

    Errors (ValueError) name the optimizer or parameter for which torch has nothing equal.
    """
    mine: dict[Tensor, _Pair] = {}
    for group, chain, leaves in zip(
        optimizer.param_groups, optimizer.chains(), optimizer.leaves(), strict=True
    ):
        mine.update({p: (group, chain, leaf) for p, leaf in zip(group["params"], leaves, strict=True)})
    if like is None:
        names = sorted({g["optimizer"] for g in optimizer.param_groups})
        if len(names) > 1:
            raise ValueError(
                f"{' and '.join(names)} work side by side, and torch has no one optimizer for both: make one of each "
                "over its parameters and call to_torch(optimizer, like=it) for each"
            )
        plan = [([mine[p] for p in g["params"]], None) for g in optimizer.param_groups]
    else:
        plan = [(_found(mine, g["params"]), g) for g in like.param_groups]
    state: dict[int, Any] = {}
    groups, at = [], 0
    for pairs, target in plan:
        ids = range(at, at := at + len(pairs))
        groups.append({**_exported_group(pairs, target, like), "params": list(ids)})
        state.update((i, s) for i, pair in zip(ids, pairs, strict=True) if (s := _exported_state(*pair)))
    return {"state": state, "param_groups": groups}


def _found(mine: Mapping[Tensor, _Pair], params: Sequence[Tensor]) -> list[_Pair]:
    for i, p in enumerate(params):
        if p not in mine:
            raise ValueError(
                f"like holds a parameter (number {i} of a group, shape {tuple(p.shape)}) that the optimizer does not: "
                "make both over the same model"
            )
    return [mine[p] for p in params]


def _exported_group(pairs: Iterable[_Pair], target: Mapping[str, Any] | None, like: Any) -> dict[str, Any]:
    """Hyperparameters, the same for all of the pairs, under torch's names."""
    made: dict[str, Any] | None = None
    for group, _, leaf in pairs:
        twin = _twin(group, leaf)
        if like is not None and type(like).__name__ != twin.theirs:
            raise ValueError(f"{leaf.name} is {group['optimizer']}'s, whose twin is torch.optim.{twin.theirs}, "
                             f"and like is a {type(like).__name__}")  # fmt: skip
        known = (
            _defaults(twin.theirs) if target is None else {k: v for k, v in target.items() if k != "params"}
        )
        kept = {k: v for k, v in group.items() if k in known or k in NOTES or k.startswith("initial_")}
        now = {**known, **{k: _plain(v) for k, v in kept.items() if k != "param_names"}, **twin.flags}
        if made is not None and now != made:
            differ = sorted(k for k in now if now[k] != made.get(k))
            raise ValueError(f"{leaf.name} has another {', '.join(differ)} than the parameters before it in the same "
                             "group of like: group them there as here")  # fmt: skip
        made = now
    return made or {k: v for k, v in (target or {}).items() if k != "params"}


def _twin(group: Mapping[str, Any], leaf: Leaf) -> Twin:
    name = group["optimizer"]
    twin = TWINS.get(name)
    known = ", ".join(sorted(TWINS))
    if twin is None:
        raise ValueError(
            f"{leaf.name} is {name}'s, and torch.optim has no {name}; there are twins of {known}"
        )
    for key, value in twin.without.items():
        if group[key] == value:
            raise ValueError(f"{leaf.name}: torch.optim.{twin.theirs} has no {key}={value} of {name}")
    matrices = leaf.matrices(leaf.param)
    if name == "Muon" and [m.shape for m in matrices] != [leaf.param.shape]:
        raise ValueError(f"{leaf.name} of shape {tuple(leaf.param.shape)} is seen as {len(matrices)} matrices by Muon, "
                         "and torch.optim.Muon takes a matrix as it is")  # fmt: skip
    return twin


def _exported_state(group: Mapping[str, Any], chain: Chain, leaf: Leaf) -> dict[str, Any]:
    twin = TWINS[group["optimizer"]]
    if leaf.state["step"] < 1 and not twin.eager:
        return {}  # torch makes it at the first gradient
    made: dict[str, Any] = {}
    for name in [name for name, _, _ in chain.slots() if name in leaf.state]:
        kept, value = leaf.state[name], leaf.read(name)
        if hasattr(kept, "device_mesh"):  # torch keeps it sharded as well
            if kept.dtype != value.dtype:
                raise ValueError(
                    f"{leaf.name}.{name} is sharded and kept in {kept.dtype}: migrate to plain storage first"
                )
            value = kept
        value = value.detach().clone()
        made[name] = torch.view_as_complex(value) if leaf.param.is_complex() else value
    if twin.counts:
        made["step"] = torch.tensor(float(leaf.state["step"]))
    return made


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


# in -----------------------------------------------------------------------------------------------------------------


def from_torch(theirs: torch.optim.Optimizer) -> Optimizer:
    """Our optimizer of the same algorithm over the same parameters and groups, with the state of theirs, copied.

    Learning-rate schedulers hold on to the optimizer they were made for: make them anew. Errors (ValueError) name the
    class or the flag for which we have nothing equal.
    """
    groups = []
    for group in theirs.param_groups:
        name = _ours(type(theirs).__name__, group)
        keys = get(name, "optimizer").target.factory.defaults  # type: ignore[attr-defined]
        own = {k: group[k] for k in keys if k in group}
        names = {"param_names": group["param_names"]} if "param_names" in group else {}
        groups.append({"params": list(group["params"]), **names, "optimizer": name, **own})
    made: Optimizer = get(groups[0]["optimizer"], "optimizer").target(groups)
    saved = theirs.state_dict()
    state = {i: {k: _real(v) for k, v in s.items()} for i, s in saved["state"].items()}
    made.load_state_dict({"state": state, "param_groups": saved["param_groups"]})
    return made


def _real(value: Any) -> Any:
    return torch.view_as_real(value) if isinstance(value, Tensor) and value.is_complex() else value


def _ours(theirs: str, group: Mapping[str, Any]) -> str:
    """Which optimizer of ours a group of torch's is."""
    if theirs == "Adam" and group.get("decoupled_weight_decay"):
        theirs = "AdamW"
    if theirs == "AdamW" and group.get("amsgrad") and not group["weight_decay"]:
        theirs = "Adam"  # without decay there is no difference
    fit = [n for n, t in TWINS.items() if t.theirs == theirs]
    if not fit:
        known = ", ".join(sorted({t.theirs for t in TWINS.values()}))
        raise ValueError(f"there is no twin of {theirs} here; there are those of torch.optim's {known}")
    fit = [n for n in fit if not unlike(n, group)] or fit
    wrong = unlike(fit[0], group)
    if wrong:
        raise ValueError(f"torch.optim.{theirs} is {fit[0]} here, but not with {', '.join(wrong)}")
    return fit[0]


def unlike(name: str, saved: Mapping[str, Any]) -> list[str]:
    """What in a group saved by torch asks for steps that our optimizer of that name does not take."""
    twin = TWINS.get(name)
    if twin is None:
        return []
    own = get(name, "optimizer").target.factory.defaults  # type: ignore[attr-defined]
    found = []
    for key, default in _defaults(twin.theirs).items():
        value = saved.get(key, default)
        value = _SAME.get(key, {}).get(value, value) if isinstance(value, str) else value
        wanted = twin.flags.get(key, default)
        if key == "decoupled_weight_decay" and not saved.get("weight_decay"):
            continue
        if key not in own and key not in _HOW and not _equal(value, wanted):
            found.append(f"{key}={value!r}")
    return found


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b)
    return tuple(a) == tuple(b) if isinstance(a, (tuple, list)) else a == b
