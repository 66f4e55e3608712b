"""The routing table: rows as plain dicts, and their plain-text form with repeated blocks folded into one
line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from piste._routing.matrices import matrix_view
from piste._routing.roles import MATRIX_ROLES
from piste._routing.route import Assignment

_RIGHT = {"lr", "state"}  # columns of numbers


def explain_rows(
    assignments: Iterable[Assignment],
    *,
    chain: Callable[[Assignment], str] = lambda a: a.to,
    lr: Callable[[Assignment], float | None] = lambda a: None,
    nbytes: Callable[[Assignment], int | None] = lambda a: None,
) -> list[dict[str, Any]]:
    """One dict per parameter: parameter, shape, role, view, chain, lr, bytes (of state), reason.

    ``view`` is the text of the matrix view, the default one written out; None where the parameter is no
    matrix.
    """
    return [
        {
            "parameter": a.name,
            "shape": tuple(a.parameter.shape),
            "role": a.role.kind,
            "view": str(matrix_view(a.view, a.parameter.ndim))
            if a.role.kind in MATRIX_ROLES or a.view
            else None,
            "chain": chain(a),
            "lr": lr(a),
            "bytes": nbytes(a),
            "reason": a.reason if a.parameter.requires_grad else f"frozen; {a.reason}",
        }
        for a in assignments
    ]


def fold(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that differ only in the numbers of their names become one: ``blocks.{0-11}.fc.weight``, with
    ``count``."""
    groups: dict[Any, tuple[dict[str, Any], list[tuple[int, ...]], list[int]]] = {}
    for row in rows:
        parts = row["parameter"].split(".")
        places = [i for i, part in enumerate(parts) if part.isdigit()]
        skeleton = tuple("#" if part.isdigit() else part for part in parts)
        same = tuple(row[k] for k in ("shape", "role", "view", "chain", "lr", "reason"))
        folded, numbers, sizes = groups.setdefault((skeleton, same), (dict(row), [], []))
        numbers.append(tuple(int(parts[i]) for i in places))
        sizes.append(row["bytes"] or 0)
        folded["parameter"] = ".".join(
            _spans({n[places.index(i)] for n in numbers}) if i in places else part
            for i, part in enumerate(parts)
        )
    return [
        {**row, "count": len(numbers), "bytes": None if row["bytes"] is None else sum(sizes)}
        for row, numbers, sizes in groups.values()
    ]


def _spans(numbers: set[int]) -> str:
    """``{0, 1, 2, 5}`` → ``"{0-2,5}"``; a single number stays as it is."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    text = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return text if len(numbers) == 1 else f"{{{text}}}"


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as aligned plain text, repeated blocks folded, with one line of totals."""
    if not rows:
        return "no parameters"
    lines = [_cells(row) for row in fold(rows)]
    columns = [name for name in lines[0] if any(line[name] for line in lines)]
    width = {name: max(len(name), *(len(line[name]) for line in lines)) for name in columns}

    def line(cells: Mapping[str, str]) -> str:
        padded = (f"{cells[c]:>{width[c]}}" if c in _RIGHT else f"{cells[c]:<{width[c]}}" for c in columns)
        return "  ".join(padded).rstrip()

    known = [row["bytes"] for row in rows if row["bytes"] is not None]
    state = f", {_size(sum(known))} of state" if known else ""
    head = line({name: name for name in columns})
    total = f"{len(rows)} parameters, {sum(_count(row['shape']) for row in rows):,} numbers{state}"
    return "\n".join([head, "-" * len(head), *map(line, lines), total])


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "parameter": row["parameter"] + (f" ×{row['count']}" if row["count"] > 1 else ""),
        "shape": "×".join(map(str, row["shape"])) or "()",
        "role": row["role"],
        "view": row["view"] or "",
        "chain": row["chain"],
        "lr": "" if row["lr"] is None else f"{float(row['lr']):g}",
        "state": "" if row["bytes"] is None else _size(row["bytes"]),
        "why": row["reason"],
    }


def _count(shape: Sequence[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    raise AssertionError("the last unit returns")
