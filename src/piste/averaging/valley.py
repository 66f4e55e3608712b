"""The mean over a window that validation losses choose while the run goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .._registry import register
from .._views import swapped


class SWAD:
    """The plain mean of all iterates from where the validation loss reaches a valley to where it leaves it.

        start:  the first evaluation not undercut by the n_converge - 1 after it
        bound:  l = tolerance × the mean of those n_converge losses
        end:    the evaluation before n_tolerance in a row exceed l

    Call :meth:`step` after every optimizer step and :meth:`evaluated` with each validation loss; stop when
    :attr:`dead`. The iterates since one evaluation enter with the next as one mean, so that every iterate of the window
    counts alike. ``params``: as an optimizer takes them. Holds up to max(n_converge, n_tolerance) copies of them and
    one more.

    (The authors' code extends the window backwards where the losses before its start are low already, and then counts
    the first part twice; this is their algorithm 1.)

    Errors: ValueError for a loss that is not a number, or where an average is asked for before there is one.

    Reference: "SWAD: Domain Generalization by Seeking Flat Minima", Junbum Cha, Sanghyuk Chun, Kyungjae Lee, Han-Cheol
    Cho, Seunghyun Park, Yunsung Lee, Sungrae Park, 2021, https://arxiv.org/abs/2102.08604, algorithm 1
    """

    def __init__(
        self, params: Iterable[Tensor], n_converge: int = 3, n_tolerance: int = 6, tolerance: float = 1.3
    ) -> None:
        if min(n_converge, n_tolerance) < 1 or tolerance < 1:
            raise ValueError(
                f"SWAD: n_converge and n_tolerance are counts of at least 1, tolerance a factor of at least 1; got "
                f"{n_converge}, {n_tolerance} and {tolerance}"
            )
        self.params = list(params)
        self.n_converge, self.n_tolerance, self.tolerance = n_converge, n_tolerance, tolerance
        self.losses: list[float] = []
        self.bound: float | None = None
        self.dead = False
        self._open = _Mean()
        self._waiting: list[_Mean] = []  # one for each of the last evaluations
        self._window = _Mean()

    def step(self) -> None:
        """After an optimizer step: this iterate counts."""
        if not self.dead:
            self._open.add([p.detach() for p in self.params], 1)

    def evaluated(self, loss: float) -> None:
        """The validation loss of the present iterate."""
        loss = float(loss)
        if math.isnan(loss):
            raise ValueError("SWAD: a validation loss is NaN: it cannot say where a valley is")
        if self.dead:
            return
        if not self._open.count:
            raise ValueError(
                "SWAD: evaluated() without a step() since the last one: call step() after each step"
            )
        self.losses.append(loss)
        self._waiting.append(self._open)
        self._open = _Mean()
        if self.bound is None:
            self._look_for_start()
        elif len(self._waiting) >= self.n_tolerance and min(self.losses[-self.n_tolerance :]) > self.bound:
            self._waiting, self.dead = [], True
        self._settle()

    def _look_for_start(self) -> None:
        recent = self.losses[-self.n_converge :]
        if len(recent) == self.n_converge and recent[0] == min(recent):
            self.bound = self.tolerance * sum(recent) / len(recent)
        self._waiting = self._waiting[-self.n_converge :]

    def _settle(self) -> None:
        """What no later loss can take out of the window enters its mean."""
        while self.bound is not None and len(self._waiting) >= self.n_tolerance:
            oldest = self._waiting.pop(0)
            self._window.add(oldest.values, oldest.count)

    def average(self) -> list[Tensor]:
        """The mean over the window so far, for each parameter."""
        if self.bound is None:
            raise ValueError(
                f"SWAD: no valley yet, after {len(self.losses)} evaluations: the average exists once a loss is not "
                f"undercut by the {self.n_converge - 1} after it"
            )
        total = _Mean()
        for part in (self._window, *self._waiting):
            if part.count:
                total.add(part.values, part.count)
        return total.values

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Swap the average in, and the weights back on leaving."""
        with swapped(list(zip(self.params, self.average(), strict=True))):
            yield

    def state_dict(self) -> dict[str, Any]:
        parts = {"open": self._open, "window": self._window}
        return {
            "losses": list(self.losses), "bound": self.bound, "dead": self.dead,
            **{k: m.state() for k, m in parts.items()}, "waiting": [m.state() for m in self._waiting],
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.losses, self.bound, self.dead = list(state["losses"]), state["bound"], state["dead"]
        self._open, self._window = (_Mean.of(state[k]) for k in ("open", "window"))
        self._waiting = [_Mean.of(s) for s in state["waiting"]]


class _Mean:
    """The mean of ``count`` points."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.count = 0

    def add(self, values: list[Tensor], count: int) -> None:
        self.count += count
        if not self.values:
            self.values = [v.clone() for v in values]
        else:
            torch._foreach_lerp_(self.values, values, count / self.count)

    def state(self) -> dict[str, Any]:
        return {"values": [v.clone() for v in self.values], "count": self.count}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> _Mean:
        made = cls()
        made.values, made.count = [v.clone() for v in state["values"]], state["count"]
        return made


register("average", "SWAD", SWAD)
