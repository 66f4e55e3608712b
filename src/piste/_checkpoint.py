"""State made, saved and loaded.

torch's own loader casts state to the weight's dtype (pytorch#43706) and aliases the caller's tensors; this one copies
into slots of declared dtype, by parameter name, and only after everything was found to fit.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from . import _sharding as sharding
from ._coding import Coding, coding, key, keys
from ._factory import NOTES, Factory
from ._groups import factory_of
from ._leaf import RESIDUAL, Leaf
from ._state import entries, slot_shapes
from ._storage import plain
from ._torch_state import unlike
from ._transform import Chain, Slot

if TYPE_CHECKING:
    from ._optimizer import Optimizer

Slots = dict[str, tuple[Slot, tuple[int, ...], Mapping[str, Any]]]


def state_bytes(optimizer: Optimizer) -> int:
    """Bytes of the tensors held here, each counted once."""
    tensors = {
        id(v): sharding.local(v)
        for s in optimizer.state.values()
        for v in s.values()
        if isinstance(v, Tensor)
    }
    return sum(t.numel() * t.element_size() for t in tensors.values())


# making -----------------------------------------------------------------------------------------------------------


def new_states(chain: Chain, leaves: Sequence[Leaf]) -> list[dict[str, Any]]:
    """All slots, before the first step, so that every rank and every checkpoint has the same keys.

    Frozen parameters (``requires_grad=False``) wait for their first gradient: a frozen backbone costs nothing. A shared
    scalar is one tensor, placed in the state of each parameter of the group.
    """
    states: list[dict[str, Any]] = []
    for leaf in leaves:
        state: dict[str, Any] = {"step": -1 if chain.primes else 0}
        for name, (slot, shape, hyper) in _kept(chain, leaf).items():
            if slot.shared and states:
                state[name] = states[0][name]
            elif slot.shared or leaf.given.requires_grad:
                state.update(entries(name, slot, shape, hyper, leaf))
        states.append(state)
    return states


def settle(chain: Chain, leaves: Iterable[Leaf]) -> None:
    """Before a parameter's first step: the slots of what was frozen until now, and the copies of the weights (a
    checkpoint may have been loaded into them since)."""
    for leaf in leaves:
        for name, (slot, shape, hyper) in _kept(chain, leaf).items():
            place(leaf, name, slot, shape, hyper)
            if slot.kind == "weights":
                leaf.write(name, leaf.weights())


def follow(chain: Chain, leaves: Sequence[Leaf], states: MutableMapping[Tensor, dict[str, Any]]) -> None:
    """Lost states are made anew; the others go where their weights are *now*, in their layout and precision."""
    lost = [leaf for leaf in leaves if "step" not in leaf.state]
    for leaf, state in zip(lost, new_states(chain, lost), strict=True):
        leaf.state = states[leaf.given] = state
    for leaf in leaves:
        for name, (slot, shape, hyper) in _kept(chain, leaf).items():
            if name in leaf.state:
                place(leaf, name, slot, shape, hyper)


def place(leaf: Leaf, name: str, slot: Slot, shape: tuple[int, ...], hyper: Mapping[str, Any]) -> None:
    """The slot in its parameter's layout and precision and on its device, keeping what it holds."""
    wanted = keys(name, leaf.codings.get(name)).values()
    held = {k: leaf.state[k] for k in wanted if k in leaf.state}
    if len(held) == len(wanted) and (
        slot.shared or all(_follows(t, slot, name, leaf) for t in held.values())
    ):
        return
    made = entries(name, slot, shape, hyper, leaf)
    for k, tensor in held.items() if len(held) == len(wanted) else ():
        sharding.fill(made[k], tensor)
    leaf.state.update(made)


def _follows(held: Tensor, slot: Slot, name: str, leaf: Leaf) -> bool:
    like = leaf.real(leaf.param.detach())
    if (sharding.place(held) is None) != (leaf.place is None or slot.axes == "" or name in leaf.owned):
        return False
    held = sharding.local(held)
    if held.device != like.device:
        return False
    if name in leaf.codings:
        return True
    if held.dtype != plain.dtype(slot, like.dtype):
        return False
    if name in leaf.owned:
        return bool(held.numel()) == leaf.lives(name)
    return held.shape != like.shape or held.stride() == like.stride()


def _kept(chain: Chain, leaf: Leaf) -> Slots:
    return {name: found for name, found in slot_shapes(chain, leaf).items() if found[0].kind != "probe"}


# loading ----------------------------------------------------------------------------------------------------------

Saved = tuple[Mapping[str, Any], Mapping[str, Any]]  # the group and the state of one saved parameter


