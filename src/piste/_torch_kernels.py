"""The few chains that are exactly a torch algorithm and may run on torch's own fused kernel.

On CPU those kernels run at memory bandwidth. The list is short on purpose, and a test proves each entry equal to the
transforms it stands for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ._plan import Lane, Stage


_dtype, _kind = operator.attrgetter("dtype"), operator.attrgetter("kind")


def run(stage: Stage, lane: Lane, us: list[Tensor]) -> bool:
    """Run the stage with torch's kernel if it is one of the list and the tensors allow it; says whether it did."""
    kernel = _KERNELS.get(tuple(s.transform.name for s in stage.steps))
    if kernel is None or any(not s.transform.__module__.startswith("piste.") for s in stage.steps):
        return False
    if any(isinstance(x, Tensor) for x in lane.numbers):
        return False
    first = lane.leaves[0].kind
    if (
        first.dtype not in (torch.float32, torch.float64)
        or first.device.type not in ("cpu", "cuda")
        or first.coded
    ):
        return False
    if {*map(id, map(_kind, lane.leaves))} != {id(first)} or {*map(_dtype, us)} != {first.dtype}:
        return False
    params = [leaf.param for leaf in lane.leaves]  # a step runs under no_grad
    alike = first.contiguous and all(map(Tensor.is_contiguous, us))
    if not alike and [*map(Tensor.stride, params)] != [*map(Tensor.stride, us)]:
        return False
    hyper: dict[str, Any] = {}
    for s in stage.steps:
        hyper.update(s.hyperparameters(lane.numbers))
    kernel(lane, params, us, hyper)
    return True


def _slots(lane: Lane, name: str) -> list[Tensor]:
    return [leaf.stored(name) for leaf in lane.leaves]


def _adam(kernel: Callable[..., Any]) -> Callable[..., None]:
    def fused(lane: Lane, params: list[Tensor], grads: list[Tensor], h: dict[str, Any]) -> None:
        step = torch.tensor(float(lane.step), device=params[0].device)
        kernel(
            params, grads, _slots(lane, "exp_avg"), _slots(lane, "exp_avg_sq"), [], [step] * len(params),
            lr=h["lr"], beta1=h["beta1"], beta2=h["beta2"], weight_decay=h.get("weight_decay", 0.0), eps=h["eps"],
            amsgrad=False, maximize=False,
        )  # fmt: skip

    return fused


def _sgd(lane: Lane, params: list[Tensor], grads: list[Tensor], h: dict[str, Any]) -> None:
    buffers = _slots(lane, "momentum_buffer") if "momentum" in h else []
    torch._fused_sgd_(
        params, grads, buffers, weight_decay=h.get("weight_decay", 0.0), momentum=h.get("momentum", 0.0), lr=h["lr"],
        dampening=h.get("dampening", 0.0), nesterov=h.get("nesterov", False), maximize=False,
        is_first_step=lane.step == 1,
    )  # fmt: skip


_KERNELS: dict[tuple[str, ...], Callable[..., None]] = {
    ("scale_by_adam", "descend"): _adam(torch._fused_adam_),
    ("decay_weights", "scale_by_adam", "descend"): _adam(torch._fused_adam_),
    ("scale_by_adam", "decay_weights", "descend"): _adam(torch._fused_adamw_),
    ("descend",): _sgd,
    ("decay_weights", "descend"): _sgd,
    ("trace", "descend"): _sgd,
    ("decay_weights", "trace", "descend"): _sgd,
}
