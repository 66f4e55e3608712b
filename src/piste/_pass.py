"""What one step hands to its stages, and what both kinds of stage share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from . import _sharding as sharding
from ._chain import INPUTS, OF_TREE
from ._leaf import Leaf
from ._noise import normal, stream
from ._signals import SIGNALS, shown
from ._storage import uniform_bits

if TYPE_CHECKING:
    from ._plan import Lane, Stage


@dataclass
class Pass:
    """What one step hands to its stages."""

    gradients: dict[str, Tensor]
    extras: dict[str, Any] = field(default_factory=dict)  # "loss", and by name of input: {leaf name: tensor}
    compile: bool | str = False
    seed: int = 0
    fused: bool = False

    def lift(self, leaf: Leaf, tensor: Tensor) -> Tensor:
        """In the arithmetic's dtype; complex as pairs of reals."""
        if tensor.dtype is leaf.dtype:
            return tensor
        return leaf.real(tensor).to(leaf.dtype)

    def inputs(self, leaf: Leaf, lane: Lane, names: Sequence[str] | set[str]) -> dict[str, Any]:
        """The inputs a rule asks for, of one parameter."""
        known = (name for name in names if (name in INPUTS or name in SIGNALS) and name not in OF_TREE)
        return {name: self.input(name, leaf, lane) for name in known}

    def told(self, leaf: Leaf, signals: Sequence[str]) -> bool:
        """Whether the model has reported one of these of the parameter."""
        return bool(signals) and any(leaf.name in self.extras.get(name, ()) for name in signals)

    def input(self, name: str, leaf: Leaf, lane: Lane) -> Any:
        """One input, of one parameter."""
        if name == "param":
            return self.lift(leaf, leaf.weights())
        if name == "grad":
            return self.lift(leaf, self.gradients[leaf.name])
        if name == "step":
            return lane.step
        if name == "loss":
            return self.extras.get("loss")
        if name == "noise":
            like = leaf.real(leaf.param.detach()).to(leaf.dtype)
            return normal(like, stream(self.seed, leaf.name, lane.step), sharding.indices(like, leaf.place))
        given = self.extras.get(name)  # what an oracle provides: "hvp", in the steps in which it does
        found = given.get(leaf.name) if isinstance(given, dict) else given
        if name in SIGNALS:
            return None if found is None else shown(name, found, leaf)
        return self.lift(leaf, found) if isinstance(given, dict) and found is not None else found

    def write_param(self, leaf: Leaf, lane: Lane, value: Tensor) -> None:
        """A parameter's new value, kept as its codec says."""
        noisy = leaf.weight is not None and leaf.weight.noisy
        leaf.write_param(value, self.rounding(leaf, lane) if noisy else None)

    def rounding(self, leaf: Leaf, lane: Lane) -> Tensor:
        """Random bits by which a weight is rounded up or down in this step."""
        where = sharding.indices(leaf.param, leaf.place)
        return uniform_bits(leaf.param, stream(self.seed, f"{leaf.name} rounded", lane.step), where)


def finish(stage: Stage, u: Tensor, env: dict[str, Any]) -> Tensor:
    if not stage.last or stage.steps[-1].transform.room == "point":
        return u  # a point transform has written the weights itself
    return env["param"] + u


def cast(numbers: Sequence[Any], like: Tensor) -> list[Any]:
    """Numbers that are tensors (functional use) in the arithmetic's dtype."""
    return [x.to(like.dtype) if isinstance(x, Tensor) and x.dtype != like.dtype else x for x in numbers]
