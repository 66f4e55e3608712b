"""`piste merge` and `piste average`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from .files import PYTHON_FILE, explained, load_file

if TYPE_CHECKING:
    from ..merging import Merge, Recipe

ANY = click.Path(path_type=Path)
WRONG = (ValueError, TypeError, KeyError, OSError)


@click.command()
@click.argument("models", nargs=-1, type=ANY)
@click.option("--method", help="A method of `piste list --kind merge`, where no recipe says it.")
@click.option("--base", type=ANY, help="What the models were fine-tuned from.")
@click.option("--weights", help="One number per model, with commas between.")
@click.option("--set", "hyper", multiple=True, metavar="NAME=VALUE", help="A hyperparameter. Repeatable.")
@click.option("--keep", multiple=True, metavar="PATTERN", help="Tensors to take as they are. Repeatable.")
@click.option("--dtype", help="Of the result: float32, float16, bfloat16, float64.  [default: the models']")
@click.option("--normalize", is_flag=True, help="Divide the weights by their sum.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of methods that draw.")
@click.option("--out", type=ANY, help="A .safetensors or .pt file, or a folder for shards.")
@click.option("--shard-bytes", type=click.IntRange(min=1), help="The most in one shard.  [default: 5 GB]")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the plan; write nothing.")
@click.option(
    "--evaluate", "task", type=PYTHON_FILE,
    help="A file with `evaluate(state_dict) -> loss`: draw the loss from the first model to the last, and by layers.",
)  # fmt: skip
@click.option("--points", type=click.IntRange(min=3), default=11, show_default=True, help="Of that path.")
def merge(
    models: tuple[Path, ...], task: Path | None, points: int, out: Path | None, overwrite: bool,
    shard_bytes: int | None, dry_run: bool, **asked: Any,
) -> None:  # fmt: skip
    """Merge MODELS, or what a recipe says (one file that ends in .yaml): tensor by tensor, all or nothing.

    Models are files of safetensors or torch's, or folders of them, Hugging Face's shards included.
    """
    from ..merging import Merge

    console = Console()
    with explained("", WRONG):
        if task is not None:
            _path(models, task, points, out or Path("loss-path.png"), console)
            return
        recipe, said = _recipe(models, asked)
        made = Merge(recipe)
        out = out or said.get("out")
        _print(made, out, console)
        if dry_run:
            return
        if out is None:
            raise click.UsageError("--out says where the result goes; --dry-run needs none")
        with bar(console, made.bytes) as on_tensor:
            made.run(
                out,
                overwrite or bool(said.get("overwrite")),
                shard_bytes or said.get("shard_bytes"),
                on_tensor,
            )
    click.echo(f"wrote {out}")


def _recipe(models: Sequence[Path], asked: dict[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    from ..merging import Recipe, load

    yaml = [m for m in models if m.suffix in (".yaml", ".yml")]
    if yaml:
        given = [f"--{'set' if k == 'hyper' else k}" for k, v in asked.items() if v]
        if len(models) > 1 or given:
            raise click.UsageError(
                f"a recipe says all but where it goes: leave out {', '.join(given) or 'the models'}"
            )
        return load(yaml[0])
    if not models or not asked["method"]:
        raise click.UsageError(
            "give a recipe, or --method and models; `piste list --kind merge` has the methods"
        )
    weights = asked["weights"]
    return Recipe(
        asked["method"], list(models), asked["base"],
        None if weights is None else [float(w) for w in weights.split(",")],
        hyper=dict(map(_pair, asked["hyper"])), tensors={p: {"method": "keep"} for p in asked["keep"]},
        dtype=asked["dtype"], normalize=asked["normalize"], seed=asked["seed"],
    ), {}  # fmt: skip


def _pair(text: str) -> tuple[str, Any]:
    """`name=value`: a number, true, false, or a word."""
    name, found, value = text.partition("=")
    if not found:
        raise click.UsageError(f"--set {text!r} is not NAME=VALUE")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(value.lower(), value)


def _print(made: Merge, out: Path | None, console: Console) -> None:
    """What will happen, tensors with one fate together."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, side in (("what", "left"), ("tensors", "right"), ("MB", "right"), ("for example", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    fates: dict[str, list[Any]] = {}
    for step in made.steps:
        hyper = ", ".join(f"{k}={v}" for k, v in step.rule.hyper.items())
        fates.setdefault(
            step.action + (f"({hyper})" if hyper else "") + (f": {step.why}" if step.why else ""), []
        ).append(step)
    for fate, steps in fates.items():
        size = sum(s.row.bytes for s in steps) / 1e6
        table.add_row(Text(fate), f"{len(steps)}", f"{size:,.1f}", Text(steps[0].name))
    console.print(table)
    names = ", ".join(
        f"{w:g} × {m.name}" for w, m in zip(made.recipe.weights or [], made.models, strict=True)
    )
    console.print(Text(f"of {names}" + (f" and the base {made.base.name}" if made.base else "")))
    console.print(Text(f"{made.bytes / 1e6:,.1f} MB" + (f" to {out}" if out else ""), "dim"))


@contextmanager
def bar(console: Console, total: int) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        line = progress.add_task("merging", total=total)

        def on_tensor(name: str, done: int, total: int) -> None:
            progress.update(line, completed=done, total=total)

        yield on_tensor


def _path(models: Sequence[Path], task: Path, points: int, out: Path, console: Console) -> None:
    from ..merging import loss_path

    if len(models) < 2:
        raise click.UsageError("--evaluate draws the way from one model to another: give two")
    if importlib.util.find_spec("matplotlib") is None:
        raise click.ClickException('--evaluate draws with matplotlib: pip install "piste[fit]"')
    evaluate = getattr(load_file(task), "evaluate", None)
    if not callable(evaluate):
        raise click.ClickException(f"{task} defines no `evaluate(state_dict)` that returns a loss")
    with console.status("evaluating the path"):
        found = loss_path(models[0], models[-1], evaluate, points, layers=True)  # type: ignore[arg-type]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("α", "loss"):
        table.add_column(name, justify="right")
    for alpha, loss in zip(found.alphas, found.losses[""], strict=True):
        table.add_row(f"{alpha:.2f}", f"{loss:.5g}")
    console.print(table)
    console.print(Text(f"barrier {found.barrier:.4g}"))
    found.draw(out)
    click.echo(f"picture: {out}")


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--ema-length",
    "length",
    type=float,
    required=True,
    help="Standard deviation, as a share of the run: 0.05.",
)
@click.option(
    "--at", type=click.IntRange(min=1), help="The step it is seen from.  [default: the last snapshot's]"
)
@click.option("--out", type=ANY, required=True, help="The .safetensors file.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def average(run: Path, length: float, at: int | None, out: Path, overwrite: bool) -> None:
    """An average of any length from the snapshots of RUN, which piste.averaging.Snapshots wrote."""
    from ..averaging import post_hoc

    console = Console()
    with explained("", WRONG), bar(console, 1) as on_tensor:
        post_hoc(run, length, out, at, overwrite, on_tensor)
    click.echo(f"wrote {out}")
