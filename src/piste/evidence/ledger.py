"""The ledger: every finding with the code it was found with, one JSON file in the repository."""

from __future__ import annotations

import datetime
import functools
import hashlib
import inspect
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .claim import Claim, claims
from .verdict import Finding

HERE = Path(__file__).resolve().parent
PLACE = HERE / "ledger.json"  # part of the package, so that `piste show` can print verdicts anywhere


def code_of(claim: Claim) -> str:
    """A hash of the source that a claim's verdict speaks of: the judging, the modules of the experiment and of the
    method, and what these import of experiments, problems, methods, transforms and linear algebra. The engine is left
    out: that it changes no number is for its own tests to show."""
    judging = [HERE / f"{name}.py" for name in ("claim", "facts", "problem", "running", "verdict")]
    own = [inspect.getmodule(f) for f in (claim.experiment, claim.tried)]
    used = {path for module in own if module is not None for path in _used(module.__name__)}
    digest = hashlib.sha256()
    for path in sorted({*judging, *used}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


SPOKEN_OF = (
    "evidence", "optimizers", "transforms", "linalg", "searches", "schedules", "_storage", "race", "scaling",
    "averaging", "merging", "batches", "rates", "memory",
)  # fmt: skip


@functools.cache
def _used(name: str) -> frozenset[Path]:
    """The files of a module and of all that it imports of ``SPOKEN_OF``, found where names were defined: a package that
    gathers names for others is not a use of all of them."""
    todo, seen = [name], set[str]()
    while todo:
        name = todo.pop()
        module = sys.modules.get(name)
        within = name.split(".")[1:2]
        if name in seen or module is None or not within or within[0] not in SPOKEN_OF:
            continue
        seen.add(name)
        for thing in vars(module).values():
            todo.append(
                thing.__name__ if inspect.ismodule(thing) else getattr(thing, "__module__", None) or ""
            )
    return frozenset(Path(str(sys.modules[name].__file__)) for name in seen)


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


def write(
    findings: Iterable[Finding], path: Path = PLACE, known: Sequence[str] | None = None,
    codes: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Put findings beside those of earlier runs, each with its date, its code and its machine. ``known``: names of the
    claims there are; rows of others are dropped. ``codes``: `code_of` of the claims before they were run, for who may
    edit files meanwhile. The file is replaced as a whole."""
    stamp = {"date": datetime.date.today().isoformat(), **machine()}
    rows = read(path)
    for f in findings:
        code = codes[f.name] if codes else code_of(*claims([f.name]))
        row = {**f.as_dict(), "seconds": round(f.seconds, 2), "code": code, **stamp}
        rows[f.name] = {**row, "sabotaged": rows.get(f.name, {}).get("sabotaged", "")}
    _replace([row for name, row in rows.items() if known is None or name in known], path)


def write_sabotaged(codes: Mapping[str, str], path: Path = PLACE) -> None:
    """Note of claims, by name, the code with which their wrong method was found out; of those that have a row."""
    rows = read(path)
    _replace(
        [{**row, "sabotaged": codes.get(name, row.get("sabotaged", ""))} for name, row in rows.items()], path
    )


def _replace(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    kept = sorted(rows, key=lambda row: row["name"])
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"findings": kept}, indent=1, ensure_ascii=False) + "\n")
    os.replace(fresh, path)


def of_method(name: str, path: Path = PLACE) -> list[Mapping[str, Any]]:
    """What the ledger says of a method."""
    return [row for row in read(path).values() if row["method"].lower() == name.lower()]
