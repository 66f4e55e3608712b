"""State in and out. torch's own loader casts state to the weight's dtype (pytorch#43706) and aliases the caller's
tensors; this one copies into slots of declared dtype, by parameter name, and only after everything was found to fit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from ._optimizer import Optimizer


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes of the tensors held, each counted once."""
    tensors = {id(v): v for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor)}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def load(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """See :meth:`Optimizer.load_state_dict`. Errors (ValueError) name what does not fit; nothing is changed then."""
    state_dict = dict(state_dict)
    for hook in optimizer._optimizer_load_state_dict_pre_hooks.values():
        state_dict = hook(optimizer, state_dict) or state_dict
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise ValueError(f"not an optimizer's state dict: it has no {key!r}, only {sorted(state_dict)}")
    saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
    saved = _saved_parameters(saved_groups, saved_state)
    pairs = _match(optimizer, saved_groups, saved)
    problems: list[str] = []
    for name, p, group, (saved_name, saved_group, values) in pairs:
        if saved_group.get("optimizer", group["optimizer"]) != group["optimizer"]:
            problems.append(f"{name}: saved by {saved_group['optimizer']}, now {group['optimizer']}'s")
        elif values is not None:
            problems += _misfits(name, optimizer.state[p], values)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError("the state dict does not fit, nothing was loaded: " + "; ".join(problems[:5]) + more)
    for name, p, group, (saved_name, saved_group, values) in pairs:
        mine = optimizer.state[p]
        for key, value in (values or {}).items():
            if isinstance(mine[key], Tensor):
                mine[key].copy_(value)
            else:
                mine[key] = int(value)
        for key, value in saved_group.items():
            if key not in ("params", "param_names", "view", "role"):
                group[key] = copy.deepcopy(value)
    optimizer._leaves = None
    for hook in optimizer._optimizer_load_state_dict_post_hooks.values():
        hook(optimizer)


Saved = tuple[str, Mapping[str, Any], Mapping[str, Any] | None]


def _saved_parameters(groups: Any, state: Mapping[Any, Any]) -> list[Saved]:
    """(name, group, state) of every saved parameter, in order; names are "" where the file has none."""
    found: list[Saved] = []
    for group in groups:
        names = group.get("param_names") or [""] * len(group["params"])
        found += [(n, group, state.get(i, state.get(n))) for n, i in zip(names, group["params"], strict=True)]
    return found


def _match(optimizer: Optimizer, groups: Any, saved: list[Saved]) -> list[tuple[str, Tensor, dict[str, Any], Saved]]:
    mine = [(n, p, g) for g in optimizer.param_groups for n, p in zip(g["param_names"], g["params"], strict=True)]
    by_name = {s[0]: s for s in saved}
    names = [n for n, _, _ in mine]
    if "" not in by_name and set(by_name) == set(names):
        return [(n, p, g, by_name[n]) for n, p, g in mine]
    if len(saved) != len(mine) or [len(g["params"]) for g in groups] != [len(g["params"]) for g in optimizer.param_groups]:
        lost, new = sorted(set(by_name) - set(names)), sorted(set(names) - set(by_name))
        raise ValueError(
            f"the state dict holds {len(saved)} parameters in {len(groups)} groups, the optimizer {len(mine)} in "
            f"{len(optimizer.param_groups)}; nothing was loaded. Only in the file: {', '.join(lost[:5]) or '-'}; only "
            f"in the optimizer: {', '.join(new[:5]) or '-'}"
        )
    return [(n, p, g, s) for (n, p, g), s in zip(mine, saved, strict=True)]


def _misfits(name: str, mine: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    found = []
    missing, extra = sorted(set(mine) - set(values)), sorted(set(values) - set(mine))
    if missing or extra:
        found.append(f"{name}: missing {', '.join(missing) or '-'}, unknown {', '.join(extra) or '-'}")
    for key in set(mine) & set(values):
        if isinstance(mine[key], Tensor) and tuple(mine[key].shape) != tuple(getattr(values[key], "shape", ())):
            found.append(f"{name}.{key}: shape {tuple(getattr(values[key], 'shape', ()))}, not {tuple(mine[key].shape)}")
    return found
