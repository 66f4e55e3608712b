"""``python -m benchmarks``: measure everything, write the results file and the tables in the docs."""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import torch

from . import machine, measure, report
from .checkpoints import saving
from .fresh import ROOT
from .merges import merging
from .training import training


def main() -> None:
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    say = _speaker()
    rounds = 8 if options.quick else 60
    found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine.describe()}
    where = ROOT / "benchmarks" / "results" / f"{found['date']}-{_slug(found['machine'])}.json"
    who = measure.everyone(options.peers)
    workloads: dict[str, Callable[[], dict[str, Any]]] = {
        "gpt": lambda: measure.steps(who["gpt"], "gpt", rounds, say),
        "tiny": lambda: measure.steps(who["tiny"], "tiny", rounds, say, repeat=10),
        "hidden": lambda: measure.hidden(who["hidden"], max(3, rounds // 4), say),
        "block": lambda: measure.intervals(who["block"], max(2, rounds // 12), say),
    }
    if options.only:
        if not where.exists():
            raise SystemExit(f"--only adds to {where.name}, which is not there: run without it first")
        found = json.loads(where.read_text())
        found["steps"].update({name: run() for name, run in workloads.items() if name in options.only})
        if "elements" in options.only:
            found["elements"] = measure.elements(max(5, rounds // 3), say)
        if "training" in options.only:
            found["training"] = training(max(3, rounds // 4), say)
        if "merging" in options.only:
            found["merging"] = _merging(options, say)
        elsewhere = found.setdefault("elsewhere", {})
        for name in options.only:
            elsewhere[name] = machine.describe()
    else:
        found["steps"] = {name: run() for name, run in workloads.items()}
        _others(found, options, rounds, say)
    rows = report.requirements(found)
    print(report.plain(rows))
    if options.write:
        where.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        report.write_tables(found, rows, ROOT / "docs" / "benchmarks.md")
        print(f"wrote {where.relative_to(ROOT)} and docs/benchmarks.md")


def _others(
    found: dict[str, Any], options: argparse.Namespace, rounds: int, say: Callable[[str], None]
) -> None:
    """What is not a step of a workload."""
    say("what the machine can do")
    found["yardsticks"] = {"bandwidth": machine.bandwidth()}
    found["elements"] = measure.elements(max(5, rounds // 3), say)
    found["bytes"] = measure.sizes()
    found["training"] = training(max(3, rounds // 4), say)
    say("a checkpoint")
    found["checkpoint"] = saving(*((100, 3) if options.quick else ()))
    found["merging"] = _merging(options, say)
    found["overhead"] = measure.overhead(2 * rounds)
    found["imports"] = measure.imports(3 if options.quick else 7, say)
    times = 1  # seconds of compiling each: the scatter is small beside them
    found["first"] = {
        "gpt": measure.first_steps(_in_fresh_processes(options), "gpt", times, say),
        "hidden": measure.first_steps(["Muon · piste", "Muon · torch"], "hidden", times, say),
    }


def _merging(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    say("merging large files")
    return merging(*((0.2, 2) if options.quick else ()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: a look, not a measurement")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="only piste and torch")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print, write nothing")
    parser.add_argument(
        "--only", nargs="+", default=[],
        choices=["gpt", "tiny", "hidden", "block", "elements", "training", "merging"],
        help="measure these lists anew and put them into today's results",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's own choice)")
    return parser.parse_args()


def _in_fresh_processes(options: argparse.Namespace) -> list[str]:
    """Everyone whose first step is asked about: all rules that see single elements, and torch's own beside them."""
    mine = measure.element_rules()
    beside = [c.name for c in measure.everyone(options.peers)["gpt"] if c.library != "piste"]
    return [*(f"{name} · piste" for name in mine), *beside]


def _slug(facts: dict[str, Any]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", facts["cpu"].split(" (")[0].lower()).strip("-")
    return f"{name}-{facts['threads']}-threads"


def _speaker() -> Callable[[str], None]:
    try:
        from rich.console import Console
    except ImportError:
        return lambda text: print(text, flush=True)
    console = Console(stderr=True)
    return lambda text: console.log(text, highlight=False)


if __name__ == "__main__":
    main()
