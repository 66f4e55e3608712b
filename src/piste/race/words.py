"""Scores in words and figures: what a report and a terminal both say, said once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from .score import EntryScore, TaskScore
from .statistics import Interval, Rank

LIMIT = "does not extrapolate"


def scale(tasks: Iterable[TaskScore]) -> str:
    """The line under every table: how small this was, and that it stays there."""
    told = list(tasks)
    lines = [
        f"{t.info.parameters:,} parameters, {t.info.steps:,} steps of {t.info.batch}, {seeds(t.seeds)}"
        for t in told
    ]
    if len(told) > 1:
        lines = [f"{t.info.name}: {line}" for t, line in zip(told, lines)]
    return " · ".join([*lines, f"«{LIMIT}»"])


def seeds(count: int) -> str:
    return f"{count} fresh seed{'' if count == 1 else 's'}"


def verdict(task: TaskScore) -> str:
    """What a reader may take home from one task, in a sentence or two."""
    name = task.info.name
    ranked = [e for e in task.entries if e.rank and e.rank.place]
    if not ranked:
        return f"On {name} no entry has finished its fresh-seed runs."
    leaders = [e for e in ranked if e.rank and e.rank.place == 1]
    if len(leaders) == len(ranked) > 1:
        said = f"On {name} no difference between the entries is shown."
    elif len(leaders) == 1:
        said = f"On {name} {leaders[0].entry} ends lowest, at {loss(leaders[0].loss, task)}."
    else:
        ends = [loss(e.loss, task) for e in (leaders[0], leaders[-1])]
        span = " to ".join(dict.fromkeys(ends))
        said = f"On {name} {listed(e.entry for e in leaders)} end lowest ({span}) and cannot be told apart."
    return f"{said} {_beside_reference(task, ranked)}".strip()


def _beside_reference(task: TaskScore, ranked: Sequence[EntryScore]) -> str:
    better = [e for e in ranked if e.difference and e.difference.high < 0]
    if not any(e.difference for e in ranked):
        return ""
    if not better:
        return f"Nothing is shown to be better than {task.reference}."
    best = better[0]
    if not best.speedup:
        return ""
    if best.speedup.mid == math.inf and max(task.horizons) <= 1:
        return f"{task.reference} does not end as low as {best.entry} at any length that was run."
    least = "at least " if best.speedup.mid == math.inf else ""
    many = f"{max(task.horizons):g}" if least else f"{best.speedup.mid:.2f}"
    sure = "" if best.speedup.low == math.inf else f" ({bounds(best.speedup, task)})"
    return f"{task.reference} needs {least}{many} times the steps{sure} to end as low as {best.entry}."


def halfway(found: tuple[int, int, str, str] | None) -> str:
    """What looking at half of the run would have said."""
    if found is None:
        return ""
    turned, pairs, then, end = found
    if not turned:
        return "At half of the run the entries stand in the order in which they end."
    leads = f"{end} leads at both" if then == end else f"{then} leads at half, {end} at the end"
    stand = "stands" if turned == 1 else "stand"
    return (
        f"At half of the run {turned} of {pairs} pairs {stand} the other way round than at its end: {leads}."
    )


def listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def place(rank: Rank | None) -> str:
    """`1`, or `1=` where others share it; a dash without a place."""
    return "–" if rank is None or rank.place is None else f"{rank.place}{'=' if rank.shared else ''}"


def rank_range(rank: Rank | None) -> str:
    if rank is None:
        return ""
    return f"{rank.best}" if rank.best == rank.worst else f"{rank.best}–{rank.worst}"


def digits(task: TaskScore) -> int:
    """Decimals worth printing: two figures of the pooled deviation."""
    s = task.pooled.deviation
    return 4 if not (s and math.isfinite(s)) else min(6, max(2, 1 - math.floor(math.log10(s))))


def loss(value: float, task: TaskScore) -> str:
    return f"{value:.{digits(task)}f}" if math.isfinite(value) else "failed"


def difference(gap: Interval | None, task: TaskScore) -> str:
    return "" if gap is None else _signed(gap.mid, task)


def difference_bounds(gap: Interval | None, task: TaskScore) -> str:
    if gap is None or not math.isfinite(gap.low):
        return ""
    return f"{_signed(gap.low, task)} … {_signed(gap.high, task)}"


def _signed(value: float, task: TaskScore) -> str:
    """With its sign, as a minus and not a hyphen, and no sign on nothing."""
    text = f"{round(value, digits(task)):+.{digits(task)}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def plus_minus(gap: Interval | None, task: TaskScore) -> str:
    """`−0.032 ± 0.015`"""
    if gap is None:
        return ""
    half = f" ± {gap.high - gap.mid:.{digits(task)}f}" if math.isfinite(gap.high) else ""
    return difference(gap, task) + half


def times(multiple: float, task: TaskScore) -> str:
    """`1.42×`, or a bound where the reference's completed runs end: `≥2×`, `≤0.5×`."""
    if multiple == math.inf:
        return f"≥{max(task.horizons):g}×"
    if multiple == 0:
        return f"≤{min(task.horizons):g}×"
    return f"{multiple:.2f}×"


def bounds(interval: Interval, task: TaskScore) -> str:
    low, high = times(interval.low, task), times(interval.high, task)
    return low if low == high else f"{low}…{high}"


def steps(interval: Interval | None, task: TaskScore) -> str:
    """The same in steps of the reference: `568`, `≥800`."""
    if interval is None:
        return ""
    if interval.mid == math.inf:
        return f"≥{task.info.steps * max(task.horizons):,.0f}"
    if interval.mid == 0:
        return f"≤{task.info.steps * min(task.horizons):,.0f}"
    return f"{task.info.steps * interval.mid:,.0f}"


def lengths(task: TaskScore) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """A table of final losses by length: its heads, in steps, and for each entry its mean losses."""
    multiples = sorted({m for e in task.entries for m in e.lengths})
    rows = [
        (e.entry, [loss(sum(x) / len(x), task) if (x := e.lengths.get(m)) else "–" for m in multiples])
        for e in task.entries
    ]
    return [f"{round(m * task.info.steps):,}" for m in multiples], rows


def duration(value: float | None) -> str:
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"


def milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{1000 * value:.3g} ms"


def size(value: int | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} B"


def number(value: object) -> str:
    return (
        f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def hyper(values: Mapping[str, object]) -> str:
    return ", ".join(f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}" for k, v in values.items())
