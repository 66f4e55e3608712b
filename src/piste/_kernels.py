"""The kernels of flat stages, made once for each stage and kind of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from . import _compile
from ._pass import finish
from ._program import Frame, run
from ._sums import add_up

if TYPE_CHECKING:
    from ._plan import Stage


@dataclass
class Compiled:
    """A kernel of a stage, the slots it writes in place and the scalars it returns."""

    kernel: Any = None
    written: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)


_made: dict[Any, Compiled] = {}


def kernel(
    stage: Stage, tensors: dict[Any, Tensor], slots: Sequence[str], numbers: int
) -> tuple[Any, Compiled]:
    """The kernel of a stage for tensors of these names and kinds, and its key."""
    device = tensors["u"].device
    key = (stage.key, device, tuple(tensors), tuple((t.dtype, t.dim()) for t in tensors.values()))
    if key not in _made:
        _made[key] = _compiled(stage, tensors, slots, numbers)
    return key, _made[key]


def _compiled(stage: Stage, tensors: dict[Any, Tensor], slots: Sequence[str], numbers: int) -> Compiled:
    made, names = Compiled(), list(tensors)

    def pure(args: Sequence[Tensor], values: Sequence[Any]) -> tuple[dict[int, Tensor], list[Tensor]]:
        given = dict(zip(names, args, strict=True))
        frame = Frame({**given, "step": values[0]}, {k: given.get(("slot", k)) for k in slots})
        u = run(stage.steps, given["u"], frame, values[1:])
        if stage.rules:
            return {}, add_up(stage, u, frame, values[1:], _compile.BLOCK)
        result = finish(stage, u, given)
        made.written = sorted(frame.changed - stage.scalars)
        made.returned = sorted(frame.changed & stage.scalars)
        writes = {names.index(("slot", k)): frame.slots[k] for k in made.written}
        results = [frame.slots[k] for k in made.returned]
        if stage.last:
            writes[names.index("param")] = result
        else:
            results.append(result)
        return writes, results

    given = list(tensors.values())
    made.kernel = _compile.Kernel(stage.name, pure, given, numbers + 1, sums=bool(stage.rules))
    return made
