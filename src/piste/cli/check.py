"""`piste check FILE.py`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .files import PYTHON_FILE, load_file


@click.command()
@click.argument("file", type=PYTHON_FILE)
def check(file: Path) -> None:
    """Run the laws on every transform and optimizer that FILE defines. Ends with code 1 when one is broken."""
    from .. import laws

    rules, optimizers = _own(load_file(file))
    if not rules and not optimizers:
        raise click.ClickException(
            f"{file} defines no @transform and no @optimizer, so there is nothing to check"
        )
    verdicts = [v for rule in rules for v in laws.check(rule)]
    verdicts += [v for cls in optimizers for v in laws.check_optimizer(cls)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("rule", "law", "", "seen"):
        table.add_column(name)
    for v in verdicts:
        table.add_row(
            v.rule, v.law, Text("holds", "green") if v.holds else Text("BROKEN", "bold red"), Text(v.detail)
        )
    Console().print(table)
    broken = sum(not v.holds for v in verdicts)
    click.echo(f"\n{len(verdicts) - broken} of {len(verdicts)} laws hold.")
    if broken:
        raise SystemExit(1)


def _own(module: ModuleType) -> tuple[list[Any], list[Any]]:
    """Transforms and optimizers made in the file itself, not those it imports."""
    from .._optimizer import Optimizer
    from .._transform import Transform

    mine = [v for v in vars(module).values() if getattr(v, "__module__", None) == module.__name__]
    rules = [v for v in mine if isinstance(v, Transform)]
    made = [v for v in mine if isinstance(v, type) and issubclass(v, Optimizer) and hasattr(v, "factory")]
    return rules, made
