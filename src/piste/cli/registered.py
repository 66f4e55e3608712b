"""Everything piste carries, whichever module defines it."""

from __future__ import annotations

import importlib
import importlib.util

import piste

NAMESPACES = (
    "transforms",
    "schedules",
    "oracles",
    "searches",
    "averaging",
    "merging",
    "memory",
    "batches",
    "rates",
    "evidence",
    "diagnostics",
    "race.tasks",
)


def everything(kind: str | None = None) -> list[piste.Entry]:
    """The registry, after the public namespaces that `import piste` leaves for later have been imported."""
    for name in NAMESPACES:
        if importlib.util.find_spec(f"piste.{name}") is not None:
            importlib.import_module(f"piste.{name}")
    return piste.registry(kind)
