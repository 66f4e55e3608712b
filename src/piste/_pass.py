"""What one step hands to its stages, and what both kinds of stage share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from . import _sharding as sharding
from ._leaf import Leaf, arithmetic
from ._noise import normal, stream
from ._program import Step

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
        env: dict[str, Any] = {}
        for name in names:
            if name == "param":
                env[name] = self.lift(
                    leaf, sharding.local(leaf.param.detach() if leaf.inplace else leaf.param)
                )
            elif name == "grad":
                env[name] = self.lift(leaf, self.gradients[leaf.name])
            elif name == "step":
                env[name] = lane.step
            elif name == "noise":
                like = leaf.real(leaf.param.detach()).to(arithmetic(leaf))
                offset = sharding.global_offset(like)
                env[name] = leaf.unflat(
                    normal(leaf.flat(like), stream(self.seed, leaf.name, lane.step), offset)
                )
            elif name == "loss":
                env[name] = self.extras.get("loss")
            elif name in self.extras:
                env[name] = self.lift(leaf, self.extras[name][leaf.name])
        return env


def shared_names(steps: Sequence[Step]) -> list[str]:
    return [name for s in steps for name, slot in s.slots.items() if slot.shared]


def finish(stage: Stage, u: Tensor, env: dict[str, Any]) -> Tensor:
    if not stage.last or stage.steps[-1].transform.room == "point":
        return u  # a point transform has written the weights itself
    return env["param"] + u


def cast(numbers: Sequence[Any], like: Tensor) -> list[Any]:
    """Numbers that are tensors (functional use) in the arithmetic's dtype."""
    return [x.to(like.dtype) if isinstance(x, Tensor) and x.dtype != like.dtype else x for x in numbers]
