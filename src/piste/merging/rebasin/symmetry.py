"""Which axes of which weights are permuted together, found by following units through a traced forward pass."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp


class Axis(NamedTuple):
    """An axis of a weight; each unit has ``block`` entries of it side by side."""

    name: str
    axis: int
    block: int = 1


@dataclass
class Symmetries:
    """Groups of axes that may be permuted together without a change of what the network computes.

    ``groups[p]``: its axes; ``sizes[p]``: its units; ``outputs[p]``: a node of the graph that shows the units' values,
    with the axis they lie on.
    """

    groups: list[list[Axis]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)

    def apply(self, weights: Mapping[str, Tensor], orders: list[Tensor]) -> dict[str, Tensor]:
        """Weights whose unit i is what was unit ``orders[p][i]``."""
        found = dict(weights)
        for axes, order in zip(self.groups, orders, strict=True):
            for name, axis, block in axes:
                found[name] = found[name].index_select(axis, spread(order, block).to(found[name].device))
        return found

    def identity(self) -> list[Tensor]:
        return [torch.arange(n) for n in self.sizes]


def spread(order: Tensor, block: int) -> Tensor:
    """The order of entries, of which each unit has a block."""
    return order if block == 1 else (order.unsqueeze(-1) * block + torch.arange(block)).flatten()


class _Units(NamedTuple):
    """Where the units of a group are in a value."""

    group: int
    axis: int
    block: int = 1


ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Softplus, nn.Hardswish, nn.Hardtanh, nn.Hardsigmoid, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity,
)  # fmt: skip
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)  # fmt: skip
SAME = {
    F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.mish, F.sigmoid, F.tanh, F.softplus, F.dropout,
    F.hardswish, F.hardtanh, F.max_pool1d, F.max_pool2d, F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d,
    F.adaptive_avg_pool2d, torch.relu, torch.sigmoid, torch.tanh, torch.exp, torch.abs, torch.neg, torch.square,
    operator.neg, "relu", "sigmoid", "tanh", "contiguous", "float", "double", "to", "abs", "square",
}  # fmt: skip
TOGETHER = {
    operator.add,
    operator.sub,
    operator.mul,
    operator.iadd,
    operator.imul,
    torch.add,
    torch.mul,
    "add",
    "mul",
}
FLAT = {torch.flatten, "flatten"}
MEANS = {torch.mean, "mean"}


def symmetries(model: nn.Module, example: Any) -> Symmetries:
    """The permutation symmetries of any module that torch.fx can trace, on an example input (or a tuple of inputs).

    Linear layers and convolutions begin a group of units each; what adds or multiplies values makes their groups one
    (residual streams); normalizations, activations, pooling and flattening carry units along. What is not known fixes
    the units that go into it in their places, so that the result is right for every network, if not always all that
    there is. The inputs and outputs of the network are fixed.

    Errors: ValueError where the module cannot be traced.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    training = model.training
    try:
        traced = fx.symbolic_trace(model.eval())
        with torch.no_grad():
            ShapeProp(traced).propagate(*inputs)
    except Exception as error:
        raise ValueError(
            f"torch.fx cannot follow {type(model).__name__}: {error}. Re-Basin needs a forward pass without branches "
            f"on values; trace the part that has none"
        ) from error
    finally:
        model.train(training)
    return _Walk(traced).found()


