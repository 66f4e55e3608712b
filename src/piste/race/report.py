"""One self-contained HTML page of a race: charts inline, no scripts, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from . import charts, words
from .charts import Look
from .overall import halfway, standings
from .results import Record, Results
from .score import SPREAD, EntryScore, TaskScore, profiles, score


def write(results: Results, path: str | Path) -> Path:
    """Render the report into `path`; its folder is made where it lacks."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(results), encoding="utf-8")
    return path


def render(results: Results) -> str:
    """The whole page. Works for an unfinished race too, and says so."""
    loader = PackageLoader("piste.race", "templates")
    pages = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    style = files("piste.race").joinpath("templates/report.css").read_text(encoding="utf-8")
    return pages.get_template("report.html").render(style=Markup(style), **_page(results))


def _page(results: Results) -> dict[str, Any]:
    scores = score(results)
    reference = str(results.protocol.get("reference", "AdamW"))
    look = charts.looks(list(results.entries), reference)
    symbols = {name: f"entry-{i}" for i, name in enumerate(results.entries)}
    profile = profiles(scores)
    return {
        "limit": words.LIMIT,
        "reference": reference,
        "symbols": symbols,
        "swatches": [Markup(charts.swatch(look[name], symbol)) for name, symbol in symbols.items()],
        "verdicts": [words.verdict(t) for t in scores.values() if t.admission.admitted],
        "diagnostics": [t.info.name for t in scores.values() if not t.admission.admitted],
        "missing": max(0, results.planned - len(results.records)),
        "planned": results.planned,
        "runs": len(results.records),
        "date": str(results.environment.get("date", ""))[:10],
        "mode": results.protocol.get("mode", ""),
        "scale": words.scale(scores.values()),
        "overview": _overview(scores, list(results.entries)),
        "standings": _standings(scores),
        "tasks": [_task(results, t, look) for t in scores.values()],
        "profile": Markup(charts.profile_curves(profile, look)),
        "profiled": len([t for t in scores.values() if t.admission.admitted]) or len(scores),
        "admission": [_admission(t) for t in scores.values()],
        "spread": f"{SPREAD:g}",
        "failures": [_failure(r) for r in results.failures()],
        "entries": [_entry(e) for e in results.entries.values()],
        "environment": _facts(results.environment),
        "protocol": _facts(results.protocol),
        "data": [(t.name, t.data or "–", t.data_hash) for t in results.tasks.values()],
    }


def _overview(scores: Mapping[str, TaskScore], entries: Sequence[str]) -> dict[str, Any]:
    """Places of every entry on every task; above stands who has the lower sum of places on admitted tasks."""
    counted = [t for t in scores.values() if t.admission.admitted] or list(scores.values())

    def standing(name: str) -> tuple[int, int]:
        found = [t[name].rank for t in counted]
        places = [(r.place or r.worst) if r else len(entries) + 1 for r in found]
        return sum(places), sum([e.entry for e in t.entries].index(name) for t in counted)

    rows = []
    for name in sorted(entries, key=standing):
        cells = [_cell(t[name], t) for t in scores.values()]
        rows.append({"entry": name, "cells": cells})
    heads = [(t.info.name, t.admission.admitted) for t in scores.values()]
    return {"tasks": heads, "rows": rows}


def _standings(scores: Mapping[str, TaskScore]) -> dict[str, Any]:
    """Places over all tasks, by rule; above stands who has the lower sum of them."""
    places = standings(scores)
    entries = next(iter(places.values()), {})
    order = sorted(entries, key=lambda name: (sum(of[name] for of in places.values()), name))
    rows = [{"entry": name, "places": [of[name] for of in places.values()]} for name in order]
    leaders = [{name for name, place in of.items() if place == 1} for of in places.values()]
    agreed = sorted(set.intersection(*leaders)) if leaders else []
    return {"rules": list(places), "rows": rows, "agreed": agreed}


def _cell(entry: EntryScore, task: TaskScore) -> dict[str, str]:
    speedup = entry.speedup
    return {
        "place": words.place(entry.rank) if entry.rank else entry.state,
        "loss": words.loss(entry.loss, task) if entry.rank else "",
        "speed": words.times(speedup.mid, task) if speedup else "",
        "first": "first" if task.admission.admitted and entry.rank and entry.rank.place == 1 else "",
    }