def load(optimizer: Optimizer, state_dict: Mapping[str, Any]) -> None:
    """See :meth:`Optimizer.load_state_dict`. Errors (ValueError) name what does not fit; nothing is changed then."""
    state_dict = dict(state_dict)
    for hook in optimizer._optimizer_load_state_dict_pre_hooks.values():
        changed = hook(optimizer, state_dict)
        state_dict = state_dict if changed is None else changed
    for part in ("state", "param_groups"):
        if part not in state_dict:
            raise ValueError(
                f"not an optimizer's state dict: it has no {part!r}, only {sorted(map(str, state_dict))}"
            )
    saved = _match(optimizer, state_dict["param_groups"], state_dict["state"])
    chains = optimizer.chains()
    problems: list[str] = []
    todo: list[tuple[dict[str, Any], Saved, Slots, Leaf, int]] = []
    for chain, leaves, group in zip(chains, optimizer.leaves(), optimizer.param_groups, strict=True):
        for leaf in leaves:
            slots = _kept(chain, leaf)
            problems += _misfits(leaf, slots, group, *saved[leaf.name])
            todo.append((group, saved[leaf.name], slots, leaf, -1 if chain.primes else 0))
    if problems:
        listed = list(dict.fromkeys(problems))  # a group's problem once, not once per parameter
        more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
        raise ValueError("the state dict does not fit, nothing was loaded: " + "; ".join(listed[:5]) + more)
    for group, (saved_group, values), slots, leaf, start in todo:
        _fill(leaf, slots, values, start, saved_group)
        _fill_group(group, saved_group, leaf.state["step"])
    for hook in optimizer._optimizer_load_state_dict_post_hooks.values():
        hook(optimizer)


def _match(optimizer: Optimizer, groups: Any, state: Mapping[Any, Any]) -> dict[str, Saved]:
    """What was saved of each of the optimizer's parameters: by name, or by position in files without (our) names."""
    ids = [
        (n, i, g)
        for g in groups
        for n, i in zip(g.get("param_names") or [""] * len(g["params"]), g["params"], strict=True)
    ]
    found = [(n, (g, _present(state.get(i, state.get(n))))) for n, i, g in ids]
    mine = [leaf.name for leaves in optimizer.leaves() for leaf in leaves]
    by_name = {_bare_name(n): s for n, s in found}
    if set(by_name) == {_bare_name(n) for n in mine} and len(by_name) == len(found) == len(mine):
        return {n: by_name[_bare_name(n)] for n in mine}
    sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in optimizer.param_groups]
    unnamed = "" in by_name or all(n.startswith("param_") for n in by_name)
    if sizes == own and (unnamed or all(n.startswith("param_") for n in mine)):
        return {n: s for n, (_, s) in zip(mine, found, strict=True)}
    lost, new = sorted(set(by_name) - set(mine) - {""}), sorted(set(mine) - set(by_name))
    raise ValueError(
        f"the state dict holds {len(found)} parameters in {len(groups)} groups, the optimizer {len(mine)} in "
        f"{len(own)}; nothing was loaded. Only in the file: {', '.join(lost[:5]) or '-'}; only in the optimizer: "
        f"{', '.join(new[:5]) or '-'}"
    )


def _bare_name(name: str) -> str:
    """Without what DDP, torch.compile and their like put in front of a module's names."""
    return re.sub(
        r"(^|\.)(module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)", "", name
    ).lstrip(".")


