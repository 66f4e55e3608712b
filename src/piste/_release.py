"""The step inside backward: each gradient is used and freed as soon as it is there, so that they are never all held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import _checkpoint, _offload, _signals
from ._leaf import Leaf
from ._pass import Pass
from ._plan import make_lanes, run

if TYPE_CHECKING:
    from ._chain import Chain
    from ._optimizer import Optimizer


class Release:
    """What :func:`release_gradients` returns: ``remove()`` brings back the ordinary step. Also a context manager."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._clock: list[int] = []
        self._found: dict[int, tuple[dict[str, Any], Leaf, Chain]] = {}
        self._handles = [
            p.register_post_accumulate_grad_hook(self._stepper(p))
            for group in optimizer.param_groups
            for p in group["params"]
            if p.requires_grad
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Release:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()

    def _stepper(self, param: Tensor) -> Any:
        def step(_: Tensor) -> None:
            with torch.no_grad():
                self._step(param)
            param.grad = None

        return step

    def _step(self, param: Tensor) -> None:
        group, leaf, chain = self._of(param)
        if not group.get("active", True) or param.grad is None:
            return
        lanes = make_lanes([leaf], chain, _checkpoint.settle)
        o = self._optimizer
        gradients = {leaf.name: param.grad}
        gradients = _offload.down([leaf], gradients) if o.offload else gradients
        given = Pass(gradients, {"loss": None, **_signals.take([chain], [leaf])}, o.compile, o.seed, o.fused)
        run(lanes, given, _meet)
        _offload.up([leaf])
        leaf.state["step"] += 1

    def _of(self, param: Tensor) -> tuple[dict[str, Any], Leaf, Chain]:
        """The parameter's group, leaf and chain: looked up once per step, when the schedules write their groups."""
        o = self._optimizer
        clock = [g["step"] for g in o.param_groups]
        if clock != self._clock:
            self._clock = clock
            self._found = {
                id(leaf.given): (group, leaf, chain)
                for group, leaves, chain in zip(o.param_groups, o.leaves(), o._scheduled(), strict=True)
                for leaf in leaves
            }
        return self._found[id(param)]


def release_gradients(optimizer: Optimizer) -> Release:
    """Let every parameter step as soon as backward has made its gradient, and free the gradient at once.

        piste.release_gradients(opt)
        for batch in data:
            loss(batch).backward()      # the steps happen in here
            opt.step()                  # moves schedules and clocks on; no gradients are left

    Peak memory falls by the gradients of the whole model; the result is that of the ordinary step. Not for gradient
    accumulation or a GradScaler, which need all gradients at the end. Only for chains in which no parameter looks at
    another. Errors (ValueError) name the part that stands against it.
    """
    for chain in optimizer.chains():
        for part in chain.everything():
            t = part.transform
            why = ""
            if t.room in ("oracle", "search"):
                why = "evaluates the loss itself"
            elif t.room == "sense":
                why = "gathers over the whole backward pass"
            elif part.scope == "tree" or any(s.over == "tree" for s in t.sums.values()):
                why = "looks at all parameters at once"
            elif any(s.shared for s in t.slots.values()):
                why = "keeps a number that all parameters share"
            if why:
                raise ValueError(
                    f"{optimizer.factory.name} cannot release its gradients inside backward: {t.name} {why}; "
                    "step as usual, or leave it out of the chain"
                )
    if optimizer.guard is not None:
        raise ValueError(
            f"guard={optimizer.guard!r} judges all gradients before anything moves, which release_gradients cannot: "
            "make the optimizer with guard=None"
        )
    if any(leaf.place is not None for leaves in optimizer.leaves() for leaf in leaves):
        raise ValueError(
            "sharded gradients are reduced after backward's hooks: release_gradients wants whole parameters"
        )
    return Release(optimizer)


def _meet(*_: Any) -> list[Any]:
    raise AssertionError("a chain without tree rules has nobody to meet")


__all__ = ["Release", "release_gradients"]
