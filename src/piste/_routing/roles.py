"""Roles: what each parameter of a module is for, and hence which matrix (if any) it is.

Found from module types, structure, sharing and position, never from the number of dimensions alone: an
embedding, an output head and a hidden matrix are all two-dimensional and want different steps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.parameter import is_lazy

from piste._routing.fused import fused_qkv, gated, stack, stacked
from piste._routing.outputs import find_outputs
from piste._routing.sites import (
    EXPERTS,
    NORMS,
    RECURRENT,
    Layer,
    Site,
    adapter,
    is_position,
    is_table,
    layer_of,
    own_hint,
    walk,
)

ROLES = {
    "hidden": "a matrix between activations; stacked gates and gated units are cut into their blocks",
    "qkv": "fused query, key and value projection, seen as its blocks",
    "heads": "one matrix per attention head",
    "conv": "a convolution, seen as [out, in · window], per group if it is grouped",
    "stem": "the first layer, if it is a convolution: it reads pixels or samples",
    "experts": "a stack of matrices, one per expert",
    "router": "scores the experts",
    "depthwise": "a convolution with one input channel per filter: windows, not a matrix",
    "embedding": "a table whose rows are looked up, or learned tokens",
    "position": "a table of positions",
    "head": "untied output layer",
    "tied": "embedding and output layer in one parameter",
    "lora": "a factor of a low-rank adapter",
    "norm": "gain of a normalization, or magnitude of a normalized weight",
    "bias": "offset",
    "vector": "another parameter that acts elementwise",
    "scalar": "a single number",
}

MATRIX_ROLES = frozenset({"hidden", "qkv", "heads", "conv", "experts", "router"})

_TOKENS = re.compile(r"token|embed|latent|prompt|prefix|quer(y|ies)$|register", re.IGNORECASE)
_ELEMENTWISE = re.compile(r"(^|_)(A_?log|decay|gamma|scale)$", re.IGNORECASE)
_BIAS = re.compile(r"(^|_)bias(es)?(_|$|\d)")
_AXES = {1: "k", 2: "h w", 3: "d h w"}


@dataclass(frozen=True)
class Role:
    """What a parameter is for.

    ``kind`` is a key of ``ROLES``; ``view`` the text of a ``MatrixView`` (None: the default of its
    dimensions); ``reason`` says how it was found; ``blocks`` are the heights of the matrices fused in it,
    None for one matrix.
    """

    kind: str
    view: str | None
    reason: str
    blocks: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Survey:
    """Role and first site of each parameter by its qualified name, and what could not be decided: (subject,
    why)."""

    roles: dict[str, Role]
    sites: dict[str, Site]
    doubts: list[tuple[str, str]]


@dataclass(frozen=True)
class Places:
    """Ids of what is known by its surroundings: owners of outputs (with the reason), of routers and of the stem, and
    the parameters that are factors of an adapter."""

    heads: dict[int, str]
    routers: frozenset[int]
    factors: frozenset[int]
    stem: int | None


def roles(module: nn.Module) -> dict[str, Role]:
    """The role of every parameter of ``module`` under its name in ``named_parameters()``."""
    return survey(module).roles


def survey(module: nn.Module) -> Survey:
    """``roles`` with the sites they were found at and the doubts that a route should warn about."""
    sites = walk(module)
    owners: dict[int, list[Site]] = defaultdict(list)
    for site in sites:
        if is_lazy(site.parameter):
            raise ValueError(f"parameter '{site.name}' has no shape yet: run one forward pass before routing")
        owners[id(site.parameter)].append(site)
    tied = {key for key, group in owners.items() if len({is_table(s) for s in group}) == 2}
    layers = [(s, layer) for s in sites if (layer := layer_of(s.owner)) and not is_table(s)]
    routers = frozenset(id(s.owner) for s, layer in layers if _is_router(s, layer))
    ends = frozenset(id(s.owner) for key in tied for s in owners[key])
    outputs = find_outputs(module, sites, ends, routers)
    factors = frozenset().union(*(found[1] for m in module.modules() if (found := adapter(m))))
    stem = id(layers[0][0].owner) if layers and layers[0][1].form == "conv" else None
    places = Places(outputs.heads, routers, factors, stem)
    first = {group[0].name: group[0] for group in owners.values()}
    doubts = [(s.name, why) for s in first.values() if (why := outputs.doubt(s))]
    result: dict[str, Role] = {}
    for name, site in first.items():
        group = owners[id(site.parameter)]
        if id(site.parameter) in tied:
            others = ", ".join(f"'{s.name}'" for s in group[1:])
            result[name] = Role("tied", None, f"the same parameter as {others}")
            continue
        role = _role(site, places)
        if role.kind == "qkv" and role.blocks is None:
            doubts.append((name, role.reason))
        result[name] = role
    return Survey(result, first, doubts)


def _role(site: Site, places: Places) -> Role:
    """The rules in order of certainty: size, adapters, types, place in the tree; names only break ties."""
    shape, owner = site.parameter.shape, site.owner
    if site.parameter.numel() == 1:
        return Role("scalar", None, "a single number")
    if site.parameter.ndim > 1 and (id(site.parameter) in places.factors or "lora" in site.name.lower()):
        return Role(
            "lora", None, "a low-rank factor: the map is the product, so a factor has no norm of its own"
        )
    if is_table(site):
        kind = "position" if is_position(site) else "embedding"
        return Role(kind, None, f"{shape[0]} rows are looked up")
    if max(shape) == site.parameter.numel() and (site.parameter.ndim == 1 or _is_magnitude(site)):
        return _one_dimensional(site)
    if isinstance(owner, NORMS):
        return Role("bias" if "bias" in site.attr else "norm", None, "elementwise, in a normalization")
    if is_position(site):
        return Role("position", None, f"a table named '{site.attr}'")
    if _BIAS.search(site.attr):
        return Role("bias", None, f"an offset of shape {tuple(shape)}")
    return _matrix_role(site, places)


def _is_magnitude(site: Site) -> bool:
    """The gain of a weight normalization: original0 of the parametrization, weight_g of the older hook."""
    return site.attr in ("weight.original0", "weight_g")


def _one_dimensional(site: Site) -> Role:
    if _BIAS.search(site.attr):
        return Role("bias", None, "an offset")
    if isinstance(site.owner, NORMS) or _is_magnitude(site):
        return Role("norm", None, "a gain")
    if site.attr in ("weight", "scale", "gamma", "g") and not any(site.owner.children()):
        return Role("norm", None, "the gain of a module without others inside")
    return Role("vector", None, "one-dimensional")


def _matrix_role(site: Site, places: Places) -> Role:
    """Parameters of two and more dimensions that are neither tables nor offsets."""
    owner, layer = site.owner, layer_of(site.owner)
    if layer and layer.form in ("conv", "deconv"):
        return _conv(site, layer, places)
    if layer and site.attr.startswith("weight"):
        return _linear(site, layer, places)
    if isinstance(owner, RECURRENT):
        return _recurrent(site)
    if isinstance(owner, nn.MultiheadAttention) and site.attr == "in_proj_weight":
        blocks = (owner.embed_dim,) * 3
        view = stacked(Layer(3 * owner.embed_dim, owner.embed_dim, "linear"), blocks)
        return Role("qkv", view, "in_proj_weight of nn.MultiheadAttention", blocks)
    return _bare(site)


def _linear(site: Site, layer: Layer, places: Places) -> Role:
    whole = "i o -> o i" if layer.form == "transposed" else None
    if id(site.owner) in places.heads:
        return Role("head", whole, places.heads[id(site.owner)])
    if id(site.owner) in places.routers:
        return Role("router", whole, f"one output for each of {layer.out} experts")
    if fused := fused_qkv(site, layer):
        return Role("qkv", fused.view or whole, fused.reason, fused.blocks)
    if fused := gated(site, layer):
        return Role("hidden", fused.view, fused.reason, fused.blocks)
    stored = ", stored as [in, out]" if whole else ""
    return Role("hidden", whole, f"a linear layer, {layer.inp} → {layer.out}{stored}")


def _conv(site: Site, layer: Layer, places: Places) -> Role:
    groups, window = getattr(site.owner, "groups", 1), _AXES[site.parameter.ndim - 2]
    if id(site.owner) in places.heads:
        return Role("head", None, places.heads[id(site.owner)])
    if groups == layer.inp > 1:
        return Role("depthwise", None, "each filter sees one channel")
    each = f" | g={groups}" if groups > 1 else ""
    g, batch = ("(g i)" if layer.form == "deconv" else "(g o)", "g ") if groups > 1 else ("", "")
    pattern = f"{g or 'i'} o {window}" if layer.form == "deconv" else f"{g or 'o'} i {window}"
    view = f"{pattern} -> {batch}o (i {window}){each}"
    if id(site.owner) == places.stem:
        return Role("stem", view, "the first layer, and a convolution")
    return Role("conv", view, f"a convolution, {layer.inp} → {layer.out}")


def _recurrent(site: Site) -> Role:
    hidden, rows = int(getattr(site.owner, "hidden_size", 0)), site.parameter.shape[0]
    if site.attr.startswith("weight_hr") or not hidden or rows == hidden or rows % hidden:
        return Role("hidden", None, "a recurrent weight")
    blocks = (hidden,) * (rows // hidden)
    view = stacked(Layer(rows, site.parameter.shape[1], "linear"), blocks)
    return Role("hidden", view, f"{len(blocks)} stacked gates", blocks)


def _bare(site: Site) -> Role:
    """A parameter that a module of the user's own holds."""
    shape = site.parameter.shape
    if shape[0] == 1 or _TOKENS.search(site.attr):
        return Role("embedding", None, f"learned tokens of shape {tuple(shape)}")
    if _ELEMENTWISE.search(site.attr):
        return Role("vector", None, f"acts elementwise, as '{site.attr}' says")
    if site.parameter.ndim == 3:
        kind, fused = stack(site)
        return Role(kind, fused.view, fused.reason, fused.blocks)
    return Role("hidden", None, "a matrix that the module holds itself")


def _is_router(site: Site, layer: Layer) -> bool:
    """A layer with one output per expert: of a stack beside it that reads the same width, of a list, or of a
    count."""
    around: Sequence[nn.Module] = (site.owner, site.parent, *site.parent.children())
    if any(own_hint(m, EXPERTS) == layer.out for m in around[:2]):
        return True
    plain = (m for m in around if not layer_of(m))  # a Conv1d weight has three dimensions too
    stacks = (p.shape for m in plain for p in m._parameters.values() if p is not None and p.ndim == 3)
    lists = (
        len(m)
        for name, m in site.parent.named_children()
        if "expert" in name and isinstance(m, nn.ModuleList)
    )
    beside_it = {*(e for e, *widths in stacks if layer.inp in widths), *lists}
    return layer.out > 1 and layer.out in beside_it
