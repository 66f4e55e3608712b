"""Schedules where torch's learning-rate schedulers are expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class ScheduleLR(LRScheduler):
    """Any function of the step as a torch scheduler, for any torch optimizer: ``ScheduleLR(optimizer, cosine(3e-4,
    1000))``.

    One schedule for all param groups or one for each; those made with ``scale`` multiply the group's own rate. As with
    torch's, call ``step()`` after ``optimizer.step()``. Its state is the count alone: give the schedule again when
    resuming. With a piste optimizer ``opt.schedules["lr"] = …`` does the same and moves any other number, too.

    Errors: ValueError where the schedules are not as many as the groups; TypeError for what cannot be called.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        groups = len(optimizer.param_groups)
        self.schedules = [schedule] * groups if callable(schedule) else list(schedule)
        bad = next((s for s in self.schedules if not callable(s)), None)
        if bad is not None:
            raise TypeError(
                f"ScheduleLR: {bad!r} is no function of the step; constant(x) makes one of a number"
            )
        if len(self.schedules) != groups:
            raise ValueError(
                f"ScheduleLR: {groups} param groups and {len(self.schedules)} schedules: one each, or one"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        return [
            f(self.last_epoch) * (base if getattr(f, "relative", False) else 1.0)
            for f, base in zip(self.schedules, self.base_lrs, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "schedules"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "schedules"})
