"""The matrix of the sweep: which kind of which optimizer kept which promise."""

from __future__ import annotations

import datetime
import functools
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import torch

from sweep.given import takes_whole_weights

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- sweep: written by `make test-full` -->", "<!-- /sweep -->"
KINDS = [(weights, state) for weights in ("fp32", "bf16") for state in ("plain", "8bit")]
found: dict[tuple[str, str, str], dict[str, bool]] = defaultdict(dict)


def pytest_runtest_logreport(report):
    where = re.search(r"sweep/test_sweep\.py::test_(\w+)\[(\w+)-(\w+)-(\w+)(?:-(\w+)-(\d))?\]", report.nodeid)
    if where and (report.when == "call" or report.failed):
        test, name, weights, state, asked, world = where.groups()
        found[name, weights, state][f"{asked} on {world}" if asked else test] = report.passed


def pytest_terminal_summary(terminalreporter):
    if not found:
        return
    rows = {name: row(name) for name in sorted({n for n, _, _ in found})}
    terminalreporter.write_line("")
    for line in rows.values():
        terminalreporter.write_line(line)
    path = ROOT / "docs" / "sweep.md"
    path.write_text(renewed(path.read_text(), {n: line for n, line in rows.items() if complete(n)}))


def complete(name: str) -> bool:
    """Whether all was asked of all kinds."""
    return all(len(found.get((name, *kind), {})) == 8 for kind in KINDS)


def row(name: str) -> str:
    cells = [cell(found.get((name, *kind), {})) for kind in KINDS]
    mark = "¹" if takes_whole_weights(name) else ""
    return f"| `{name}`{mark} | {' | '.join(cells)} | {stamp()} |"


def cell(kept: dict[str, bool]) -> str:
    broken = [promise.replace("_", " ") for promise, held in kept.items() if not held]
    return ("not " + ", ".join(broken)) if broken else f"all {len(kept)}" if kept else "–"


@functools.cache
def stamp() -> str:
    """When, of which code, with which torch."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "src") else ""
    code = f"`{git('rev-parse', 'HEAD:src')[:12]}`{changed}"
    return f"{datetime.date.today().isoformat()} · {code} · {torch.__version__}"


def renewed(text: str, rows: dict[str, str]) -> str:
    """The page with these rows in the place of those of the same names."""
    head, rest = text.split(BEGIN)
    table, tail = rest.split(END)
    lines = table.strip().splitlines()
    known = {line.split("`")[1]: line for line in lines[2:]} | rows
    table = [*lines[:2], *(known[name] for name in sorted(known, key=str.lower))]
    return "\n".join([head + BEGIN, "", *table, "", END + tail])
