"""Measured runs from a CSV file."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .laws import Array


def read(path: Path, columns: Sequence[str]) -> Array:
    """The named columns (points, columns) of a file whose first line names them; lines left empty are passed over.

    Errors (ValueError): no such column, with the nearest; what is not a number, with its line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = _rows(csv.DictReader(file), columns)
    except csv.Error as error:
        raise ValueError(f"not a CSV file: {error}") from error
    return np.array(rows, dtype=np.float64).reshape(-1, len(columns))


def _rows(reader: csv.DictReader[str], columns: Sequence[str]) -> list[list[float]]:
    header = [name.strip() for name in reader.fieldnames or ()]
    for name in columns:
        if name not in header:
            raise ValueError(_missing(name, header))
    reader.fieldnames = header
    return [_numbers(row, columns, reader.line_num) for row in reader if any(row.values())]


def _numbers(row: dict[str, str], columns: Sequence[str], line: int) -> list[float]:
    numbers = []
    for name in columns:
        try:
            number = float(row[name] or "")
        except ValueError:
            raise ValueError(f"line {line}: {name} is {row[name] or 'empty'!r}, not a number") from None
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"line {line}: {name} is {number:g}; logarithms need positive, finite numbers")
        numbers.append(number)
    return numbers


def _missing(name: str, header: Sequence[str]) -> str:
    if not header:
        return "the file is empty: its first line must name the columns"
    near = difflib.get_close_matches(name.lower(), [h.lower() for h in header], 1)
    hint = f" (did you mean {next(h for h in header if h.lower() == near[0])!r}?)" if near else ""
    return f"there is no column {name!r}{hint}: the file has {', '.join(header)}"
