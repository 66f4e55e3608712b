"""Which layers produce the module's output: those of the vocabulary's shape, named ones, and the last one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from piste._routing.sites import RECURRENT, Site, is_embedding, is_position, is_table, layer_of, unwrap

_NAMES = re.compile(
    r"(\w+_)?(head|heads|classifier|score|logits|outputs?|unembed)|output_projection|embed_out|fc_out"
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_BLOCKS = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, *RECURRENT)


@dataclass(frozen=True)
class Outputs:
    """``heads``: id of an output layer → why; ``doubts``: id of a last layer that was left hidden → why."""

    heads: dict[int, str]
    doubts: dict[int, str]

    def doubt(self, site: Site) -> str | None:
        """The doubt about ``site``, if it holds the weight of such a layer."""
        return self.doubts.get(id(site.owner)) if site.parameter.ndim > 1 else None


def find_outputs(
    root: nn.Module, sites: Sequence[Site], tied: frozenset[int], routers: frozenset[int]
) -> Outputs:
    """The untied output layers of ``root``, given the ids of the owners of tied weights and of routers.

    Outside the repeated blocks, a layer is an output if it has the shape of a token embedding or is named
    like one. The last layer in registration order is one too, unless it is a repeated block's, or square in a
    class of its own (a pooler as often as a head), or wide although other outputs are known: those are left
    hidden, as doubts. Layers of the last one's shape beside it are outputs with it.
    """
    root = _core(root)
    blocks = _blocks(root)
    vocabulary = {tuple(s.parameter.shape) for s in sites if is_table(s) and not is_position(s)}
    heads: dict[int, str] = {}
    for site in sites:
        layer = layer_of(site.owner)
        if layer is None or is_table(site) or id(site.owner) in tied | routers:
            continue
        if any(id(m) in blocks for m in site.parents):
            continue
        if _NAMES.fullmatch(site.leaf) and _ends(site.owner, site.parent):
            heads[id(site.owner)] = f"outside the blocks and named '{site.leaf}'"
        elif (layer.out, layer.inp) in vocabulary:
            heads[id(site.owner)] = "has the shape of the token embedding"
    last, parent = _last(root, blocks)
    layer = layer_of(last) if last else None
    if last is None or layer is None or id(last) in heads.keys() | tied | routers:
        return Outputs(heads, {})
    known = bool(heads or tied)
    if not known and isinstance(parent, nn.Sequential):
        return Outputs(heads | {id(last): "the last layer of a sequence"}, {})
    if layer.out == layer.inp or (known and layer.out > layer.inp):
        shape = f"square ({layer.out}×{layer.inp})" if layer.out == layer.inp else "not the only output"
        return Outputs(heads, {id(last): f"the last layer, but {shape} and not named like an output head"})
    equals = [
        m for m in map(unwrap, parent.children()) if layer_of(m) == layer
    ]  # parallel: they cannot follow
    return Outputs(heads | {id(m): "the last layer in the module's order" for m in equals}, {})


def _ends(layer: nn.Module, parent: nn.Module) -> bool:
    return not isinstance(parent, nn.Sequential) or [m for m in parent if layer_of(m)][-1] is layer


def _core(root: nn.Module) -> nn.Module:
    """``root`` without the modules around it that hold nothing else: a compiled, parallel or normalizing
    wrapper."""
    children = [m for m in root.children() if any(True for _ in m.parameters())]
    bare = not root._parameters and not isinstance(root, nn.ModuleList) and len(children) == 1
    return _core(children[0]) if bare and not layer_of(children[0]) else root


def _blocks(root: nn.Module) -> frozenset[int]:
    """Ids of the parts of a stack: attention and transformer layers, composite members of a ModuleList, and
    those of a Sequential if they are all of one class."""
    found = {id(m) for m in root.modules() if isinstance(m, _BLOCKS)}
    for parent in root.modules():
        members = [m for m in parent.children() if _has_matrix(m) and not layer_of(unwrap(m))]
        alike = len({type(m) for m in members}) == 1 and not isinstance(members[0], _CONTAINERS)
        if isinstance(parent, nn.ModuleList) or (isinstance(parent, nn.Sequential) and alike):
            found |= {id(m) for m in members}
    return frozenset(found)


def _last(module: nn.Module, blocks: frozenset[int]) -> tuple[nn.Module | None, nn.Module]:
    """The last layer in registration order and its parent; None where the order ends in a block or in bare
    matrices."""
    children = [unwrap(m) for m in module.children() if _has_matrix(m)]
    if id(module) in blocks or not children:
        return None, module
    return (children[-1], module) if layer_of(children[-1]) else _last(children[-1], blocks)


def _has_matrix(module: nn.Module) -> bool:
    return any(
        p.ndim > 1 and not is_embedding(m)
        for m in module.modules()
        for p in m._parameters.values()
        if p is not None
    )
