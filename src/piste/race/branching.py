"""Runs at a constant rate that end in a cooldown. What comes before the cooldown is the same for every length: it is
run once, kept in checkpoints, and each length branches off where its cooldown begins.

    rate(t) / lr = (t + 1) / warm-up         at first
                   1
                   1 - √((t - b) / (T - b))  from b on, where the cooldown of a run of T steps begins

Source: "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", Alexander Hägele, Elie Bakouch,
Atli Kosson, Loubna Ben Allal, Leandro Von Werra, Martin Jaggi, 2024, https://arxiv.org/abs/2405.18392
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from .. import checkpoint
from ..schedules.shapes import one_minus_sqrt
from .results import Point


@dataclass
class Progress:
    """How far a run has come: steps done, its first training loss, the losses of evaluations and those since."""

    step: int = 0
    start: float = math.nan
    curve: list[Point] = field(default_factory=list)
    train_curve: list[Point] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)


def begins(share: float, steps: int) -> int:
    """After how many of ``steps`` a cooldown over the last ``share`` of them begins."""
    return steps - round(share * steps)


@dataclass(frozen=True)
class Whole:
    """A run by a schedule of its own, from its beginning to its end."""

    factor: Callable[[int, int], float]
    evaluations: int

    def begins(self, steps: int) -> int:
        return steps

    def stops(self, steps: int) -> set[int]:
        return {round(steps * (i + 1) / self.evaluations) for i in range(self.evaluations)} | {steps}

    def found(self, steps: int, model: nn.Module, optimizer: Any) -> Progress | None:
        return None

    def keep(self, model: nn.Module, optimizer: Any, progress: Progress) -> None:
        pass


@dataclass(frozen=True)
class Branching:
    """The last ``share`` of a run is its cooldown, ``warmup`` steps come first, and every ``stride`` steps of the way
    there is an evaluation. ``folder`` keeps checkpoints; without one every run begins anew, with the same result."""

    share: float
    warmup: int
    stride: int
    folder: Path | None = None

    def begins(self, steps: int) -> int:
        return begins(self.share, steps)

    def factor(self, step: int, steps: int) -> float:
        """What multiplies the learning rate at ``step`` (from 0) of ``steps``."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        first = self.begins(steps)
        return 1.0 if step < first else one_minus_sqrt((step - first) / (steps - first))

    def stops(self, steps: int) -> set[int]:
        """Where a run is evaluated: on its way at the same places whatever its length, and at its end."""
        return {*range(self.stride, steps, self.stride), steps}

    def found(self, steps: int, model: nn.Module, optimizer: Any) -> Progress | None:
        """Put the last checkpoint before the cooldown of a run of ``steps`` in place; None where there is none."""
        if self.folder is None:
            return None
        for step in sorted((s for s in self.kept() if s <= self.begins(steps)), reverse=True):
            try:
                loaded = checkpoint.load(self.folder, model=model, optimizer=optimizer, step=step)
            except checkpoint.Damaged as error:  # an earlier one, or the beginning, leads to the same weights
                warnings.warn(f"checkpoint passed over: {error}", checkpoint.CheckpointWarning, stacklevel=2)
                continue
            assert loaded is not None
            said = loaded.extra["progress"]
            curve, train_curve = ([(int(s), float(x)) for s, x in said[k]] for k in ("curve", "train_curve"))
            return Progress(
                step, float(said["start"]), curve, train_curve, [float(x) for x in said["recent"]]
            )
        return None

    def keep(self, model: nn.Module, optimizer: Any, progress: Progress) -> None:
        """Write a checkpoint, unless there is one of this step."""
        if self.folder is None or progress.step in self.kept():
            return
        checkpoint.save(
            self.folder, step=progress.step, model=model, optimizer=optimizer, keep=sys.maxsize, rng=True,
            progress=vars(progress),
        )  # fmt: skip

    def kept(self) -> set[int]:
        """Steps of which there is a checkpoint."""
        return set() if self.folder is None else {step for step, _ in checkpoint.listed(self.folder)}
