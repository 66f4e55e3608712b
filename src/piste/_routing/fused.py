"""Several matrices kept in one parameter: fused QKV, gated units, stacked gates, heads, expert stacks; and
how to see them.

Orthogonalizing a fused weight as one matrix ties together maps that are separate in the network, so each
block gets its own place in the view. Where a block's height cannot be known, the weight stays whole and the
routing warns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from piste._routing.matrices import MatrixView
from piste._routing.sites import HEAD_DIM, HEADS, KV_HEADS, Layer, Site, beside, hint, own_hint

_STACKED = re.compile(r"(\w+_)?w?qkv(_proj\w*|_linear)?|c_attn|w_pack|att_proj", re.IGNORECASE)
_GROUPED = {
    "query_key_value",
    "linear_qkv",
}  # heads outermost: each group holds its queries, then its key and value


class Fused(NamedTuple):
    """``view`` and ``blocks`` (heights) of a fused weight; None where it is fused but the heights are
    unknown."""

    view: str | None
    blocks: tuple[int, ...] | None
    reason: str


def stacked(layer: Layer, blocks: Sequence[int]) -> str:
    """The view of a layer's weight cut into row blocks: a batch when they are equal, else matrices of several
    heights."""
    if len(set(blocks)) > 1:
        pattern = "i o -> o i" if layer.form == "transposed" else "o i -> o i"
        return str(MatrixView(pattern, rows=tuple(blocks)))
    k = {2: "two", 3: "three", 4: "four"}.get(len(blocks), "k")
    pattern = f"i ({k} o) -> {k} o i" if layer.form == "transposed" else f"({k} o) i -> {k} o i"
    return str(MatrixView(pattern, ((k, len(blocks)),)))


def fused_qkv(site: Site, layer: Layer) -> Fused | None:
    """Whether a linear layer is a fused query-key-value projection, and its blocks.

    It is, if it is named like one, or stands beside exactly one other layer whose input is the queries' width
    and the parent counts heads (or the projection is three times as wide). Heights come from the head counts
    on the module or its config, else from the layer that consumes the values: out = q + 2 kv, q = its width.
    """
    others = [(name, other) for name, other in beside(site) if other.form in ("linear", "transposed")]
    grouped = site.leaf in _GROUPED
    if not (grouped or _STACKED.fullmatch(site.leaf)):
        if len(others) != 1 or isinstance(site.parent, nn.Sequential):
            return None
        width = others[0][1].inp
        blocks = _heights(site, layer, others)
        if (
            blocks is None
            or blocks[0] != width
            or not (own_hint(site.parent, HEADS) or layer.out == 3 * width)
        ):
            return None
        return Fused(
            stacked(layer, blocks), blocks, f"fused projection: '{others[0][0]}' takes back one block"
        )
    if any(re.match(r"q(_|uery|$)|(to_|w)q$", name) for name, _ in others) and layer.out % 2 == 0:
        blocks = (layer.out // 2, layer.out // 2)
        return Fused(
            stacked(layer, blocks), blocks, "fused keys and values: the queries have a layer of their own"
        )
    blocks = _heights(site, layer, others)
    view = None if blocks is None else _by_groups(site, blocks) if grouped else stacked(layer, blocks)
    if blocks is None or view is None:
        return Fused(None, None, f"named '{site.leaf}', but the heights of q, k and v are unknown")
    return Fused(view, blocks, f"fused query, key and value: {' + '.join(map(str, blocks))} rows")


def _heights(site: Site, layer: Layer, others: Sequence[tuple[str, Layer]]) -> tuple[int, int, int] | None:
    around = (*site.parents, site.owner)
    heads, kv, dim = hint(around, HEADS), hint(around, KV_HEADS), hint(around, HEAD_DIM)
    widths = {other.inp for _, other in others if other.inp < layer.out}
    if heads and kv and layer.out % (heads + 2 * kv) == 0:
        size = layer.out // (heads + 2 * kv)
        if dim in (None, size) and (not widths or heads * size in widths):
            return heads * size, kv * size, kv * size
    if layer.out == 3 * layer.inp:
        return layer.inp, layer.inp, layer.inp
    found = {(q, (layer.out - q) // 2) for q in widths if (layer.out - q) % 2 == 0}
    found = {(q, k) for q, k in found if 0 < k <= q and q % k == 0}
    q, k = found.pop() if len(found) == 1 else (0, 0)
    return (q, k, k) if q else None


def _by_groups(site: Site, blocks: tuple[int, int, int]) -> str | None:
    """Rows ordered (group, queries of the group then key then value, head): seen as all queries, all keys,
    all values."""
    heads = hint((*site.parents, site.owner), HEADS)
    q, k, _ = blocks
    if not heads or q % heads or k % (q // heads):
        return None
    groups = k // (q // heads)
    if q == k:
        return str(MatrixView("(g three d) i -> three (g d) i", (("g", groups), ("three", 3))))
    each = heads // groups + 2
    return str(MatrixView("(g r d) i -> (r g d) i", (("g", groups), ("r", each)), blocks))


def gated(site: Site, layer: Layer) -> Fused | None:
    """A gate and an up projection in one layer: its only companion takes half its width and leads back to its
    input."""
    others = beside(site)
    if len(others) != 1 or isinstance(site.parent, nn.Sequential):
        return None
    (name, down), half = others[0], layer.out // 2
    if layer.out != 2 * down.inp or down.out != layer.inp or down.inp == layer.inp:
        return None
    return Fused(
        stacked(layer, (half, half)),
        (half, half),
        f"gate and up projection in one: '{name}' takes half of it",
    )


def stack(site: Site) -> tuple[str, Fused]:
    """``(kind, view)`` of a 3-d parameter: heads where an axis counts them, else a stack of experts.

    An expert stack [e, 2f, d] beside one [e, d, f] is a gated unit and is cut in two.
    """
    a, m, n = site.parameter.shape
    heads = own_hint(site.owner, HEADS)
    if heads in (a, m):
        view = "h m n -> h m n" if heads == a else "m h n -> h m n"
        return "heads", Fused(view, None, f"one matrix for each of {heads} heads")
    beside_it = [
        p.shape for p in site.owner._parameters.values() if p is not None and p is not site.parameter
    ]
    if m % 2 == 0 and m // 2 != n and (a, n, m // 2) in beside_it:
        view = str(MatrixView("e (two f) n -> e two f n", (("two", 2),)))
        return "experts", Fused(view, (m // 2, m // 2), f"{a} experts, gate and up projection in one")
    return "experts", Fused("e m n -> e m n", None, f"a stack of {a} matrices")
