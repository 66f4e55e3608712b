"""What the module tree says about each parameter: who owns it, what surrounds it, what stands beside it.

Everything is read from types, structure and position. Names break ties where structure is silent, and
wrappers (compiled modules, adapters, parametrizations, parameter lists) are looked through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import ParametrizationList

HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "nheads", "heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_kv_head", "num_query_groups", "kv_heads")
HEAD_DIM = ("head_dim", "dim_head", "head_size", "d_head")
EXPERTS = ("num_experts", "n_experts", "num_local_experts", "n_routed_experts", "num_routed_experts")

_TRANSPARENT = ("base_layer", "original_module", "_orig_mod", "_checkpoint_wrapped_module")
NORMS = (
    *(nn.LayerNorm, nn.RMSNorm, nn.GroupNorm),
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_NOT_LAYERS = (*NORMS, *RECURRENT, nn.MultiheadAttention)


class Layer(NamedTuple):
    """A module that multiplies by one matrix: its widths, and how the weight lies in memory.

    ``form``: "linear" [out, in], "transposed" [in, out], "conv" [out, in, *], "deconv" [in, out, *].
    """

    out: int
    inp: int
    form: str


@dataclass(frozen=True, eq=False)
class Site:
    """One place where a parameter is registered. ``parents`` runs from the root to the owner's parent,
    wrappers left out."""

    name: str
    parameter: nn.Parameter
    attr: str
    owner: nn.Module
    leaf: str
    parents: tuple[nn.Module, ...]

    @property
    def parent(self) -> nn.Module:
        return self.parents[-1] if self.parents else self.owner


def walk(root: nn.Module) -> list[Site]:
    """Every registration of every parameter in the order of ``named_parameters()``; a shared one once per
    owner."""
    modules = dict(root.named_modules())
    inner = {id(module): inner_layer(module) for module in modules.values()}
    return [
        _site(modules, inner, path, attr, parameter)
        for path, module in modules.items()
        for attr, parameter in module._parameters.items()
        if parameter is not None
    ]


def _site(
    modules: dict[str, nn.Module],
    inner: dict[int, nn.Module | None],
    path: str,
    attr: str,
    parameter: nn.Parameter,
) -> Site:
    name = f"{path}.{attr}" if path else attr
    parts = path.split(".") if path else []
    chain = [("", modules[""])]
    for depth, part in enumerate(parts, start=1):
        module, outer = modules[".".join(parts[:depth])], chain[-1]
        if inner[id(outer[1])] is module:
            chain[-1] = (outer[0], module)
        else:
            chain.append((part, module))
    if isinstance(
        chain[-1][1], ParametrizationList
    ):  # fc.parametrizations.weight.original is the weight of fc
        attr, chain = f"{chain[-1][0]}.{attr}", chain[:-2]
    while len(chain) > 1 and isinstance(chain[-1][1], (nn.ParameterList, nn.ParameterDict)):
        attr = chain.pop()[0]
    leaf = next((part for part, _ in reversed(chain) if not part.isdigit()), "")
    return Site(name, parameter, attr, chain[-1][1], leaf, tuple(module for _, module in chain[:-1]))


def layer_of(module: nn.Module) -> Layer | None:
    """The widths of a layer that is one matrix, or None. Linear layers of any class count."""
    weight = module._parameters.get("weight")
    if isinstance(module, _ConvNd):
        form = "deconv" if isinstance(module, _ConvTransposeNd) else "conv"
        return Layer(module.out_channels, module.in_channels, form)
    if isinstance(module, nn.Linear):
        return Layer(module.out_features, module.in_features, "linear")
    if weight is None or weight.ndim != 2 or any(module.children()):
        return None
    if isinstance(module, _NOT_LAYERS) or is_embedding(module):
        return None
    out, inp = weight.shape
    return Layer(inp, out, "transposed") if _is_transposed(module, weight) else Layer(out, inp, "linear")


def is_embedding(module: nn.Module) -> bool:
    """Whether ``module`` looks rows up: torch's embeddings, or a class that counts ``num_embeddings``."""
    return isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or hasattr(module, "num_embeddings")