def _task(results: Results, task: TaskScore, look: Mapping[str, Look]) -> dict[str, Any]:
    name = task.info.name
    finals = {e: results.select(name, e, "final") for e in results.entries}
    drawn = (
        (charts.differences(task, look), f"Final loss against {task.reference}, simultaneous 95 % intervals"),
        (charts.learning_curves(task, finals, look), "Learning curves: mean and range over fresh seeds"),
        (
            charts.rate_curves(task, look),
            "Tuning: loss over learning rate on one seed; a cross is a failed run",
        ),
        (
            charts.length_curves(task, look) if results.protocol.get("cooldown") else "",
            "Final loss by length, each a cooldown branched off one long run: mean and range over fresh seeds",
        ),
    )
    return {
        "info": task.info,
        "scale": words.scale([task]),
        "verdict": words.verdict(task),
        "halfway": words.halfway(halfway(results, task)),
        "admitted": task.admission.admitted,
        "reason": task.admission.reason,
        "deviation": words.loss(task.pooled.deviation, task) if task.pooled.freedom else None,
        "freedom": task.pooled.freedom,
        "detectable": words.loss(task.detectable, task) if task.seeds > 1 else None,
        "baselines": [(k, words.loss(v, task)) for k, v in task.info.baselines.items()],
        "rows": [_row(e, task) for e in task.entries],
        "charts": [(Markup(svg), caption) for svg, caption in drawn if svg],
        "tuning": [_tuning(e, task) for e in task.entries if e.rates],
        "lengths": words.lengths(task) if results.protocol.get("cooldown") else None,
        "routing": [(e, table) for e, table in results.routing.get(name, {}).items() if table],
        "data": task.info.data_hash[:12],
    }


def _row(entry: EntryScore, task: TaskScore) -> dict[str, Any]:
    speedup = entry.speedup
    return {
        "entry": entry.entry,
        "state": entry.state,
        "place": words.place(entry.rank),
        "range": words.rank_range(entry.rank),
        "loss": words.loss(entry.loss, task) if entry.losses else "–",
        "seeds": "  ".join(words.loss(x, task) for x in entry.losses),
        "gap": words.difference(entry.difference, task),
        "gap_bounds": words.difference_bounds(entry.difference, task),
        "speed": words.times(speedup.mid, task) if speedup else "",
        "speed_bounds": words.bounds(speedup, task) if speedup else "",
        "steps": words.steps(speedup, task),
        "sure": bool(speedup and words.bounds(speedup, task) == words.times(speedup.mid, task)),
        "seconds": words.duration(entry.seconds),
        "step": words.milliseconds(entry.step_seconds),
        "own": words.milliseconds(entry.optimizer_seconds),
        "bytes": words.size(entry.state_bytes),
        "flags": entry.flags,
        "reference": entry.entry == task.reference,
    }


def _tuning(entry: EntryScore, task: TaskScore) -> dict[str, Any]:
    best = min(x for _, x in entry.rates)
    return {
        "entry": entry.entry,
        "tried": [(f"{lr:.3g}", words.loss(x, task), x == best) for lr, x in entry.rates],
        "cost": "–" if entry.sensitivity is None else words.loss(entry.sensitivity, task),
    }


def _admission(task: TaskScore) -> dict[str, Any]:
    control = task.admission.control
    pair = task.info.control
    held = {None: "not applicable", True: "holds", False: "fails"}[control]
    return {
        "task": task.info.name,
        "admitted": "leaderboard" if task.admission.admitted else "diagnostic",
        "spread": f"{task.admission.spread:.1f}",
        "control": f"{pair[0]} ≤ {pair[1]}: {held}" if pair else "none",
        "reason": task.admission.reason,
    }


def _failure(record: Record) -> dict[str, Any]:
    last = (
        f"last evaluated at step {record.curve[-1][0]:,} of {record.steps:,}"
        if record.curve
        else "never evaluated"
    )
    return {
        "task": record.task,
        "entry": record.entry,
        "run": f"{record.phase}, seed {record.seed}",
        "rate": f"{record.lr:.3g}",
        "status": record.status,
        "last": last,
        "error": record.error or "",
    }


def _entry(info: Any) -> dict[str, str]:
    return {
        "entry": info.name,
        "summary": info.summary,
        "schedule": info.schedule,
        "fixed": words.hyper(info.fixed) or "the optimizer’s defaults",
    }


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), _fact(value)) for key, value in facts.items()]


def _fact(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(words.number(v) for v in value)
    return words.number(value)
