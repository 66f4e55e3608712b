"""`piste explain MODEL.py`."""

from __future__ import annotations

from pathlib import Path

import click

from .files import PYTHON_FILE, build, load_model


@click.command()
@click.argument("model", type=PYTHON_FILE)
@click.option("--optimizer", "name", default="Muon", show_default=True, help="Any name of `piste list`.")
def explain(model: Path, name: str) -> None:
    """Show which parameter of MODEL gets which role, matrix view, chain, rate and state.

    MODEL is a Python file that defines `model` or `make_model()`.
    """
    import piste

    optimizer = build(name, load_model(model), model)
    click.echo(str(piste.explain(optimizer)))
