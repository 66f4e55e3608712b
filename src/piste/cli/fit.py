"""`piste fit`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .files import explained

if TYPE_CHECKING:
    from ..scaling import Fit

COLOURS = {"good": "green", "warning": "yellow", "yours": "dim"}
MARKS = {"good": "✓", "warning": "!", "yours": "?"}


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--law", "law_name", default="power+floor", show_default=True,
              help="power: A·N^-α; power+floor: E + A·N^-α; chinchilla: E + A·N^-α + B·D^-β.")  # fmt: skip
@click.option(
    "--x", "sizes", multiple=True, help="Column of a size; give it twice for chinchilla.  [default: N, D]"
)
@click.option("--y", "loss", default="loss", show_default=True, help="Column of the loss.")
@click.option("--at", "at", multiple=True, help="Foretell the loss at this size: 1e9, or 1e9,2e10 for two.")
@click.option("--flops", type=click.FloatRange(min=0, min_open=True), multiple=True,
              help="Split so much compute, 6·N·D, in the best way (chinchilla).")  # fmt: skip
@click.option("--held-out", type=click.FloatRange(0, 0.5), default=0.2, show_default=True,
              help="Share of the runs, the largest, that a second fit must foretell.")  # fmt: skip
@click.option("--samples", type=click.IntRange(min=2), default=400, show_default=True, help="Resamplings.")
@click.option("--seed", default=0, show_default=True, help="Of the resamplings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="A page (.html) or a picture (.png, .svg)."
)
def fit(
    file: Path, law_name: str, sizes: tuple[str, ...], loss: str, at: tuple[str, ...], flops: tuple[float, ...],
    held_out: float, samples: int, seed: int, as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    """Fit a scaling law to the runs of a CSV FILE, with intervals, a check on the largest runs, and the checklist of
    "(Mis)Fitting: A Survey of Scaling Laws"."""
    from .. import scaling
    from ..scaling.laws import law_of
    from ..scaling.tables import read

    with explained("", (KeyError,)):
        law = law_of(law_name)
    columns = sizes or law.sizes
    if len(columns) != len(law.sizes):
        raise click.UsageError(f"{law.name} takes {len(law.sizes)} sizes: give --x {len(law.sizes)} times")
    if flops and len(law.sizes) != 2:
        raise click.UsageError(f"--flops: {law.name} has one size, there is nothing to split")
    wanted = [_numbers(text, len(columns)) for text in at]
    with explained(str(file), (ValueError, UnicodeDecodeError)):
        table = read(file, (*columns, loss))
        found = scaling.fit(law, table[:, :-1], table[:, -1], held_out=held_out, samples=samples, seed=seed)
    found = replace(found, columns=(*columns, loss))
    if out is not None:
        _save(found, out)
    if as_json:
        click.echo(json.dumps(as_dict(found, wanted, flops), indent=2, ensure_ascii=False))
    else:
        _print(found, wanted, flops, Console())


def _numbers(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or min(numbers) <= 0:
        raise click.UsageError(
            f"--at {text}: give {count} positive number{'s, with commas' if count > 1 else ''}"
        )
    return numbers


def _save(found: Fit, out: Path) -> None:
    try:
        from ..scaling.picture import save

        with explained(str(out), (ValueError, OSError)):
            save(found, out)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise click.ClickException('pictures need matplotlib: pip install "piste[fit]"') from error


def as_dict(found: Fit, wanted: list[list[float]], flops: Sequence[float]) -> dict[str, Any]:
    """What the command prints, for a machine."""
    from ..scaling import checklist

    held = found.held
    return {
        "law": found.law.name,
        "formula": found.law.formula,
        "columns": list(found.columns),
        "points": len(found.loss),
        "parameters": {
            name: {"value": float(v), "low": float(low), "high": float(high)}
            for name, v, low, high in zip(found.law.names, found.values, found.low, found.high)
        },
        "allocation": found.allocation,
        "explained": found.explained,
        "held_out": None if held is None else {k: getattr(held, k).tolist() for k in ("seen", "said", "low", "high")},
        "foretold": [dict(zip(("sizes", "loss", "low", "high"), (at, *_foretold(found, at)))) for at in wanted],
        "best": [dict(zip(("flops", "N", "D", "loss"), (c, *_best(found, c)))) for c in flops],
        "checklist": [{"topic": i.topic, "said": i.said, "status": i.status} for i in checklist(found)],
    }  # fmt: skip


def _foretold(found: Fit, at: list[float]) -> tuple[float, float, float]:
    low, high = found.interval([at])
    return float(found.predict([at])[0]), float(low[0]), float(high[0])


def _best(found: Fit, flops: float) -> tuple[float, float, float]:
    from ..scaling import allocate

    n, d = (float(part) for part in allocate(found.law, found.values, flops))
    return n, d, float(found.predict([[n, d]])[0])


def _print(found: Fit, wanted: list[list[float]], flops: Sequence[float], console: Console) -> None:
    from ..scaling import checklist

    named = ", ".join(f"{law} = {column}" for law, column in zip((*found.law.sizes, "L"), found.columns))
    console.print(
        Text.assemble(("L = " + found.law.formula, "bold"), f"   ({named}; {len(found.loss)} points)\n")
    )
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("parameter", "value", f"{found.level:.0%} interval"):
        table.add_column(title)
    for name, v, low, high in zip(found.law.names, found.values, found.low, found.high):
        table.add_row(name, f"{v:.5g}", f"{low:.4g} to {high:.4g}")
    if found.allocation is not None:
        best, low, high = found.allocation
        table.add_row("N ∝ (N·D)^", f"{best:.4g}", f"{low:.4g} to {high:.4g}")
    console.print(table)
    for at in wanted:
        said, low, high = _foretold(found, at)
        console.print(f"\nat {', '.join(f'{x:g}' for x in at)}: {said:.5g} ({low:.4g} to {high:.4g})")
    for compute in flops:
        n, d, said = _best(found, compute)
        first, second, _ = found.columns
        console.print(f"\n{compute:g} flops: {first} = {n:.4g}, {second} = {d:.4g}, {said:.5g}")
    console.print()
    items = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for column in ("mark", "topic", "said"):
        items.add_column(column, overflow="fold", no_wrap=column != "said")
    for item in checklist(found):
        items.add_row(Text(MARKS[item.status], COLOURS[item.status]), item.topic, item.said)
    console.print(items)
