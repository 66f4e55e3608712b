"""What a param group stands for: its chain, and its parameters with their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ._chain import Chain
from ._groups import factory_of
from ._leaf import Leaf, seen_as
from ._offload import Home
from ._owners import Owners
from ._sharding import place
from ._state import code
from ._storage import weight_codec


def refuse_weights(storage: Any, groups: Iterable[Mapping[str, Any]]) -> None:
    """Codecs of weights are for bf16: of others there is nothing left over. Some of the parameters must be."""
    codec = weight_codec(storage)
    given = [(n, p.dtype) for g in groups for n, p in zip(g["param_names"], g["params"], strict=True)]
    if codec is not None and given and all(dtype != torch.bfloat16 for _, dtype in given):
        name, dtype = given[0]
        raise ValueError(
            f"storage={{'param': {codec.name!r}}} keeps bf16 weights, and {name!r} is {dtype} (no parameter is bf16): "
            "cast the model first (model.bfloat16()), or leave 'param' out of storage="
        )


def refuse_sharded(group: Mapping[str, Any]) -> None:
    """What takes whole weights only says so when the optimizer is made, not in its first step."""
    sharded = [n for n, p in zip(group["param_names"], group["params"], strict=True) if place(p) is not None]
    for part in chain_of(group) if sharded else ():
        t = part.transform
        if t.whole == "always":
            raise ValueError(
                f"{group['optimizer']} ({t.name}) takes whole weights, and {sharded[0]!r} is sharded: "
                "keep its weights on every rank (DDP), or put them into a group of another optimizer"
            )
        if t.whole and part.hyper[t.whole]:
            raise ValueError(
                f"{group['optimizer']}({t.whole}=True) takes whole weights, and {sharded[0]!r} is sharded: "
                f"leave {t.whole}=True out (differences of gradients), or keep its weights on every rank"
            )


def chain_of(group: Mapping[str, Any]) -> Chain:
    return factory_of(group["optimizer"]).chain(**group)


def leaves_of(
    group: Mapping[str, Any], state: Mapping[Any, Any], roles: Mapping[str, Any], owners: Owners,
    homes: Mapping[Tensor, Home],
) -> list[Leaf]:  # fmt: skip
    view, other, chain = group["view"], group["role"], chain_of(group)
    tile = chain.tile
    found = []
    for name, p in zip(group["param_names"], group["params"], strict=True):
        seen = seen_as(view, p.dim(), tile)
        role = roles.get(name, (other, ""))[0] or other
        found.append(Leaf(name, p, state.get(p, {}), seen, role=role, home=homes.get(p)))
    entries = sum(leaf.shape.numel() for leaf in found)
    for leaf in found:
        leaf.everyone = entries
    owners.settle(chain, found)
    for leaf in found:
        code(leaf, chain, group.get("storage"))
    return found
