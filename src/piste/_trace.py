"""Surgery on the trace of a stage, before the compiler has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx


def hoist(graph: fx.GraphModule, tensors: int) -> tuple[fx.GraphModule, fx.GraphModule, list[int]]:
    """Split a trace, whose first ``tensors`` inputs are tensors and the rest numbers, into (what follows from numbers
    alone, the rest, the places of the numbers that matter)."""
    nodes = list(graph.graph.nodes)
    places = [n for n in nodes if n.op == "placeholder"]
    scalar = set(places[tensors:])
    for node in nodes:
        if (
            node.op == "call_function"
            and node.all_input_nodes
            and all(i in scalar for i in node.all_input_nodes)
        ):
            scalar.add(node)
    nodes = _merged(graph, scalar)
    crossing = [n for n in nodes if n in scalar and any(u not in scalar for u in n.users)]
    for n in crossing:
        if not isinstance(n.meta["val"], Tensor):
            users = ", ".join(sorted({str(u.target) for u in n.users}))
            raise TypeError(
                f"a number that may move is taken for a constant by {users}: where torch takes either numbers or "
                "tensors, as for the two ends of clamp, give all as one of them (x.clamp(min=a).clamp(max=b))"
            )

    matter = [i for i, place in enumerate(places[tensors:]) if place.users]
    prologue, copied = fx.Graph(), {}
    for node in nodes:
        if node in scalar and (node.op != "placeholder" or node.users):
            copied[node] = prologue.node_copy(node, copied.__getitem__)
    narrow = {n: _in_float32(n, scalar) for n in crossing}
    convert = torch.ops.prims.convert_element_type.default
    prologue.output(
        tuple(
            prologue.call_function(convert, (copied[n], torch.float32)) if narrow[n] else copied[n]
            for n in crossing
        )
    )

    body, kept = fx.Graph(), {}
    for node in places[:tensors]:
        kept[node] = body.node_copy(node)
    for i, node in enumerate(crossing):
        kept[node] = body.placeholder(f"number_{i}")
        value = node.meta["val"]
        kept[node].meta = {**node.meta, "val": value.to(torch.float32) if narrow[node] else value}
    for node in nodes:
        if node.op != "placeholder" and node not in scalar:
            kept[node] = body.node_copy(node, kept.__getitem__)
    return fx.GraphModule(graph, prologue), fx.GraphModule(graph, body), matter


def settle(body: fx.GraphModule, realize: Any) -> None:
    """Have what follows from single numbers alone (sums, scalars that are kept) worked out ahead of the loops that use
    it, by an operator after which Inductor writes a value to memory: it would be worked out for every vector."""
    for node in list(body.graph.nodes):
        if (
            node.op != "call_function"
            or not _one_number(node)
            or not all(map(_one_number, node.all_input_nodes))
        ):
            continue
        wide = [user for user in node.users if user.op == "call_function" and not _one_number(user)]
        if not wide:
            continue
        with body.graph.inserting_after(node):
            settled = body.graph.call_function(realize, (node,))
        settled.meta["val"] = node.meta["val"]
        for user in wide:
            user.replace_input_with(node, settled)


def _one_number(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and not value.dim()


def write(graph: fx.GraphModule, places: list[int], within: bool = True) -> list[int]:
    """Turn the trace's first outputs into writes to the inputs at these places, but for those that are told: they stay
    outputs, to be copied when the kernel is done.

    That is what a reduction depends on, for Inductor keeps loops over one row together, and what they hand to one
    another in the cache, only if none of them writes what another one reads; or, not ``within`` the kernel, everything.
    """
    nodes, (output,) = list(graph.graph.nodes), graph.graph.find_nodes(op="output")
    inputs = [n for n in nodes if n.op == "placeholder"]
    reduced: set[fx.Node] = set()  # what a reduction depends on
    for node in reversed(nodes):
        if node in reduced or _reduces(node):
            reduced.update(node.all_input_nodes)
    values, results = output.args[0][: len(places)], output.args[0][len(places) :]
    late = [i for i in places if inputs[i] in reduced or not within]
    with graph.graph.inserting_before(output):
        for i, value in zip(places, values, strict=True):
            if i not in late:
                copy = graph.graph.call_function(torch.ops.aten.copy_.default, (inputs[i], value))
                copy.meta["val"] = inputs[i].meta["val"]
    output.args = ([v for i, v in zip(places, values, strict=True) if i in late] + list(results),)
    return late


def _reduces(node: fx.Node) -> bool:
    """Whether it makes one number of every row."""
    if node.op != "call_function" or not isinstance(node.meta["val"], Tensor):
        return False
    given = [n.meta["val"] for n in node.all_input_nodes if isinstance(n.meta["val"], Tensor)]
    wide = any(t.dim() and t.shape[-1] != 1 for t in given)
    made = node.meta["val"]
    return wide and (not made.dim() or made.shape[-1] == 1)


def _merged(graph: fx.GraphModule, scalar: set[fx.Node]) -> list[fx.Node]:
    """The trace's nodes, with what follows alike from the same numbers only once: a rule that is run on every piece of
    a row would otherwise hand as many copies of its numbers to the loops, which run out of registers."""
    seen: dict[Any, fx.Node] = {}
    for node in list(graph.graph.nodes):
        if node in scalar and node.op == "call_function":
            key = node.target, str(node.args), str(node.kwargs)
            first = seen.setdefault(key, node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.graph.erase_node(node)
    return list(graph.graph.nodes)


def _in_float32(node: fx.Node, scalar: set[fx.Node]) -> bool:
    """Whether a number is only used in float32 arithmetic: converted once, it need not be for every vector."""
    used = [u.meta.get("val") for u in node.users if u not in scalar]
    return node.meta["val"].dtype == torch.float64 and all(
        isinstance(v, Tensor) and v.dtype == torch.float32 for v in used
    )