class _Walk:
    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.modules = dict(traced.named_modules())
        self.parents: list[int] = []  # union-find over groups
        self.fixed: set[int] = set()
        self.axes: list[tuple[int, Axis]] = []
        self.size: list[int] = []
        self.shown: list[tuple[str, int]] = []
        self.owner: dict[tuple[str, int], tuple[int, int]] = {}
        self.units: dict[fx.Node, _Units | None] = {}

    def found(self) -> Symmetries:
        for node in self.traced.graph.nodes:
            self.units[node] = self._node(node)
        out = Symmetries()
        roots = sorted(
            {self._root(p) for p in range(len(self.parents))} - {self._root(p) for p in self.fixed}
        )
        for root in roots:
            axes = list(dict.fromkeys(axis for p, axis in self.axes if self._root(p) == root))
            out.groups.append(axes)
            out.sizes.append(self.size[root])
            out.outputs.append(self.shown[root])
        return out

    def _node(self, node: fx.Node) -> _Units | None:
        if node.op == "call_module":
            return self._module(node)
        if node.op in ("call_function", "call_method"):
            if node.target in SAME:
                return self._first(node)
            if node.target in FLAT:
                return self._flattened(node)
            if node.target in TOGETHER:
                return self._together(node)
            if node.target in MEANS:
                return self._averaged(node)
        if node.op not in ("placeholder", "get_attr"):
            self._fix_all(node)
        return None

    def _module(self, node: fx.Node) -> _Units | None:
        layer, name = self.modules[str(node.target)], str(node.target)
        if isinstance(layer, ELEMENTWISE):
            return self._first(node)
        if isinstance(layer, POOLS):
            units = self._first(node)
            return units if units is None or units.axis == 1 else self._fixed(units)
        if isinstance(layer, nn.Flatten):
            return self._flattened(node)
        if isinstance(layer, nn.Linear):
            return self._matrix(node, name, layer, last=True)
        if isinstance(layer, nn.modules.conv._ConvNd) and not layer.transposed:
            return self._convolution(node, name, layer)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            return self._normalized(node, name, layer, 1)
        if isinstance(layer, nn.GroupNorm) and layer.num_groups == 1:
            return self._normalized(node, name, layer, 1)
        if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1:
            return self._normalized(node, name, layer, self._rank(node) - 1)
        if isinstance(layer, nn.Embedding):
            return self._begun(node, [Axis(f"{name}.weight", 1)], layer.embedding_dim, self._rank(node) - 1)
        self._fix_all(node)
        return None

    # units through layers ---------------------------------------------------------------------------------------

    def _matrix(self, node: fx.Node, name: str, layer: Any, last: bool) -> _Units | None:
        at = self._rank(node) - 1 if last else 1
        units = self._first(node)
        if units is not None and units.axis == at:
            self._add(units.group, Axis(f"{name}.weight", 1, units.block))
        elif units is not None:
            self._fixed(units)
        if units is None or units.axis != at:
            self._bind(Axis(f"{name}.weight", 1), None)
        axes = [Axis(f"{name}.weight", 0)] + ([Axis(f"{name}.bias", 0)] if layer.bias is not None else [])
        return self._begun(node, axes, layer.weight.shape[0], at)

    def _convolution(self, node: fx.Node, name: str, layer: Any) -> _Units | None:
        if layer.groups == 1:
            return self._matrix(node, name, layer, last=False)
        units = self._first(node)
        depthwise = layer.groups == layer.in_channels == layer.out_channels
        if depthwise and units is not None and units.axis == 1 and units.block == 1:
            for part in ("weight", "bias"):
                if getattr(layer, part) is not None:
                    self._add(units.group, Axis(f"{name}.{part}", 0))
            return units
        self._fix_all(node)
        return None

    def _normalized(self, node: fx.Node, name: str, layer: nn.Module, at: int) -> _Units | None:
        units = self._first(node)
        mine = [
            n for n, t in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
            if t is not None and t.ndim == 1
        ]  # fmt: skip
        if units is None or units.axis != at:
            for n in mine:
                self._bind(Axis(f"{name}.{n}", 0), None)
            return None if units is None else self._fixed(units)
        for n in mine:
            self._add(units.group, Axis(f"{name}.{n}", 0, units.block))
        return units

    def _flattened(self, node: fx.Node) -> _Units | None:
        """[batch, units, …] to [batch, units · …]: each unit becomes a block."""
        units, source = self._first(node), node.args[0]
        assert isinstance(source, fx.Node)
        before, after = self._shape(source), self._shape(node)
        if units is None:
            return None
        if units.axis == 1 and len(after) == 2 and before[0] == after[0]:
            return _Units(units.group, 1, units.block * after[1] // before[1])
        return self._fixed(units)

    def _averaged(self, node: fx.Node) -> _Units | None:
        """Over other axes than the units'."""
        units, source = self._first(node), node.args[0]
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        if units is None or dims is None:
            return None if units is None else self._fixed(units)
        assert isinstance(source, fx.Node)
        over = {int(d) % self._rank(source) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))}  # type: ignore[arg-type]
        if units.axis in over:
            return self._fixed(units)
        gone = 0 if self._rank(node) == self._rank(source) else sum(1 for d in over if d < units.axis)
        return units._replace(axis=units.axis - gone)

    def _together(self, node: fx.Node) -> _Units | None:
        values = [a for a in node.args[:2] if isinstance(a, fx.Node)]
        shapes = {self._shape(v) for v in values}
        found = [self.units[v] for v in values]
        if len(values) == 1:
            return found[0]
        if len(shapes) == 1 and None not in found and len({(u.axis, u.block) for u in found if u}) == 1:
            for other in found[1:]:
                assert found[0] is not None and other is not None
                self._join(found[0].group, other.group)
            return found[0]
        self._fix_all(node)
        return None

    # groups ------------------------------------------------------------------------------------------------------

    def _begun(self, node: fx.Node, axes: list[Axis], size: int, at: int) -> _Units:
        p = len(self.parents)
        self.parents.append(p)
        self.size.append(size)
        self.shown.append((node.name, at))
        for axis in axes:
            self._add(p, axis)
        return _Units(p, at)

    def _add(self, group: int, axis: Axis) -> None:
        self.axes.append((group, axis))
        self._bind(axis, group)

    def _bind(self, axis: Axis, group: int | None) -> None:
        """A weight that is used twice belongs to one group only; None: its axis must stay as it is."""
        key = (axis.name, axis.axis)
        known = self.owner.get(key)
        if known is not None:
            other, block = known
            if group is None or other < 0 or block != axis.block:
                self.fixed.update(p for p in (group, other) if p is not None and p >= 0)
            else:
                self._join(group, other)
        self.owner[key] = (-1 if group is None else group, axis.block)

    def _join(self, a: int, b: int) -> None:
        a, b = sorted((self._root(a), self._root(b)))
        self.parents[b] = a

    def _root(self, p: int) -> int:
        while self.parents[p] != p:
            p = self.parents[p]
        return p

    def _fixed(self, units: _Units) -> None:
        self.fixed.add(units.group)

    def _fix_all(self, node: fx.Node) -> None:
        for source in node.all_input_nodes:
            units = self.units[source]
            if units is not None:
                self._fixed(units)

    def _first(self, node: fx.Node) -> _Units | None:
        source = node.args[0]
        return self.units[source] if isinstance(source, fx.Node) else None

    @staticmethod
    def _shape(node: fx.Node) -> tuple[int, ...]:
        return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))

    def _rank(self, node: fx.Node) -> int:
        return len(self._shape(node))
