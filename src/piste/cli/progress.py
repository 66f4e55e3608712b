"""A plan and a running race in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ..race import Plan, Record
    from ..race.events import Event, OnEvent

PHASES = {"tune": "tuning", "final": "fresh seed", "horizon": "another length"}


def print_plan(plan: Plan, console: Console) -> None:
    """Runs, cost and the smallest difference the plan can show, per task."""
    from ..race import words

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("task", "parameters", "steps", "tuning", "fresh", "lengths", "time alone", "detects"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for task in plan.tasks:
        mine = [t for t in plan.trials if t.task == task.name]
        counts = [str(sum(t.phase == phase for t in mine)) for phase in PHASES]
        deviations, gap = plan.detectable(task.name)
        found = f"{deviations:.1f} deviations" + (f" = {gap:.2g}" if gap is not None else "")
        alone = words.duration(sum(plan.seconds(t) for t in mine))
        table.add_row(
            task.name, f"{plan.infos[task.name].parameters:,}", f"{task.steps:,}", *counts, alone, found
        )
    console.print(Text(f"{len(plan.entries)} entries: {', '.join(e.name for e in plan.entries)}"))
    console.print(table)
    if plan.protocol.cooldown:
        apart, done = (
            sum(of(t) for t in plan.trials) for of in (lambda t: t.steps, lambda t: t.steps - t.begins)
        )
        console.print(
            Text(
                f"Constant rates, cooled down over the last {plan.protocol.cooldown:.0%} of each length: "
                f"branching does {done:,} steps in place of {apart:,}."
            )
        )
    crew = f"{plan.workers} worker{'s' if plan.workers > 1 else ''}"
    console.print(Text(f"{len(plan.trials)} runs, about {words.duration(plan.estimate)} with {crew}."))
    console.print(
        Text(
            "detects: the true difference from the reference that is found four times in five. "
            f"Whatever is found «{words.LIMIT}» beyond these tasks and sizes.",
            "dim",
        )
    )


@contextmanager
def live(console: Console, weights: Mapping[str, float]) -> Iterator[OnEvent]:
    """Yields what a race calls with its events: one line per finished run above one bar per running one.

    `weights` are the expected seconds of each run; without them all count the same.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, transient=True)
    whole = progress.add_task("race", total=sum(weights.values()) or None, note="")
    running: dict[str, TaskID] = {}

    def on_event(event: Event) -> None:
        if event.kind == "started":
            running[event.key] = progress.add_task(f"  {_what(event)}", total=event.steps, note="")
        elif event.kind == "progress" and event.key in running:
            loss = event.val_loss if event.val_loss is not None else event.train_loss
            note = "" if loss is None else f"{loss:.4g}"
            progress.update(running[event.key], completed=event.step, note=note)
        elif event.key in running:
            progress.remove_task(running.pop(event.key))
        if event.kind == "finished" and event.record is not None:
            progress.console.print(_line(event.record))
            progress.advance(whole, weights.get(event.key, 0.0))
        if event.total:
            progress.update(whole, note=f"{event.done} of {event.total} runs")
        if event.total and not weights:
            progress.update(whole, completed=event.done, total=event.total)

    with progress:
        yield on_event


def _what(event: Event) -> str:
    rate = event.hyper.get("lr")
    return f"{event.task} {event.entry} {PHASES.get(event.phase, '')}{f' lr {rate:.3g}' if rate else ''}"


def _line(record: Record) -> Text:
    length = f" ×{record.horizon:g}" if record.phase == "horizon" else ""
    what = f"lr {record.lr:<8.3g}" if record.phase == "tune" else f"seed {record.seed}{length}"
    text = Text.assemble((f"{record.task:<12}", "dim"), f"{record.entry:<20}", (f"{what:<14}", "dim"))
    if record.ok and record.val_loss is not None:
        return text.append(f"{record.val_loss:>10.4g}")
    return text.append(f"  {record.status}: {record.error or ''}", "red")
