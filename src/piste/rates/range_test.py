"""One short run with a rising rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .._registry import register


@dataclass(frozen=True)
class RangeTest:
    """Rates, and the loss after a step with each. ``highest`` is the rate at which the smoothed loss was least: the
    largest to use, its third or fourth the lowest of a cycle."""

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    smoothing: float

    @property
    def smoothed(self) -> list[float]:
        out, mean = [], 0.0
        for i, loss in enumerate(self.losses, 1):
            mean = self.smoothing * mean + (1 - self.smoothing) * loss
            out.append(mean / (1 - self.smoothing**i))
        return out

    @property
    def highest(self) -> float:
        y = self.smoothed
        return self.lrs[min(range(len(y)), key=y.__getitem__)]

    def draw(self, path: str | Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3.4), layout="constrained")
        ax = figure.subplots()
        ax.plot(self.lrs, self.losses, color="#bbbbbb", linewidth=0.8, label="loss")
        ax.plot(self.lrs, self.smoothed, color="#1f5fa8", label="smoothed")
        ax.axvline(self.highest, color="#c9722b", linestyle=":", label=f"least at {self.highest:.3g}")
        ax.set(xlabel="learning rate", ylabel="loss")
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
        figure.savefig(path)


def range_test(
    step: Callable[[float], float], highest: float, steps: int = 200, lowest: float = 0.0,
    smoothing: float = 0.9, give_up: float = 4.0, log: bool = False,
) -> RangeTest:  # fmt: skip
    """The rate rises in a line (``log``: by a factor) from ``lowest`` to ``highest`` over one short run.

    ``step(lr)`` takes one training step with this rate and returns its loss. The run stops where the loss is not finite
    or ``give_up`` times the least smoothed one. Where it stays low over a wide range, super-convergence is possible:
    see ``piste.schedules.one_cycle``. Work on copies: the weights are those of a run that ends in ruin.

    Errors: ValueError for rates out of order, or where the first loss is not finite.

    Reference: "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", Leslie N. Smith,
    Nicholay Topin, 2017, https://arxiv.org/abs/1708.07120, section 3
    """
    if not 0 <= lowest < highest or (log and lowest == 0):
        raise ValueError(
            f"range_test: the rate rises from lowest to highest, from over 0 with log; got {lowest} to {highest}"
        )
    if steps < 2:
        raise ValueError(f"range_test: at least 2 steps are needed; got {steps}")
    lrs: list[float] = []
    losses: list[float] = []
    least = math.inf
    for i in range(steps):
        part = i / (steps - 1)
        lr = lowest * (highest / lowest) ** part if log else lowest + (highest - lowest) * part
        loss = float(step(lr))
        if not math.isfinite(loss):
            break
        lrs.append(lr)
        losses.append(loss)
        now = RangeTest(tuple(lrs), tuple(losses), smoothing).smoothed[-1] if i % 8 == 7 else math.inf
        least = min(least, now)
        if loss > give_up * least:
            break
    if not lrs:
        raise ValueError(
            "range_test: the loss of the first step is not finite: start from sound weights, or lower"
        )
    return RangeTest(tuple(lrs), tuple(losses), smoothing)


register("rate", "range_test", range_test)
