"""A look at tasks and entries before the race: do they work, how large are they, what does a step cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .entries import Entry
from .errors import RaceError
from .protocol import Protocol, points
from .results import TaskInfo
from .task import Data, Task, build, load, parameter_count, validate
from .train import StepCost, step_cost


def describe(task: Task) -> TaskInfo:
    """Build, load and evaluate the task once: what reports say about it, or a RaceError that names the part."""
    data: Data = _attempt(task, "data()", lambda: load(task))
    model = _attempt(task, "model()", lambda: build(task, 0))
    untrained = _attempt(task, "evaluate", lambda: validate(task, model, data))
    return TaskInfo(
        name=task.name,
        description=task.description + (f"; in {task.precision}" if task.precision else ""),
        steps=task.steps,
        batch=task.batch,
        parameters=parameter_count(model),
        data_hash=data.digest,
        data=data.source,
        metric=task.metric,
        baselines={"untrained": untrained, **data.baselines},
        control=task.control,
        diagnostic=task.diagnostic,
    )


def probe(
    tasks: Sequence[Task], entries: Sequence[Entry], rules: Protocol, on_probe: Callable[[str, str], None]
) -> tuple[dict[str, dict[str, StepCost | None]], dict[str, dict[str, str]]]:
    """Per task and entry the cost of a step measured alone, and the printed routing table."""
    costs: dict[str, dict[str, StepCost | None]] = {t.name: {} for t in tasks}
    routing: dict[str, dict[str, str]] = {t.name: {} for t in tasks}
    with suppress(Exception):  # the first step of a process pays for imports that belong to no entry
        step_cost(tasks[0], entries[0], points(tasks[0], entries[0], rules)[0])
    for task in tasks:
        for racing in entries:
            on_probe(task.name, racing.name)
            hyper = points(task, racing, rules)[0]
            costs[task.name][racing.name] = None
            with suppress(Exception):  # the runs themselves will fail and be recorded with the reason
                costs[task.name][racing.name] = step_cost(task, racing, hyper)
                routing[task.name][racing.name] = _routing(task, racing, hyper)
    if all(cost is None for row in costs.values() for cost in row.values()):
        step_cost(tasks[0], entries[0], points(tasks[0], entries[0], rules)[0])  # nothing works: say why
    return costs, routing


def _routing(task: Task, racing: Entry, hyper: Mapping[str, Any]) -> str:
    """The printed table of who updates what; empty for optimizers that piste did not make."""
    import piste

    model = build(task, 0)
    optimizer = racing.build(model, **{**racing.fixed, **hyper})
    return str(piste.explain(optimizer)) if isinstance(optimizer, piste.Optimizer) else ""


def _attempt(task: Task, part: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RaceError:
        raise
    except Exception as error:
        raise RaceError(f"task {task.name!r}: {part} raised {type(error).__name__}: {error}") from error
