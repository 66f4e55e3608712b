"""`piste race`."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from .files import explained

NEEDED = {"optuna": "optuna", "sklearn": "scikit-learn", "matplotlib": "matplotlib", "jinja2": "jinja2"}
FOLDER = Path("races")


@click.command()
@click.option("--quick", is_flag=True, help="One small task: at most two minutes.")
@click.option("--full", is_flag=True, help="All tasks and entries, 12 trials each, 5 seeds: hours.")
@click.option(
    "--task", "tasks", multiple=True, help="A task of `piste list --kind task` or a Python file. Repeatable."
)
@click.option("--entries", multiple=True, help="Optimizers, separated by commas; family:NAME is all of one.")
@click.option(
    "--plan", "plan_only", is_flag=True, help="Print runs, cost and what they can show; start nothing."
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Fit the plan to this budget.")
@click.option(
    "--points", type=click.IntRange(min=2), help="Settings tried of each entry.  [default: 4; --full 12]"
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes on this machine.  [default: one per core]"
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the tuning runs; the fresh seeds follow it.  [default: 0]"
)
@click.option(
    "--branch", is_flag=True, help="One long run at a constant rate, and a cooldown from it for each length."
)
@click.option("--lengths", help="Of --branch, in multiples of a task's steps.  [default: 0.25,0.5,0.75,1]")
@click.option(
    "--cooldown",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of a run.  [default: 0.2]",
)
@click.option("--precision", type=click.Choice(["mxfp4"]), help="Of the linear layers' gradients, emulated.")
@click.option("--storage", help="Journal file or database URL; several processes may share one.")
@click.option("--resume", is_flag=True, help="Go on with the newest race here, or the one in --storage.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The report.  [default: beside the journal]",
)
def race(resume: bool, plan_only: bool, storage: str | None, out: Path | None, **asked: Any) -> None:
    """Find out which optimizer suits a problem: equal tuning budgets, fresh seeds, honest intervals.

    Everything is kept in a journal: stop at any moment, go on with --resume. A race with --branch keeps checkpoints
    beside it, and --resume --lengths adds cooldowns from any of them.
    """
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise click.ClickException(f'piste race needs {", ".join(missing)}: pip install "piste[race]"')
    from ..race import RaceError

    console = Console()
    with explained("", (RaceError,)):
        if resume:
            _refuse(asked, plan_only)
            storage = storage or str(_newest())
            more = _lengths(asked["lengths"])
            _finish(_resumed(storage, asked["workers"], more, console), storage, out, console)
            return
        plan = _planned(asked, console)
        if not plan_only:
            storage = storage or str(_fresh())
            _finish(_run(plan, storage, console), storage, out, console)


def _lengths(given: str | None) -> tuple[float, ...]:
    try:
        found = tuple(float(x) for x in (given or "").split(",") if x.strip())
    except ValueError:
        raise click.BadParameter(
            f"{given!r} is not a list of numbers such as 0.25,0.5", param_hint="--lengths"
        ) from None
    if not all(0 < x < float("inf") for x in found):
        raise click.BadParameter(f"lengths are above 0, got {given!r}", param_hint="--lengths")
    return found


def _rules(asked: dict[str, Any], mode: Any) -> Any:
    """The protocol that the options ask for."""
    from ..race.protocol import BRANCHES, COOLDOWN, PROTOCOLS

    rules = PROTOCOLS[mode]
    rules = replace(rules, points=asked["points"] or rules.points)
    if not asked["branch"]:
        if asked["lengths"] or asked["cooldown"]:
            raise click.UsageError("--lengths and --cooldown belong to --branch: add it, or leave them out")
        return rules
    if asked["minutes"]:
        raise click.UsageError(
            "--minutes does not fit branches: leave it out, and choose --points and --lengths"
        )
    horizons = _lengths(asked["lengths"]) or BRANCHES
    return replace(rules, horizons=horizons, cooldown=asked["cooldown"] or COOLDOWN)


def _planned(asked: dict[str, Any], console: Console) -> Any:
    from ..race import plan
    from .progress import print_plan

    if asked["quick"] and asked["full"]:
        raise click.UsageError("--quick and --full exclude each other")
    if asked["points"] and asked["minutes"]:
        raise click.UsageError("--minutes chooses the points itself: leave out --points")
    mode = "quick" if asked["quick"] else "full" if asked["full"] else "default"
    rules = _rules(asked, mode)
    entries = [name.strip() for given in asked["entries"] for name in given.split(",") if name.strip()]
    with console.status("measuring steps") as status:
        made = plan(
            tasks=list(asked["tasks"]) or None,
            entries=entries or None,
            mode=mode,
            protocol=rules,
            minutes=asked["minutes"],
            workers=asked["workers"],
            seed=asked["seed"],
            precision=asked["precision"] or "",
            on_probe=lambda task, entry: status.update(f"measuring a step of {entry} on {task}"),
        )
    print_plan(made, console)
    return made


def _run(plan: Any, storage: str, console: Console) -> Any:
    from ..race import run
    from .progress import live

    weights = {t.key: plan.seconds(t) for t in plan.trials}
    console.print(Text(f"journal {storage}\n", "dim"))
    with _stoppable(storage), live(console, weights) as on_event:
        return run(plan, storage, on_event)


def _resumed(storage: str, workers: int | None, lengths: tuple[float, ...], console: Console) -> Any:
    from ..race import resume
    from .progress import live

    console.print(Text(f"going on with {storage}\n", "dim"))
    with _stoppable(storage), live(console, {}) as on_event:
        return resume(storage, workers, on_event, lengths=lengths)


def _finish(results: Any, storage: str, out: Path | None, console: Console) -> None:
    from ..race.report import write
    from ..race.terminal import print_leaderboard

    beside = Path("race.html") if "://" in storage else Path(storage).with_suffix(".html")
    console.print()
    print_leaderboard(results, console)
    try:
        path = write(results, out or beside)
    except OSError as error:
        raise click.ClickException(f"the report cannot be written: {error}; give another --out") from error
    click.echo(f"report: {path}")


def _refuse(asked: dict[str, Any], plan_only: bool) -> None:
    """A resumed race keeps its plan: an option that would change it is a misunderstanding."""
    given = [
        f"--{'task' if name == 'tasks' else name}"
        for name, value in asked.items()
        if name not in ("workers", "branch", "lengths") and value not in (None, False, ())
    ]
    given += ["--plan"] if plan_only else []
    if given:
        raise click.UsageError(f"--resume keeps the plan stored with the race: leave out {', '.join(given)}")


def _fresh() -> Path:
    folder = FOLDER / datetime.now().strftime("%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise click.ClickException(f"no race can be kept here: {error}; give --storage") from error
    return folder / "race.journal"


def _newest() -> Path:
    found = sorted(FOLDER.glob("*/race.journal"))
    if not found:
        raise click.ClickException(f"no race to resume in {FOLDER}/: start one, or name its --storage")
    return found[-1]


@contextmanager
def _stoppable(storage: str) -> Iterator[None]:
    """Ctrl-C ends a race with the command that goes on with it."""
    try:
        yield
    except KeyboardInterrupt:
        command = f"piste race --resume --storage {shlex.quote(storage)}"
        click.secho(f"\nstopped; go on with: {command}", fg="yellow", err=True)
        raise SystemExit(130) from None
