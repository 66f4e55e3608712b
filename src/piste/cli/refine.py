"""`piste refine`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click

from .files import explained


@click.command()
@click.argument("run", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--peak", type=click.FloatRange(min=0, min_open=True), required=True, help="The largest rate.")
@click.option("--steps", type=click.IntRange(min=1), help="Of the next run.  [default: as many as norms]")
@click.option("--kind", type=click.Choice(["sgd", "adam"]), default="sgd", show_default=True,
              help="sgd: norms are Euclidean; adam: sums of magnitudes.")  # fmt: skip
@click.option("--column", default="grad_norm", show_default=True, help="Of a CSV file.")
@click.option("--smoothing", default=0.1, show_default=True, help="Share of the run that a median goes over.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the schedule as JSON.")
@click.option("--picture", "drawn", type=click.Path(dir_okay=False, path_type=Path), help="A .png or .svg.")
def refine(
    run: Path, peak: float, steps: int | None, kind: str, column: str, smoothing: float, out: Path | None,
    drawn: Path | None,
) -> None:  # fmt: skip
    """The schedule of the next run from the gradient norms that RUN logged: a CSV file with a column of them, or a file
    of JSON lines or numbers.

    `piste.schedules.read(OUT)` gives it back.
    """
    from ..schedules import refined, save
    from .drawing import picture, plot

    with explained(str(run), (ValueError,)):
        norms = read(run, column)
        made = refined(norms, peak, steps or len(norms), kind, smoothing)
    values = [made(t) for t in range(steps or len(norms))]
    click.echo("\n".join(plot(values)))
    top = max(range(len(values)), key=values.__getitem__)
    click.echo(f"rises to {peak:g} at step {top}, {top / len(values):.0%} of {len(values)}, and falls to 0")
    if out is not None:
        save(made, out)
        click.echo(f"wrote {out}")
    if drawn is not None:
        picture(values, f"refined from {run.name}", drawn)
        click.echo(f"picture: {drawn}")


def read(path: Path, column: str) -> list[float]:
    """Norms by step. Errors: ValueError with the line."""
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        rows = list(csv.DictReader(lines))
        if rows and column not in rows[0]:
            raise ValueError(f"no column {column!r}; it has {', '.join(rows[0])}: say which with --column")
        texts = [row[column] for row in rows]
    else:
        texts = [_of_line(line, column) for line in lines if line.strip()]
    found = []
    for i, text in enumerate(texts, 1):
        try:
            found.append(float(text))
        except (TypeError, ValueError):
            raise ValueError(f"row {i}: {text!r} is not a number") from None
    return found


def _of_line(line: str, column: str) -> str:
    if not line.lstrip().startswith("{"):
        return line
    row = json.loads(line)
    if column not in row:
        raise ValueError(f"no {column!r} in {line[:80]}: say which with --column")
    return str(row[column])
