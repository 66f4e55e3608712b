"""The ledger: every finding with the code it was found with, one JSON file in the repository."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .verdict import Finding

HERE = Path(__file__).resolve().parent
PLACE = HERE / "ledger.json"  # part of the package, so that `piste show` can print verdicts anywhere


def code_hash(root: Path = HERE.parent) -> str:
    """Of every source file of piste that a verdict depends on: all but the command line, the race and the cost
    model."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        where = path.relative_to(root)
        if where.parts[0] not in ("cli", "race", "cost", "checkpoint"):
            digest.update(str(where).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def machine() -> dict[str, Any]:
    """What it was found on; nothing that names the host."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def read(path: Path = PLACE) -> dict[str, dict[str, Any]]:
    """Rows by claim; none where there is no ledger yet. A file that is not one: ValueError with its name."""
    if not path.exists():
        return {}
    try:
        return {row["name"]: row for row in json.loads(path.read_text())["findings"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a ledger ({error}): `piste verify --write` makes a new one"
        ) from error


def write(findings: Iterable[Finding], path: Path = PLACE, known: Sequence[str] | None = None) -> None:
    """Put findings beside those of earlier runs, each with its date, its code and its machine. ``known``: names of the
    claims there are; rows of others are dropped. The file is replaced as a whole."""
    stamp = {"date": datetime.date.today().isoformat(), "code": code_hash(), **machine()}
    rows = read(path)
    rows.update({f.name: {**f.as_dict(), "seconds": round(f.seconds, 2), **stamp} for f in findings})
    kept = [row for name, row in sorted(rows.items()) if known is None or name in known]
    text = json.dumps({"findings": kept}, indent=1, ensure_ascii=False) + "\n"
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def of_method(name: str, path: Path = PLACE) -> list[Mapping[str, Any]]:
    """What the ledger says of a method."""
    return [row for row in read(path).values() if row["method"].lower() == name.lower()]