def is_table(site: Site) -> bool:
    """Whether the rows are looked up: an embedding, or a class of the user's own that is named like one."""
    own = not isinstance(site.owner, (nn.Linear, _ConvNd)) and layer_of(site.owner) is not None
    return is_embedding(site.owner) or (own and bool(re.search(r"embed|(^|_)emb|wte|wpe", site.leaf)))


def is_position(site: Site) -> bool:
    """Whether names say that the rows are positions: a weak sign, for tables that are looked up or added."""
    if isinstance(site.owner, (nn.Linear, _ConvNd)):
        return False
    names = f"{site.leaf}.{site.attr}"
    return re.search(r"(^|[._])(rel_?|relative_?)?pos(ition|itional)?(s|_|\.|$|emb)|wpe", names) is not None


def _is_transposed(module: nn.Module, weight: Tensor) -> bool:
    """A weight is stored [in, out] when the declared width (transformers' ``nf``) or the bias runs along its
    columns."""
    if isinstance(width := getattr(module, "nf", None), int):
        return weight.shape[1] == width
    bias = module._parameters.get("bias")
    return bias is not None and bias.shape == weight.shape[1:] != weight.shape[:1]


def adapter(module: nn.Module) -> tuple[nn.Module, frozenset[int]] | None:
    """``(frozen base layer, ids of the two low-rank factors)`` if ``module`` is W + BA with B [out, r] and A
    [r, in]."""
    layers = [m for m in (module, *module.children()) if (found := layer_of(m)) and found.form != "conv"]
    base = next(
        (m for m in layers if (w := m._parameters.get("weight")) is not None and not w.requires_grad), None
    )
    if base is None or (layer := layer_of(base)) is None:
        return None
    held = (*module._parameters.values(), *(m._parameters.get("weight") for m in layers))
    factors = [p for p in held if p is not None and p.ndim == 2 and p is not base._parameters["weight"]]
    ends = ((layer.inp, layer.out), (layer.out, layer.inp))
    for a, b in permutations(factors, 2):
        rank = b.shape[1]
        if a.shape[0] == rank < min(ends[0]) and (a.shape[1], b.shape[0]) in ends:
            return base, frozenset((id(a), id(b)))
    return None


def inner_layer(module: nn.Module) -> nn.Module | None:
    """The module that ``module`` merely wraps: a compiled or checkpointed one, or the base of an adapter."""
    for name in _TRANSPARENT:
        if (inner := module._modules.get(name)) is not None:
            return inner
    found = None if layer_of(module) else adapter(module)
    return found[0] if found else None


def unwrap(module: nn.Module) -> nn.Module:
    """What is left when all wrappers are taken off."""
    inner = inner_layer(module)
    return module if inner is None else unwrap(inner)


def beside(site: Site) -> list[tuple[str, Layer]]:
    """The other layers among the parent's children, with their names; a wrapper or a Sequential counts as its
    first."""
    found = [(name, *_first_layer(child)) for name, child in site.parent.named_children()]
    return [(name, layer) for name, module, layer in found if layer and module is not site.owner]


def _first_layer(module: nn.Module) -> tuple[nn.Module, Layer | None]:
    module = unwrap(module)
    if isinstance(module, nn.Sequential):
        return next((found for child in module if (found := _first_layer(child))[1]), (module, None))
    return module, layer_of(module)


def hint(modules: Sequence[nn.Module], names: Sequence[str]) -> int | None:
    """The nearest whole number called one of ``names``, on a module or on its config; the last module is
    nearest."""
    for module in reversed(modules):
        for source in (module, *(getattr(module, name, None) for name in ("config", "cfg", "args"))):
            for name in names:
                value = getattr(source, name, None)
                if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                    return value
    return None


def own_hint(module: nn.Module, names: Sequence[str]) -> int | None:
    """As ``hint``, from the attributes of ``module`` alone."""
    values = (vars(module).get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)
