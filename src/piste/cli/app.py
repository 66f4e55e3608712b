"""The group of commands."""

from __future__ import annotations

import click

from .check import check
from .explain import explain
from .fit import fit
from .listing import list_command
from .merge import average, merge
from .race import race
from .refine import refine
from .show import show
from .verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="piste", message="%(prog)s %(version)s")
def app() -> None:
    """Train neural networks by descent, and find out honestly which optimizer suits a problem."""


for _command in (list_command, show, explain, check, race, verify, fit, merge, average, refine):
    app.add_command(_command)
