"""Optimizers as pure functions on dictionaries of tensors: hypergradients, sweeps in one process, server optimizers.

    state = init(chain, params)
    updates, state = update(chain, grads, state, params)
    params = apply(params, updates)

Nothing is written in place, so the step can be differentiated (give a hyperparameter as a tensor that requires grad)
and batched by ``torch.func.vmap`` (give it as a batched tensor). The chain's rules are the same ones the
:class:`piste.Optimizer` runs; chains with an oracle or a search need a closure and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ._leaf import Leaf, seen_as
from ._pass import Pass
from ._plan import make_lanes, run
from ._state import make_slot, slot_shapes
from ._transform import Chain
from ._tree import tree_rule

State = dict[str, dict[str, Any]]


def init(chain: Chain, params: Mapping[str, Tensor]) -> State:
    """``{parameter name: {"step": 0, slot: tensor}}``. Slots of kind `weights` are filled by the first update."""
    return {
        name: {
            "step": -1 if chain.primes else 0,
            **{
                slot: make_slot(made, shape, hyper, leaf)
                for slot, (made, shape, hyper) in slot_shapes(chain, leaf).items()
                if made.kind != "probe"
            },
        }
        for name, leaf in _leaves(chain, params, {}).items()
    }


def step(
    chain: Chain,
    grads: Mapping[str, Tensor],
    state: State,
    params: Mapping[str, Tensor],
    *,
    seed: int = 0,
    **extras: Any,
) -> tuple[dict[str, Tensor], State]:
    """One step: the new parameters and the new state. Parameters without a gradient are left as they are.

    ``extras``: the further inputs a chain asks for, e.g. ``loss`` or ``hvp={name: tensor}``.
    Errors: KeyError for a gradient or a state of an unknown parameter, ValueError for a chain that needs a closure.
    """
    if chain.needs_closure:
        raise ValueError(
            "the chain has an oracle or a search, which evaluate the loss themselves: use its optimizer"
        )
    if chain.senses:
        raise ValueError(
            "the chain watches the layers of a module, which is not given here: use its optimizer"
        )
    unknown = sorted(set(grads) - set(params)) + sorted(set(grads) - set(state))
    if unknown:
        raise KeyError(
            f"a gradient for {unknown[0]!r}, of which there is no parameter or no state (init makes it)"
        )
    kept = {name: dict(values) for name, values in state.items()}
    leaves = _leaves(chain, {n: params[n] for n in grads}, kept, grads)
    given = Pass(dict(grads), extras, compile=False, seed=seed)
    run(make_lanes([*leaves.values()], chain, _begin), given, _meet)
    for leaf in leaves.values():
        leaf.state["step"] += 1
    return {**params, **{name: leaf.param for name, leaf in leaves.items()}}, kept


def _begin(chain: Chain, leaves: list[Leaf]) -> None:
    """The copies of the weights that slots of kind `weights` start from."""
    names = [name for name, slot, _ in chain.slots() if slot.kind == "weights"]
    for leaf in leaves:
        leaf.state.update({name: leaf.real(leaf.param).expand_as(leaf.state[name]) for name in names})


def update(
    chain: Chain, grads: Mapping[str, Tensor], state: State, params: Mapping[str, Tensor], **extras: Any
) -> tuple[dict[str, Tensor], State]:
    """As :func:`step`, but gives the changes of the parameters that have a gradient."""
    new, state = step(chain, grads, state, params, **extras)
    return {name: new[name] - params[name] for name in grads}, state


def apply(params: Mapping[str, Tensor], updates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters after the updates."""
    return {name: p + updates[name] if name in updates else p for name, p in params.items()}


def _leaves(
    chain: Chain, params: Mapping[str, Tensor], state: State, grads: Mapping[str, Tensor] | None = None
) -> dict[str, Leaf]:
    made, tile = {}, chain.tile
    for name, p in params.items():
        grad = None if grads is None else grads[name]
        made[name] = Leaf(
            name, p, state.get(name, {}), seen_as(None, p.dim(), tile), inplace=False, grad=grad
        )
    return made


def _meet(rule: Any, kind: str, meetings: list[Any], given: Pass) -> list[Any]:
    return tree_rule(None, rule, meetings, given)


__all__ = ["State", "apply", "init", "step", "update"]
