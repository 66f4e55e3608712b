"""The leaderboard in a terminal: the same words as in the report."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import words
from .results import Results
from .score import EntryScore, TaskScore, score


def print_leaderboard(results: Results, console: Console | None = None) -> None:
    """One table per task, tasks of the leaderboard first, with the verdict above and the scale below."""
    console = console or Console()
    tasks = sorted(score(results).values(), key=lambda t: not t.admission.admitted)
    for task in tasks:
        console.print(leaderboard(task, narrow=console.width < 100))
        if results.protocol.get("cooldown"):
            console.print(by_length(task))
    missing = results.planned - len(results.records)
    if missing > 0:
        console.print(Text(f"Not finished: {missing} of {results.planned} runs are still to come.", "yellow"))


def leaderboard(task: TaskScore, narrow: bool = False) -> RenderableType:
    """A task's table; `narrow` keeps to 80 columns by leaving out the optimizer's part and the state."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("entry")
    columns = [
        "final loss",
        f"minus {task.reference}’s",
        f"{task.reference} steps",
        "time",
        "optimizer",
        "state",
    ]
    for name in columns[: 4 if narrow else 6]:
        table.add_column(name, justify="right")
    for entry in task.entries:
        style = "bold" if entry.entry == task.reference else "" if entry.rank else "dim"
        table.add_row(*_cells(entry, task)[: 6 if narrow else 8], style=style)
    head = Text(task.info.name, "bold")
    if not task.admission.admitted:
        head.append(f"  diagnostic: {task.admission.reason}", "yellow")
    flags = [Text(f"{e.entry}: {flag}", "yellow") for e in task.entries for flag in e.flags]
    scale = Text(words.scale([task]), "dim")
    return Group(head, Text(words.verdict(task)), Text(""), table, *flags, scale, Text(""))


def by_length(task: TaskScore) -> RenderableType:
    """Final losses at every length, of a race whose runs branch off one long run."""
    heads, rows = words.lengths(task)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("entry")
    for head in heads:
        table.add_column(head, justify="right")
    for name, losses in rows:
        table.add_row(name, *losses)
    return Group(
        Text(f"{task.info.name}: final loss after so many steps, mean over fresh seeds"), table, Text("")
    )


def _cells(entry: EntryScore, task: TaskScore) -> list[str]:
    loss = words.loss(entry.loss, task) if entry.losses else entry.state
    speed = entry.speedup
    return [
        words.place(entry.rank),
        entry.entry,
        loss,
        words.plus_minus(entry.difference, task),
        f"{words.times(speed.mid, task)} ({words.bounds(speed, task)})" if speed else "",
        words.duration(entry.seconds),
        words.milliseconds(entry.optimizer_seconds),
        words.size(entry.state_bytes),
    ]
