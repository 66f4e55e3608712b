"""The command line: thin commands over the library. Needs the `cli` extra, and says so where it lacks."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `piste` and of `python -m piste`."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit('the piste command needs click and rich: pip install "piste[cli]"')
    app(prog_name="piste")
