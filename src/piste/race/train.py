"""One run: build, train for all its steps, evaluate. The same inputs give the same losses, bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from .branching import Branching, Progress, Whole
from .entries import Entry, factor
from .results import Point, Status, finite
from .task import Data, Task, batches, build, load, parameter_count, validate

BLOWN = 2.0  # a run whose training loss ends this many times above where it started has diverged
TIMED_BLOCK = 10  # steps timed together: several methods refresh a preconditioner every tenth step
TIMED_BLOCKS = 3

Report = Callable[[int, float, float | None], None]
"""Called as `(step, train_loss, val_loss or None)`; what it raises ends the run."""


@dataclass(frozen=True)
class Outcome:
    """What a run showed; `val_loss` is None unless `status` is `"ok"`."""

    status: Status
    val_loss: float | None
    curve: tuple[Point, ...]
    train_curve: tuple[Point, ...]
    seconds: float
    state_bytes: int | None
    parameters: int
    error: str | None = None


@dataclass(frozen=True)
class StepCost:
    """Seconds of a whole step, of the optimizer's part, of one evaluation and of getting ready."""

    step: float
    optimizer: float
    evaluation: float
    setup: float


def train(
    task: Task,
    entry: Entry,
    hyper: Mapping[str, Any],
    seed: int,
    steps: int,
    evaluations: int,
    report: Report = lambda *_: None,
    branching: Branching | None = None,
) -> Outcome:
    """Train `task` with `entry` for `steps` and evaluate `evaluations` times, the last time at the end; with
    `branching` at a constant rate with a cooldown, from the last checkpoint before it."""
    began = time.perf_counter()
    data, model = load(task), build(task, seed)
    optimizer = entry.build(model, **{**entry.fixed, **hyper})
    rates = [group["lr"] for group in optimizer.param_groups]
    way = branching or Whole(partial(factor, entry), evaluations)
    run = way.found(steps, model, optimizer) or Progress(curve=[(0, validate(task, model, data))])
    stops, error = way.stops(steps), None
    feed = islice(batches(data, task.batch, seed), run.step, None)
    for step, batch in zip(range(run.step + 1, steps + 1), feed, strict=False):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * way.factor(step - 1, steps)
        loss = _step(task, entry, model, optimizer, batch)
        run.step, run.start = step, loss if step == 1 else run.start
        run.recent.append(loss)
        if not math.isfinite(loss):
            error = f"the training loss became {loss} at step {step} of {steps}"
            break
        seen = validated(task, model, optimizer, data) if step in stops else None
        if seen is not None:
            run.curve.append((step, seen))
            run.train_curve.append((step, sum(run.recent) / len(run.recent)))
            run.recent = []
        report(step, loss, seen)
        if step == way.begins(steps):
            way.keep(model, optimizer, run)
    error = error or _blown(run.start, run.curve, run.train_curve)
    return Outcome(
        status="diverged" if error else "ok",
        val_loss=None if error else run.curve[-1][1],
        curve=finite(run.curve),
        train_curve=finite(run.train_curve),
        seconds=time.perf_counter() - began,
        state_bytes=state_bytes(optimizer),
        parameters=parameter_count(model),
        error=error,
    )


def validated(task: Task, model: nn.Module, optimizer: Any, data: Data) -> float:
    """Validation loss at the weights the optimizer would have you use (averaged ones for schedule-free)."""
    averaged = getattr(optimizer, "averaged", None)
    view: AbstractContextManager[Any] = averaged(model) if averaged else nullcontext()
    with view:
        return validate(task, model, data)


def state_bytes(optimizer: Any) -> int | None:
    """Bytes the optimizer keeps beside the weights, None if it does not say."""
    count = getattr(optimizer, "state_bytes", None)
    return int(count()) if count else None


def step_cost(task: Task, entry: Entry, hyper: Mapping[str, Any], seed: int = 0) -> StepCost:
    """Time a step with nothing else running: the median over blocks of TIMED_BLOCK steps."""
    began = time.perf_counter()
    data, model = load(task), build(task, seed)
    optimizer = entry.build(model, **{**entry.fixed, **hyper})
    feed = batches(data, task.batch, seed)
    _step(task, entry, model, optimizer, next(feed))
    _step(task, entry, model, optimizer, next(feed))
    setup = time.perf_counter() - began
    blocks = [_block(task, entry, model, optimizer, feed) for _ in range(TIMED_BLOCKS)]
    before = time.perf_counter()
    validate(task, model, data)
    return StepCost(
        step=median(whole for whole, _ in blocks),
        optimizer=median(part for _, part in blocks),
        evaluation=time.perf_counter() - before,
        setup=setup,
    )


def _block(
    task: Task, entry: Entry, model: nn.Module, optimizer: Any, feed: Iterator[tuple[Tensor, ...]]
) -> tuple[float, float]:
    """Mean seconds of a whole step and of the optimizer within it (which, with a closure, is all of it)."""
    whole = part = 0.0
    for _ in range(TIMED_BLOCK):
        began = time.perf_counter()
        batch = next(feed)
        if not entry.closure:
            _gradients(task, model, optimizer, batch)
        between = time.perf_counter()
        _advance(task, entry, model, optimizer, batch)
        ended = time.perf_counter()
        whole, part = whole + ended - began, part + ended - between
    return whole / TIMED_BLOCK, part / TIMED_BLOCK


def _step(task: Task, entry: Entry, model: nn.Module, optimizer: Any, batch: tuple[Tensor, ...]) -> float:
    """The training loss before the step."""
    if entry.closure:
        return float(_advance(task, entry, model, optimizer, batch))
    loss = _gradients(task, model, optimizer, batch)
    _advance(task, entry, model, optimizer, batch)
    return float(loss)


def _gradients(task: Task, model: nn.Module, optimizer: Any, batch: tuple[Tensor, ...]) -> Tensor:
    optimizer.zero_grad()
    loss = task.loss(model, *batch)
    loss.backward()
    return loss.detach()


def _advance(task: Task, entry: Entry, model: nn.Module, optimizer: Any, batch: tuple[Tensor, ...]) -> Any:
    if not entry.closure:
        return optimizer.step()

    def closure() -> Tensor:
        with torch.enable_grad():
            return _gradients(task, model, optimizer, batch)

    return optimizer.step(closure)


def _blown(start: float, curve: list[tuple[int, float]], train_curve: list[tuple[int, float]]) -> str | None:
    """Why a run with finite training losses still counts as diverged, if it does."""
    if not math.isfinite(curve[-1][1]):
        return f"the validation loss became {curve[-1][1]}"
    end = train_curve[-1][1]
    if end > start + (BLOWN - 1) * abs(start):
        return f"the training loss ended at {end:.3g}, having started at {start:.3g}"
    return None
