"""From results to the table of requirements and the tables in the docs. Pure functions of the results file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured: written by `make bench` -->", "<!-- /measured -->"


@dataclass(frozen=True)
class Row:
    """One line of what must be reached."""

    what: str
    seen: float | None
    limit: float
    unit: str
    spread: str = ""

    @property
    def verdict(self) -> str:
        return "not measured" if self.seen is None else "yes" if self.seen <= self.limit else "**no**"


def requirements(found: dict[str, Any]) -> list[Row]:
    """Every requirement with what was seen."""
    gpt, tiny, hidden = (found["steps"][w] for w in ("gpt", "tiny", "hidden"))
    first = found["first"]["gpt"]
    compiled = {k: v["first"] for k, v in first.items() if k.endswith("· piste") and v.get("compiled")}
    slowest = max(compiled, key=compiled.__getitem__, default=None)
    bound = hidden["bound"].get("ratio")
    overhead = found["overhead"]["piste"]
    return [
        _ratio("AdamW step / torch's fused AdamW", gpt, "AdamW · piste", 1.15),
        _ratio("SGD with momentum, step / torch's fused SGD", gpt, "SGD · piste", 1.15),
        _ratio("Lion step / torch's fused AdamW", gpt, "Lion · piste", 0.85),
        _ratio("Muon step / `torch.optim.Muon` (hidden matrices)", hidden, "Muon · piste", 0.85),
        Row(
            "Muon step / (counted flops / measured bf16 rate)", bound and bound["value"], 1.3, "×",
            f"{bound['q1']:.2f}–{bound['q3']:.2f}" if bound else "",
        ),
        _ratio("192 tiny tensors, AdamW / torch's fused AdamW", tiny, "AdamW · piste", 1.6),
        Row("first step of AdamW, fresh process", first.get("AdamW · piste", {}).get("first"), 1.0, "s"),
        Row(
            f"slowest compiled first step of an element rule, cold compiler cache ({(slowest or '').split(' ·')[0]})",
            compiled.get(slowest or ""), 12.0, "s",
        ),
        Row("`import piste` over `import torch`", found["imports"]["piste"]["median"], 0.3, "s"),
        Row("Python overhead of a step at 200 parameters", overhead * 1e3, 0.5, "ms"),
    ]  # fmt: skip


def _ratio(what: str, steps: dict[str, Any], name: str, limit: float) -> Row:
    seen = steps["ratios"].get(name)
    if seen is None:
        return Row(what, None, limit, "×")
    return Row(what, seen["value"], limit, "×", f"{seen['q1']:.2f}–{seen['q3']:.2f}")


def plain(rows: list[Row]) -> str:
    """For a terminal."""
    return "\n".join(
        f"{r.verdict.strip('*'):13}{_number(r.seen):>8} of {r.limit:g} {r.unit:3} {r.what} {r.spread}"
        for r in rows
    )


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.3g}"


def write_tables(found: dict[str, Any], rows: list[Row], page: Path) -> None:
    """Put the tables between the page's two marks."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(
            f"{page.name} lacks the marks {BEGIN!r} and {END!r} between which the tables go: put them back"
        )
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    page.write_text(head + BEGIN + "\n\n" + tables(found, rows) + "\n" + END + tail)


def tables(found: dict[str, Any], rows: list[Row]) -> str:
    m, yard = found["machine"], found["yardsticks"]
    rates = [r / 1e9 for r in found["steps"]["hidden"]["bf16_rates"].values()]
    parts = [
        f"{found['date']} · {m['cpu']} · {m['threads']} threads · torch {m['torch']} · Python {m['python']} · "
        f"{m['system']}. Memory bandwidth (triad) {yard['bandwidth'] / 1e9:.0f} GB/s; bf16 products "
        f"{min(rates):.0f}–{max(rates):.0f} Gflop/s. GPU: not measured.",
        _table(
            ["requirement", "seen", "quartiles by round", "at most", "met"],
            [
                [r.what, f"{_number(r.seen)} {r.unit}", r.spread, f"{r.limit:g} {r.unit}", r.verdict]
                for r in rows
            ],
        ),
    ]
    titles = {
        "gpt": "GPT-like list",
        "tiny": "Tiny tensors",
        "hidden": "Hidden matrices of the GPT-like list",
    }
    for workload, title in titles.items():
        parts += [f"### {title}: {_size(found['steps'][workload])}", _steps(found, workload)]
    parts += ["### First steps in a fresh process, cold compiler cache", _first(found)]
    return "\n\n".join(parts) + "\n"


def _size(steps: dict[str, Any]) -> str:
    return f"{steps['tensors']} tensors, {steps['parameters']:,} parameters"


def _steps(found: dict[str, Any], workload: str) -> str:
    steps = found["steps"][workload]
    rows = []
    for name, t in steps["times"].items():
        ms = [t[k] * 1e3 for k in ("median", "q1", "q3")]
        rows.append(
            [name, f"{ms[0]:.3g}", f"{ms[1]:.3g}–{ms[2]:.3g}", f"{steps['ratios'][name]['value']:.2f}"]
        )
    rows += [[name, "failed", why.replace("|", "/"), ""] for name, why in steps["failed"].items()]
    return _table(["optimizer", "step, ms (median)", "quartiles", "× yardstick"], rows)


def _first(found: dict[str, Any]) -> str:
    rows = []
    for workload, results in found["first"].items():
        for name, r in results.items():
            if "failed" in r:
                rows.append([name, workload, "failed", r["failed"][:120].replace("|", "/"), ""])
                continue
            rows.append([name, workload, f"{r['first']:.2f}", _mib(r["state_bytes"]), _mib(r["peak_bytes"])])
    return _table(["optimizer", "list", "first step, s", "state, MiB", "growth at its peak, MiB"], rows)


def _mib(n: int) -> str:
    return f"{n / 2**20:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
