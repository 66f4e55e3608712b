"""What a chain's sense part gathers: statistics of the inputs of layers and of the gradients at their outputs.

A layer's module calls a :class:`Tap` after its forward pass; where a gradient will come back that is to be counted, the
output gets a hook, in which both sides are met. So nothing is counted that has no backward pass (evaluation), and a
checkpointed layer once. Sums over micro-batches are handed out in the step, after one message where there are several
processes, and dropped by ``zero_grad`` as the gradients are.

The module holds the tap, the tap the layer weakly, and the layer the module weakly: neither keeps the other alive. A
copied module has a tap that hears nothing, until a copy of the optimizer gives it one of its own.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _sharding as sharding
from ._layers import Place, owned, rows
from ._leaf import Leaf
from ._members import chain_of
from ._transform import Transform

if TYPE_CHECKING:
    from ._optimizer import Optimizer

Wanted = tuple[Transform, dict[str, Any]]


class Tap:
    """What a module calls after its forward pass. Copied or pickled it hears nothing."""

    def __init__(self, layer: Layer | None = None) -> None:
        self._layer = None if layer is None else weakref.ref(layer)

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        layer = None if self._layer is None else self._layer()
        if layer is not None and isinstance(out, Tensor) and out.requires_grad and torch.is_grad_enabled():
            layer.senses.listen(layer, module, args[0] if args else kwargs["input"], out)

    def __reduce__(self) -> Any:
        return Tap, ()


class Layer:
    """One watched module, the names of its parameters, and the sums over what it has heard since the last step."""

    def __init__(self, senses: Senses, module: nn.Module) -> None:
        self.senses, self.module = senses, weakref.ref(module)
        self.names: dict[str, str] = {}  # "weight" and "bias": how the optimizer calls them
        self.sums: list[Tensor | None] | None = None
        self.count: Tensor | None = None
        handle = module.register_forward_hook(Tap(self), with_kwargs=True)
        weakref.finalize(self, handle.remove)

    def add(self, new: Sequence[Tensor | None], examples: int, device: torch.device) -> None:
        """What has overflowed is left out: the step it belongs to will not be taken."""
        fine = torch.ones((), dtype=torch.bool, device=device)
        for x in new:
            fine = fine if x is None else fine & x.isfinite().all()
        kept = [None if x is None else torch.where(fine, x, 0) for x in new]
        count = fine.to(torch.float64 if fine.device.type != "mps" else torch.float32) * examples
        if self.sums is None or self.count is None:
            self.sums, self.count = kept, count
            return
        pairs = zip(self.sums, kept, strict=True)
        self.sums = [x if s is None or x is None else s + x for s, x in pairs]
        self.count = self.count + count

    def __str__(self) -> str:
        return " and ".join(map(repr, self.names.values()))

    def clear(self) -> None:
        self.sums = self.count = None


class Senses:
    """All layers that an optimizer watches, and whether it listens."""

    def __init__(self, optimizer: Optimizer, module: nn.Module | None) -> None:
        self.optimizer = weakref.ref(optimizer)
        self.layers: dict[int, Layer] = {}  # by id of the module
        self._known: dict[int, Place] | None = None if module is None else {}
        self._root = None if module is None else weakref.ref(module)
        self._wanted: dict[str, Wanted] | None = None
        self._group: Any = None  # of the processes that share gradients of whole parameters
        self.paused, self.scale = False, 1.0

    # whom to watch --------------------------------------------------------------------------------------------

    def attach(self, group: Mapping[str, Any]) -> None:
        """Watch the layers of a new group, if its chain asks. Errors (ValueError) name what cannot be watched."""
        if not chain_of(group).senses:
            return
        root = None if self._root is None else self._root()
        known = {} if root is None else owned(root)
        named = list(zip(group["param_names"], group["params"], strict=True))
        for name, p in named:
            if id(p) not in known:
                lacks = (
                    "its module was not given: pass the model instead of its parameters"
                    if root is None
                    else "it is not the weight or bias of one Linear or (ungrouped) Conv layer: leave it to rest="
                )
                raise ValueError(f"{group['optimizer']} watches the layer that owns {name!r}, but {lacks}")
        for name, p in named:
            place = known[id(p)]
            key = id(place.module)
            layer = self.layers.get(key) or Layer(self, place.module)
            layer.names[place.attr] = name
            self.layers[key] = layer
        self._wanted = None

    def __getstate__(self) -> dict[str, Any]:
        alive = [(layer.module(), layer.names) for layer in self.layers.values()]
        return {"watched": [(module, names) for module, names in alive if module is not None]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.layers, self._root, self._wanted, self._group = {}, None, None, None
        self.paused, self.scale = False, 1.0
        for module, names in state["watched"]:
            self.layers[id(module)] = layer = Layer(self, module)
            layer.names = dict(names)

    def bind(self, optimizer: Optimizer) -> None:
        """A copy belongs to the copied optimizer."""
        self.optimizer = weakref.ref(optimizer)

    # listening ------------------------------------------------------------------------------------------------

    @contextmanager
    def during(self, closure: Callable[[], Any], first: bool) -> Iterator[None]:
        """Around an evaluation of the loss: the first of a step is heard, and its loss scale noted."""
        if first:
            self.clear()
        was, self.paused = self.paused, not first
        try:
            yield
        finally:
            self.paused = was
        if first:
            self.scale = getattr(closure, "scale", 1.0)

    @torch._disable_dynamo
    def listen(self, layer: Layer, module: nn.Module, x: Tensor, out: Tensor) -> None:
        weight = layer.names.get("weight") or layer.names.get("bias", "")
        found = None if self.paused else self.wanted().get(weight)
        if found is None:
            return
        self._group = sharding.replicas()
        out.register_hook(functools.partial(self._hear, layer, module, found, x.detach()))

    def _hear(self, layer: Layer, module: nn.Module, found: Wanted, x: Tensor, g: Tensor) -> None:
        if not type(x) is type(g) is Tensor:
            raise ValueError(
                f"the layer of {layer} is cut up among processes (tensor parallelism), and its "
                "rows cannot be watched: leave it to rest= by overrides"
            )
        rule, hyper = found
        dtype = torch.promote_types(torch.promote_types(g.dtype, x.dtype), torch.float32)
        with torch.no_grad():
            a, g = rows(module, x, g.detach(), dtype)
            layer.add(rule.fn(a, g, **hyper), a.shape[0], g.device)

    def wanted(self) -> dict[str, Wanted]:
        """By parameter: what is to be gathered for the coming step."""
        if self._wanted is None:
            self._wanted = {}
            optimizer = self.optimizer()
            for group in optimizer.param_groups if optimizer is not None else ():
                for part in chain_of(group).room("sense") if group.get("active", True) else ():
                    for name, p in zip(group["param_names"], group["params"], strict=True):
                        step = max(optimizer.state[p].get("step", 0), 0) + 1  # type: ignore[union-attr]
                        hyper = {k: v(step) if callable(v) else v for k, v in part.hyper.items()}
                        if hyper.pop("refresh", True):
                            self._wanted[name] = part.transform, hyper
        return self._wanted

    def clear(self) -> None:
        """Forget what was heard since the last step."""
        for layer in self.layers.values():
            layer.clear()
        self._wanted = None

    # handing out ----------------------------------------------------------------------------------------------

    def take(self, leaves: Sequence[Leaf], gradients: Mapping[str, Tensor], closure: Any) -> dict[str, Any]:
        """By name of input and parameter: the statistics of this step. Errors (ValueError): a layer was not called."""
        if not self.layers:
            return {}
        wanted, by_name = self.wanted(), {leaf.name: leaf for leaf in leaves}
        due = [
            f for f in self.layers.values() if any(n in wanted and n in gradients for n in f.names.values())
        ]
        for layer in due:
            if layer.sums is None:
                raise ValueError(
                    f"nothing was heard of the layer of {layer} though its gradient is there: its weight was used "
                    "without calling it, or its gradient was not made by backward. Leave it to rest= "
                    "(overrides={name: 'rest'})"
                )
        scale = self.scale if closure is not None else loss_scale() if due else 1.0
        found: dict[str, Any] = {}
        first = [by_name[next(iter(layer.names.values()))] for layer in due]
        whole = sharding.over_ranks(
            [[layer.count, *(layer.sums or ())] for layer in due], [leaf.place for leaf in first], self._group
        )
        for layer, (ranks, sums) in zip(due, whole, strict=True):
            count, of_a, of_g = sums
            assert count is not None
            rule, _ = wanted[next(n for n in layer.names.values() if n in wanted)]
            per = count if rule.per_example else 1 / count
            of_a = None if of_a is None else of_a / count.to(of_a.dtype)
            of_g = None if of_g is None else of_g * (per / (scale * ranks) ** 2).to(of_g.dtype)
            if rule.finish is not None:
                of_a, of_g = rule.finish(of_a, of_g)
            _hand_out(found, rule, layer, by_name, of_a, of_g)
        self.clear()
        return found


def _hand_out(
    found: dict[str, Any], rule: Transform, layer: Layer, leaves: Mapping[str, Leaf], of_a: Any, of_g: Any
) -> None:
    """Of the weight [m, n]: g's statistic on its rows, a's on its columns. The bias is one row: the last of a's is its
    own, and its columns are the weight's rows."""
    rows_name, columns_name = rule.provides
    module = layer.module()
    biased = module is not None and module._parameters.get("bias") is not None
    for attr, name in layer.names.items():
        leaf = leaves.get(name)
        if leaf is None:
            continue
        part = slice(None) if not biased else slice(0, -1) if attr == "weight" else slice(-1, None)
        own = None if of_a is None else of_a[(part,) * of_a.dim()]
        pair = (of_g, own) if attr == "weight" else (own, of_g)
        for key, value, axis in zip((rows_name, columns_name), pair, (1, 0), strict=True):
            if value is not None:
                value = value.unsqueeze(axis) if value.dim() == 1 else value
                found.setdefault(key, {})[name] = value.to(leaf.param.device)


def loss_scale() -> float:
    """What the loss was multiplied by: asked of the GradScaler that is calling this step, which tells nobody."""
    frame = sys._getframe(1)
    for _ in range(16):
        if frame.f_back is None:
            break
        frame = frame.f_back
        caller = frame.f_locals.get("self")
        if hasattr(caller, "unscale_") and hasattr(caller, "get_scale"):
            return float(caller.get_scale())  # type: ignore[union-attr]
    return 1.0