def _present(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {k: v for k, v in (values or {}).items() if v is not None}  # torch saves `momentum_buffer: None`


def _misfits(
    leaf: Leaf,
    slots: Slots,
    group: Mapping[str, Any],
    saved_group: Mapping[str, Any],
    values: Mapping[str, Any],
) -> list[str]:
    who = saved_group.get("optimizer", group["optimizer"])
    if who != group["optimizer"]:
        return [f"{leaf.name}: saved by {who}, now {group['optimizer']}'s"]
    found = _bad_numbers(factory_of(who), saved_group)
    if "optimizer" not in saved_group:
        found += [f"torch's {x} has no equal in {who}" for x in unlike(who, saved_group)]
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    storage = saved_group.get("storage")
    for name, (slot, shape, _) in slots.items():
        was = _saved_coding(leaf, name, slot, shape, values, storage)
        coded = was is None and name in values and coding(storage, name, slot, shape, leaf, here=False)
        if coded and storage != group.get("storage"):
            # by their keys alone torch's distributed checkpoint would hand over codes as if they were numbers
            found.append(
                f"{leaf.name}.{name}: saved with storage={storage!r}, but its codes came without their scales: load "
                f"into an optimizer made with storage={storage!r}, then piste.migrate it to another"
            )
        for suffix, k in keys(name, was).items():
            expected[k] = name, shape if was is None else was.parts[suffix][0]
    # without what a weight leaves over, it is what it is
    exact = {k for k in (*expected, *values) if k.startswith(RESIDUAL)}
    missing = sorted(set(expected) - set(values) - exact)
    extra = sorted(set(values) - set(expected) - exact - {"step"})
    own = [k for k, (name, _) in expected.items() if not slots[name][0].shared]
    unstepped = not extra and not any(k in values for k in own)
    if extra or (missing and not unstepped):
        found.append(f"{leaf.name}: missing {', '.join(missing) or '-'}, unknown {', '.join(extra) or '-'}")
    for name, (_, shape) in expected.items():
        value = values.get(name)
        if value is not None and (
            not isinstance(value, Tensor) or tuple(value.shape) != shape or value.is_complex()
        ):
            kind = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            found.append(f"{leaf.name}.{name}: {kind}, not shape {shape}")
    step = values.get("step", 0)
    if not isinstance(step, (int, float)) and not (isinstance(step, Tensor) and step.numel() == 1):
        found.append(f"{leaf.name}.step: {step!r}, not a number")
    return found


def _bad_numbers(factory: Factory, saved_group: Mapping[str, Any]) -> list[str]:
    try:
        factory.checked({k: v for k, v in saved_group.items() if k in factory.defaults}, "saved group")
    except (TypeError, ValueError) as error:
        return [str(error)]
    return []


def _saved_coding(
    leaf: Leaf, name: str, slot: Slot, shape: tuple[int, ...], values: Mapping[str, Any], storage: Any
) -> Coding | None:
    """How a slot that was saved was coded. Its group's storage tells, if the parts are there: a parameter that was cut
    by columns kept it plain."""
    coded = coding(storage, name, slot, shape, leaf, here=False)
    for suffix, (part, _) in coded.parts.items() if coded is not None else ():
        value = values.get(key(name, suffix))
        if not isinstance(value, Tensor) or tuple(value.shape) != part:
            return None
    return coded


def _translated(
    leaf: Leaf, name: str, slot: Slot, shape: tuple[int, ...], values: Mapping[str, Any], storage: Any
) -> dict[str, Tensor]:
    """A saved slot as this leaf keeps it: as it is where the codec is the same, else decoded and encoded anew."""
    was, mine = _saved_coding(leaf, name, slot, shape, values, storage), leaf.codings.get(name)
    found = {suffix: values[k] for suffix, k in keys(name, was).items()}
    if was != mine:
        whole = {suffix: sharding.everywhere(part) for suffix, part in found.items()}
        value = whole[""] if was is None else was.codec.decode(whole).view(shape)
        found = {"": value} if mine is None else mine.encode(value)
    return {key(name, suffix): part for suffix, part in found.items()}


def _fill(
    leaf: Leaf, slots: Slots, values: Mapping[str, Any], start: int, saved_group: Mapping[str, Any]
) -> None:
    storage = saved_group.get("storage")
    if leaf.owner is not None:
        owned = [n for n in leaf.owned if n in slots and n in values]
        codings = {n: _saved_coding(leaf, n, *slots[n][:2], values, storage) for n in owned}
        theirs = {k: values[k] for n in owned for k in keys(n, codings[n]).values()}
        values = {**values, **sharding.home(leaf.owner, theirs)}
    for name, (slot, shape, hyper) in slots.items():
        if name in values:
            place(leaf, name, slot, shape, hyper)
            if not leaf.lives(name):
                continue
            for k, value in _translated(leaf, name, slot, shape, values, storage).items():
                sharding.fill(leaf.state[k], value)
        elif name.startswith(RESIDUAL):
            place(leaf, name, slot, shape, hyper)
            leaf.stored(name).zero_()
        elif not slot.shared:
            for k in keys(name, leaf.codings.get(name)).values():
                leaf.state.pop(k, None)  # saved before its first gradient: it waits for that again
    uncounted = 1 if values else start  # torch's SGD keeps a momentum and does not count
    leaf.state["step"] = int(values.get("step", uncounted))


def _fill_group(group: dict[str, Any], saved: Mapping[str, Any], step: int) -> None:
    """Hyperparameters, the clock and schedulers' notes; another library's flags are left where they are."""
    factory = factory_of(group["optimizer"])
    full = factory.checked({k: v for k, v in saved.items() if k in factory.defaults}, factory.name)
    group.update({k: v for k, v in full.items() if k in saved})
    kept = {k for k in saved if k in ("step", "active", *NOTES) or k.startswith("initial_")}
    group.update({k: copy.deepcopy(saved[k]) for k in kept})
    if "step" not in saved:
        group["step"] = max(group["step"], step)
