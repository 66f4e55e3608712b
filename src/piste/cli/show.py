"""`piste show NAME`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .files import PYTHON_FILE, build, explained, load_model

MOVES = {
    "moment": "moves like a gradient",
    "square": "not negative",
    "weights": "a copy of the parameter",
    "factor": "a matrix statistic",
    "basis": "an orthogonal basis",
    "scalar": "one number",
    "index": "whole numbers",
    "probe": "diagnostic, never saved",
}


@click.command()
@click.argument("name")
@click.argument("expression", required=False)
@click.option("--steps", type=click.IntRange(min=2), default=100, show_default=True, help="Of a schedule.")
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="Of a schedule: a .png or .svg."
)
@click.option("--kind", help="Which, where one name has several kinds.")
@click.option(
    "--model",
    type=PYTHON_FILE,
    help="A file with `model` or `make_model()`: show who updates what, and the bytes it takes.",
)
@click.option("--storage", help="With --model: how slots are kept, 8bit or exp_avg_sq=int8,exp_avg=bf16.")
@click.option("--mesh", help="With --model: what each rank holds, does and sends, on dp=64,tp=8.")
@click.option(
    "--cut",
    "cuts",
    multiple=True,
    metavar="PATTERN=AXIS",
    help="With --mesh: the axis (0, 1 or none) along which tp cuts the parameters of that name. Repeatable.",
)
def show(
    name: str, expression: str | None, steps: int, picture: Path | None, kind: str | None, model: Path | None,
    **asked: Any,
) -> None:  # fmt: skip
    """Show what NAME is: its equations and source, what it keeps, and its hyperparameters.

    With --model also which of its parameters go where, and the bytes all that takes, before anything is allocated.
    `piste show schedule 'warmup(10, cosine(3e-4, 90))'` draws a schedule.
    """
    import piste

    if name == "schedule" and expression is not None:
        _drawn(expression, steps, picture)
        return
    if expression is not None:
        raise click.UsageError(
            f"{expression!r}: only `piste show schedule EXPRESSION` takes a second argument"
        )

    from .registered import everything

    everything()
    with explained("", (KeyError,)):
        entry = piste.get(name, kind)
    console = Console()
    console.print(Text.assemble((entry.name, "bold"), (f"  {entry.kind}  {entry.module}", "dim")))
    console.print()
    click.echo(inspect.cleandoc(entry.target.__doc__ or "No description."))
    console.print()
    if entry.needs:
        console.print(Text(f"Needs: {', '.join(entry.needs)}", "yellow"))
    _details(entry, console)
    _evidence(entry.name, console)
    if model is not None:
        if entry.kind != "optimizer":
            raise click.UsageError(f"--model is for optimizers; {entry.name} is a {entry.kind}")
        _forecast(entry.name, model, **asked)
    elif any(asked.values()):
        option = next("--cut" if key == "cuts" else f"--{key}" for key, value in asked.items() if value)
        raise click.UsageError(f"{option} speaks of a model: give one with --model FILE.py")


def _drawn(expression: str, steps: int, out: Path | None) -> None:
    from .drawing import picture, plot, schedule_of

    with explained("", (ValueError, TypeError)):
        made = schedule_of(expression)
        values = [float(made(t)) for t in range(steps)]
    click.echo("\n".join(plot(values)))
    click.echo(
        f"{made!r}, steps 0 to {steps - 1}: from {values[0]:g} to {values[-1]:g}, at most {max(values):g}"
    )
    if out is not None:
        picture(values, expression, out)
        click.echo(f"picture: {out}")


def _forecast(name: str, model: Path, storage: str | None, mesh: str | None, cuts: tuple[str, ...]) -> None:
    """Who updates what, bytes by role, and the plan of a mesh."""
    import piste

    from ..cost import memory, plan, ranks

    if cuts and mesh is None:
        raise click.UsageError("--cut speaks of a mesh: give one with --mesh dp=64,tp=8")
    engine = {} if storage is None else {"storage": storage_of(storage)}
    optimizer = build(name, load_model(model, meta=True), model, **engine)
    with explained("", (ValueError,)):
        planned = plan(optimizer, mesh or "dp=1", cuts_of(cuts))
    click.echo(f"{piste.explain(optimizer)}\n\n{memory(planned)}")
    if mesh is not None:
        click.echo(f"\n{ranks(planned)}")


def storage_of(text: str) -> str | dict[str, str]:
    """A preset, or codecs by slot."""
    if "=" not in text:
        return text
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, _, codec = (part.strip() for part in pair.partition("="))
        if name in found:
            raise click.UsageError(f"--storage names {name!r} twice")
        found[name] = codec
    return found


def cuts_of(given: tuple[str, ...]) -> dict[str, int | None]:
    """Axes by pattern."""
    found: dict[str, int | None] = {}
    for text in given:
        pattern, _, axis = text.rpartition("=")
        if not pattern or axis not in ("0", "1", "2", "3", "none"):
            raise click.UsageError(
                f"--cut {text!r} is not PATTERN=AXIS, such as '*.down.weight=1' or 'head.*=none'"
            )
        found[pattern] = None if axis == "none" else int(axis)
    return found


def _evidence(name: str, console: Console) -> None:
    """What the committed ledger says of it, what did not come out first."""
    from ..evidence import ledger

    said = sorted(ledger.of_method(name), key=lambda r: r["verdict"] == "confirmed")
    rows = [(r["verdict"], r["name"].replace("_", " "), r["paper"]) for r in said]
    _table(console, "Evidence (`piste verify` runs it again)", rows)


def _details(entry: Any, console: Console) -> None:
    if entry.kind == "optimizer":
        factory = entry.target.factory
        chain = factory.chain()
        _table(console, "Chain", [(p.transform.room, _called(p), p.scope) for p in chain])
        _slots(console, chain.slots())
        _table(console, "Hyperparameters", [(k, repr(v)) for k, v in factory.defaults.items()])
    elif hasattr(entry.target, "slots"):
        rule = entry.target
        _table(console, "Reads", [(", ".join(rule.asks) or "nothing but the update", f"scope {rule.scope}")])
        _slots(console, ((n, s, {}) for n, s in rule.slots.items()))
        _table(console, "Sums", [(n, f"{s.how} over {s.over}") for n, s in rule.sums.items()])
        _table(console, "Hyperparameters", [(k, repr(rule.defaults.get(k, "required"))) for k in rule.hyper])
    elif entry.kind == "task":
        task = entry.target()
        facts = [
            ("steps", task.steps),
            ("batch", task.batch),
            ("metric", task.metric),
            ("about", task.description),
        ]
        _table(console, "Task", [(k, str(v)) for k, v in facts])
    else:
        _table(console, "Call", [(f"{entry.name}{inspect.signature(entry.target)}",)])


def _called(part: Any) -> str:
    """A part's name, with the chains it holds."""
    held = ["(" + " → ".join(_called(p) for p in chain) + ")" for chain in part.inner]
    return part.transform.name + "".join(held)


def _slots(console: Console, slots: Iterable[tuple[str, Any, Any]]) -> None:
    rows = [(n, s.axes or "one number", s.kind, MOVES.get(s.kind, "")) for n, s, _ in slots]
    _table(console, "Slots, over a matrix of m rows and n columns", rows)


def _table(console: Console, title: str, rows: list[tuple[str, ...]]) -> None:
    if not rows:
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row("", *(Text(cell) for cell in row))
    console.print(Text(title, "cyan"))
    console.print(table)
    console.print()
