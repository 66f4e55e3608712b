"""`piste list`."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._registry import KINDS


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array instead of a table.")
@click.option("--kind", type=click.Choice(KINDS), help="Only this kind of thing.")
def list_command(as_json: bool, kind: str | None) -> None:
    """List every optimizer, transform, schedule, task and so on that piste carries."""
    from .registered import everything

    entries = everything(kind)
    if as_json:
        click.echo(json.dumps([e.as_dict() for e in entries], indent=2, ensure_ascii=False))
        return
    console = Console()
    for one in dict.fromkeys(e.kind for e in entries):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, title_justify="left")
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for entry in entries:
            if entry.kind == one:
                table.add_row(entry.name, _line(entry.summary, entry.needs))
        console.print(Text(f"{one}", "cyan"))
        console.print(table)
        console.print()
    console.print(Text(f"{len(entries)} names; `piste show NAME` tells more.", "dim"))


def _line(summary: str, needs: tuple[str, ...]) -> Text:
    text = Text(summary.split(". ")[0].rstrip("."))
    if needs:
        text.append(f"  (needs {', '.join(needs)})", "yellow")
    return text
