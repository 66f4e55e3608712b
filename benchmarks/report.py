"""From results to the table of requirements and the tables in the docs. Pure functions of the results file."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    without: str = "not measured"

    @property
    def verdict(self) -> str:
        return self.without if self.seen is None else "yes" if self.seen <= self.limit else "**no**"


def requirements(found: dict[str, Any]) -> list[Row]:
    """Every requirement with what was seen."""
    gpt, tiny, hidden, block = (found["steps"][w] for w in ("gpt", "tiny", "hidden", "block"))
    first = found["first"]["gpt"]
    compiled = {k: v["first"] for k, v in first.items() if k.endswith("· piste") and v.get("compiled")}
    slowest = max(compiled, key=compiled.__getitem__, default=None)
    bound = hidden["bound"].get("ratio")
    overhead, each, disk = found["overhead"]["piste"], found["elements"], found["checkpoint"]
    added = found["training"]["added"]
    worst = max(each, key=lambda name: each[name]["value"])
    return [
        _ratio("AdamW step / torch's fused AdamW", gpt, "AdamW · piste", 1.15),
        _ratio("SGD with momentum, step / torch's fused SGD", gpt, "SGD · piste", 1.15),
        _ratio("Lion step / torch's fused AdamW", gpt, "Lion · piste", 0.85),
        _ratio("AdamW step with state in 8 bits / torch's fused AdamW in float32", gpt, "AdamW · piste 8bit", 2.0),
        Row("AdamW's state in 8 bits", found["bytes"]["state in 8 bits"], 2.1, "bytes per parameter"),
        Row("AdamW in all: bf16 weights, error bits, 8 bits", found["bytes"]["in all"], 5.2, "bytes per parameter"),
        _spread(f"slowest element rule / (bytes it must move / bandwidth) ({worst})", each[worst], 1.3),
        _ratio("Muon step / `torch.optim.Muon` (hidden matrices)", hidden, "Muon · piste", 0.75),
        Row(
            f"Muon step / (counted flops / measured {hidden['dtype']} rate)", bound and bound["value"], 1.2, "×",
            f"{bound['q1']:.2f}–{bound['q3']:.2f}" if bound else "",
        ),
        _spread("Turbo-Muon step / Muon step (hidden matrices)", hidden["turbo"], 0.9),
        Row(
            "Turbo-Muon's distance from orthogonality, ‖XXᵀ - I‖/√m / Muon's",
            hidden["turbo"]["rescaled"] / hidden["turbo"]["usual"], 1.0, "×",
        ),
        _ratio("SOAP, mean over a refresh interval / pytorch_optimizer's", block, "SOAP · piste", 0.9),
        replace(
            _ratio('SOAP under "medium" / pytorch_optimizer\'s in full float32', block, "SOAP · piste medium", 0.5),
            without="not measured" if block["bf16"] else "not measured: no bf16 instructions",
        ),
        _ratio("Shampoo, mean over a refresh interval / pytorch_optimizer's", block, "Shampoo · piste", 0.5),
        _ratio("PSGD-Kron, mean over a refresh interval / pytorch_optimizer's", block, "PSGDKron · piste", 0.5),
        *(
            _spread(f"{name} over AdamW / a training step with AdamW (GPT, 8,192 tokens)", added[name], limit)
            for name, limit in {"Shampoo": 0.1, "SOAP": 0.15}.items()
        ),
        Row("4-bit Shampoo's matrices / their bytes in float32", found["bytes"]["4-bit factors"], 0.16, "×"),
        _spread("save + load of a checkpoint / writing and reading its bytes", disk, 1.2),
        *_merging(found.get("merging")),
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
    return Row(what, None, limit, "×") if seen is None else _spread(what, seen, limit)


def _merging(found: dict[str, Any] | None) -> list[Row]:
    rows = []
    for method, what in {
        "soup": "three 2 GB files into one",
        "ties": "two 2 GB files and their base by TIES",
    }.items():
        seen = (found or {}).get(method)
        took = f"merging {what} / reading them and writing one"
        rows += [
            _spread(took, seen, 1 / 0.7) if seen else Row(took, None, 1 / 0.7, "×"),
            Row(f"resident memory while merging {what}", seen and seen["resident"] / 1e9, 1.0, "GB"),
        ]
    return rows


def _spread(what: str, seen: dict[str, float], limit: float) -> Row:
    return Row(what, seen["value"], limit, "×", f"{seen['q1']:.2f}–{seen['q3']:.2f}")


def plain(rows: list[Row]) -> str:
    """For a terminal."""
    return "\n".join(
        f"{r.verdict.strip('*'):13}{_number(r.seen):>8} of {r.limit:.3g} {r.unit:3} {r.what} {r.spread}"
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


TITLES = {
    "gpt": "GPT-like list",
    "tiny": "Tiny tensors",
    "hidden": "Hidden matrices of the GPT-like list",
    "block": "Hidden matrices of one block, mean over a refresh interval of 10 steps",
    "elements": "Rules that see single elements, GPT-like list",
}


def tables(found: dict[str, Any], rows: list[Row]) -> str:
    m, yard = found["machine"], found["yardsticks"]
    hidden = found["steps"]["hidden"]
    rates = [r / 1e9 for r in hidden["rates"].values()]
    parts = [
        f"{found['date']} · {m['cpu']} · {m['threads']} threads · torch {m['torch']} · Python {m['python']} · "
        f"{m['system']}. Memory bandwidth (triad) {yard['bandwidth'] / 1e9:.0f} GB/s; {hidden['dtype']} products "
        f"{min(rates):.0f}–{max(rates):.0f} Gflop/s. GPU: not measured.",
        *_elsewhere(found),
        _table(
            ["requirement", "seen", "quartiles by round", "at most", "met"],
            [
                [r.what, f"{_number(r.seen)} {r.unit}", r.spread, f"{r.limit:g} {r.unit}", r.verdict]
                for r in rows
            ],
        ),
    ]
    for workload in ("gpt", "tiny", "hidden", "block"):
        parts += [f"### {TITLES[workload]}: {_size(found['steps'][workload])}", _steps(found, workload)]
    parts += [_parity(found["steps"]["block"]["parity"])]
    parts += [f"### A training step: GPT of {found['training']['parameters']:,} parameters", _training(found)]
    parts += [f"### {TITLES['elements']}", _elements(found["elements"])]
    parts += ["### First steps in a fresh process, cold compiler cache", _first(found)]
    return "\n\n".join(parts) + "\n"


def _elsewhere(found: dict[str, Any]) -> list[str]:
    """What was measured anew on another machine than the rest (its ratios are of that machine alone)."""
    others = {k: m for k, m in found.get("elsewhere", {}).items() if m != found["machine"]}
    return [
        f"On another machine than the rest: {TITLES.get(name, name)}, on {m['cpu']}, {m['threads']} threads."
        for name, m in others.items()
    ]


def _size(steps: dict[str, Any]) -> str:
    return f"{steps['tensors']} tensors, {steps['parameters']:,} parameters"


def _steps(found: dict[str, Any], workload: str) -> str:
    steps = found["steps"][workload]
    rows = []
    for name, t in steps["times"].items():
        ms = [t[k] * 1e3 for k in ("median", "q1", "q3")]
        ratio = steps["ratios"].get(name)
        beside = "–" if ratio is None else f"{ratio['value']:.2f}"
        rows.append([name, f"{ms[0]:.3g}", f"{ms[1]:.3g}–{ms[2]:.3g}", beside])
    rows += [[name, "failed", why.replace("|", "/"), ""] for name, why in steps["failed"].items()]
    return _table(["optimizer", "step, ms (median)", "quartiles", "× yardstick"], rows)


def _training(found: dict[str, Any]) -> str:
    seen = found["training"]
    passes = seen["forward and backward"]["median"]
    rows = [[f"forward and backward, {seen['tokens']:,} tokens", f"{passes * 1e3:.3g}", ""]]
    for name, t in seen["times"].items():
        share = seen["added"].get(name)
        rows.append(
            [f"step of {name}", f"{t['median'] * 1e3:.3g}", f"{share['value']:+.1%}" if share else ""]
        )
    return _table(["", "ms (median)", "of AdamW's whole step, beside AdamW"], rows)


def _parity(parity: dict[str, float]) -> str:
    if not parity:
        return 'Products of float32 matrices in bf16 ("medium") are not measured: no bf16 instructions here.'
    far = "; ".join(f"{name}: {far:.1e}" for name, far in parity.items())
    return f'One interval under "medium" ends this far from full float32, relative to the way gone: {far}.'


def _first(found: dict[str, Any]) -> str:
    rows = []
    for workload, results in found["first"].items():
        for name, r in results.items():
            if "failed" in r:
                rows.append([name, workload, "failed", r["failed"][:120].replace("|", "/"), ""])
                continue
            rows.append([name, workload, f"{r['first']:.2f}", _mib(r["state_bytes"]), _mib(r["peak_bytes"])])
    return _table(["optimizer", "list", "first step, s", "state, MiB", "growth at its peak, MiB"], rows)


def _elements(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            _mib(int(r["moved"])),
            f"{r['median'] * 1e3:.3g}",
            f"{r['value']:.2f}",
            f"{r['q1']:.2f}–{r['q3']:.2f}",
        ]
        for name, r in found.items()
    ]
    return _table(["optimizer", "must move, MiB", "step, ms", "× bytes / bandwidth", "quartiles"], rows)


def _mib(n: int) -> str:
    return f"{n / 2**20:.1f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
