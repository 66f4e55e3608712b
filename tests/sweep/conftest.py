"""The matrix of the sweep: which kind of which optimizer kept which promise."""

from __future__ import annotations

import datetime
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
found: dict[tuple[str, str, str], dict[str, bool]] = defaultdict(dict)


def pytest_runtest_logreport(report):
    where = re.search(r"sweep/test_sweep\.py::test_(\w+)\[(\w+)-(\w+)-(\w+)(?:-(\w+)-(\d))?\]", report.nodeid)
    if where and (report.when == "call" or report.failed):
        test, name, weights, state, asked, world = where.groups()
        found[name, weights, state][f"{asked} on {world}" if asked else test] = report.passed


def pytest_terminal_summary(terminalreporter):
    if not found:
        return
    table = matrix()
    terminalreporter.write_line("")
    terminalreporter.write_line(table)
    if all(len(kept) == 8 for kept in found.values()) and len(found) % 4 == 0 and len(found) >= 72:
        (ROOT / "docs" / "sweep.md").write_text(page(table))


def matrix() -> str:
    kinds = [(w, s) for w in ("fp32", "bf16") for s in ("plain", "8bit")]
    rows = ["| | " + " | ".join(f"{w}, {s}" for w, s in kinds) + " |", "|---" * (1 + len(kinds)) + "|"]
    for name in sorted({n for n, _, _ in found}, key=str.lower):
        rows.append(f"| `{name}` | " + " | ".join(cell(found.get((name, *k), {})) for k in kinds) + " |")
    return "\n".join(rows)


def cell(kept: dict[str, bool]) -> str:
    broken = [promise.replace("_", " ") for promise, held in kept.items() if not held]
    return ("not " + ", ".join(broken)) if broken else f"all {len(kept)}" if kept else "–"


def page(table: str) -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    text = (ROOT / "docs" / "sweep.md").read_text()
    begin, end = "<!-- sweep: written by `make test-full` -->", "<!-- /sweep -->"
    head, tail = text.split(begin)[0], text.split(end)[1]
    changed = " with changes" if git("status", "--porcelain", "src") else ""
    code = f"`src/` {git('rev-parse', 'HEAD:src')[:12]}{changed}"
    when = f"{datetime.date.today().isoformat()} · {code} · torch {torch.__version__} · gloo, CPU"
    return f"{head}{begin}\n\n{when}\n\n{table}\n\n{end}{tail}"
