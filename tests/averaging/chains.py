"""Every average that a chain can keep, on Adam, with lengths that a handful of steps shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import piste
from piste import schedules
from piste import transforms as parts

AVERAGES: dict[str, Callable[[], Any]] = {
    "ema_weights": lambda: parts.ema_weights(schedules.ema_warmup(0.9)),
    "swa": lambda: parts.swa(start=2, every=2),
    "switch_ema": lambda: parts.switch_ema(0.7, every=2),
    "lookahead": lambda: parts.lookahead(k=2),
    "latest_weights": lambda: parts.latest_weights(k=2, every=2),
    "power_ema": lambda: parts.power_ema(),
    "schedule_free": lambda: parts.schedule_free(0.05, 0.9),
    "primal_averaging": lambda: parts.primal_averaging(0.8),
}


def make(name: str, net: Any, **engine: Any) -> Any:
    @piste.optimizer
    def AdamOnAverages(lr: float = 0.05) -> Any:
        return piste.chain(parts.scale_by_adam(0.9, 0.99, 1e-8), parts.descend(lr), AVERAGES[name]())

    return AdamOnAverages(net, **engine)
