"""`piste verify`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .._registry import registry
from .files import explained, load_file

if TYPE_CHECKING:
    from ..evidence import Claim, Finding

COLOURS = {
    "confirmed": "green", "not confirmed": "magenta", "inconclusive": "yellow", "needs hardware": "dim", "error": "red",
}  # fmt: skip

SOME = 60  # claims between two writes of the ledger


@click.command()
@click.argument("names", nargs=-1)
@click.option("--cost", type=click.Choice(["quick", "full"]), default="quick", show_default=True,
              help="quick: claims of at most 3 seconds each; full: all.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of findings and nothing else.")
@click.option("--write", is_flag=True, help="Put the findings into the ledger.")
@click.option(
    "--stale",
    is_flag=True,
    help="Only claims of which the ledger says nothing, or of code that has changed since; of --sabotage, too.",
)
@click.option(
    "--sabotage", is_flag=True, help="Also run every claim on a wrong method: it must not be confirmed."
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes.  [default: as many as torch has threads]"
)
def verify(
    names: tuple[str, ...], cost: str, as_json: bool, write: bool, stale: bool, sabotage: bool,
    workers: int | None,
) -> None:  # fmt: skip
    """Find out whether methods do what their papers say. NAMES: of methods, claims or papers, or Python files that
    declare claims of your own; none: all that piste knows.

    Facts of a file's problems are held against numbers first. Exits with 1 if a claim ends in an error, or if its
    wrong method is not found out.
    """
    import torch

    from .. import evidence
    from ..evidence import ledger

    if write and any(name.endswith(".py") for name in names):
        raise click.UsageError("the ledger speaks of piste's own claims: leave out --write, or take --json")
    with explained("", (KeyError,)):
        chosen = _chosen(names, cost)
    if not chosen:
        raise click.UsageError("only claims of --cost full fit these names")
    codes = {c.name: ledger.code_of(c) for c in chosen}
    rows = ledger.read() if stale else {}

    def due(key: str) -> list[Claim]:
        return [c for c in chosen if rows.get(c.name, {}).get(key) != codes[c.name]]

    to_try = due("code")
    to_sabotage = [c for c in due("sabotaged") if sabotage and c.wrong is not None]
    console = Console(stderr=True, quiet=as_json)
    workers = workers or torch.get_num_threads()
    shared = {"workers": workers, "files": [name for name in names if name.endswith(".py")]}
    known = [c.name for c in evidence.claims()]
    # what is to be written is, before the next ones run: a long run that is stopped has lost little
    at_once = SOME if write else len(chosen)
    found: list[Finding] = []
    with _bar(console, "verifying", len(to_try)) as advance:
        for some in _cut(to_try, at_once):
            found += (now := evidence.verify(some, advance, **shared))
            if write:
                ledger.write(now, known=known, codes=codes)
    idle: dict[str, str] = {}
    with _bar(console, "sabotaging", len(to_sabotage)) as advance:
        for some in _cut(to_sabotage, at_once):
            idle |= (now := evidence.fooled(some, advance, **shared))
            if write:
                ledger.write_sabotaged({c.name: codes[c.name] for c in some if c.name not in now})
    if as_json:
        click.echo(json.dumps([f.as_dict() for f in found], indent=2, ensure_ascii=False))
    else:
        _table(found, Console())
        if sabotage:
            click.echo(f"Wrong methods found out: {len(to_sabotage) - len(idle)} of {len(to_sabotage)}.")
    for name, verdict in idle.items():
        click.echo(
            f"{name}: a wrong method was not found out ({verdict}). Remedy: a sharper prediction or a worse method",
            err=True,
        )
    sys.exit(1 if idle or any(f.verdict == "error" for f in found) else 0)


def _cut(claims: Sequence[Claim], at_once: int) -> Iterator[Sequence[Claim]]:
    for i in range(0, len(claims), at_once):
        yield claims[i : i + at_once]


def _chosen(names: Sequence[str], cost: str) -> list[Claim]:
    from .. import evidence

    named = [evidence.claims((), cost)] if not names else [_named(name, cost) for name in names]
    return list({claim.name: claim for some in named for claim in some}.values())


def _named(name: str, cost: str) -> Sequence[Claim]:
    """The claims of a name, or of a Python file, whose problems are looked at first."""
    from .. import evidence

    if not name.endswith(".py"):
        return evidence.claims([name], cost)
    module = load_file(Path(name))
    for entry in registry("problem"):
        if entry.module == module.__name__:
            with explained(name):
                evidence.check(entry.target())
    own = [c for c in evidence.claims((), cost) if c.experiment.__module__ == module.__name__]
    if not own:
        raise click.ClickException(
            f"{name} declares no claim of --cost {cost}: use @piste.evidence.claim(...)"
        )
    return own


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Callable[[str], None]]:
    columns = (
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda name: progress.update(task, advance=1, description=name)


def _table(found: Sequence[Finding], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("method", "claim", "kind", "predicted", "seen", "verdict"):
        table.add_column(title, overflow="fold", justify="right" if title == "seen" else "left")
    for f in found:
        verdict = Text(f.verdict, COLOURS[f.verdict])
        table.add_row(f.method, f.name.replace("_", " "), f.kind, f.prediction, _seen(f), verdict)
    console.print(table)
    for f in found:
        if f.note:
            console.print(Text.assemble((f"{f.name}: ", "bold"), f.note))
    counts = Counter(f.verdict for f in found)
    papers = len({f.paper for f in found})
    said = ", ".join(f"{counts[v]} {v}" for v in COLOURS if counts[v])
    console.print(f"\n{len(found)} claims of {papers} papers: {said}.")


def _seen(f: Finding) -> str:
    if f.seen is None or f.low is None or f.high is None:
        return "–"
    return f"{f.seen:.4g}" + (f" ({f.low:.3g} to {f.high:.3g})" if f.high > f.low else "")
