"""Write a race's tables into a page: `python docs/_leaderboard.py docs/PAGE.md RACE.journal [RACE.journal …]`.

What was seen stands beside what the papers say; which races to run is said at the end of the tables.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from piste import race
from piste.race.results import Results
from piste.race.score import EntryScore, TaskScore, score
from piste.race.statistics import Interval

BEGIN, END = "<!-- race: written by docs/_leaderboard.py -->", "<!-- /race -->"
# What the papers say of speed against AdamW, in steps unless they say otherwise.
SAID = {
    "SOAP": "over 40 % fewer steps than AdamW and over 35 % less time, 360M and 660M, large batch: 1.67 ×",
    "Shampoo": "(of its distributed form) far fewer steps, no number for language models",
    "DistributedShampoo": "at most 10 % slower a step than diagonal methods",
    "Muon": "1.35 × in a NanoGPT speed-run",
    "TurboMuon": "Muon's steps, 5–10 % less time",
    "PSGDKron": "no number",
    "MARSAdamW": "no number in the abstract; a clear lead on GPT-2",
    "AdaHessian": "no number for language models against AdamW's steps",
    "ASGO": "no number",
    "Lion": "up to 2.3 × less compute (on diffusion)",
}


def main(page: Path, storages: list[str]) -> None:
    races = [race.results(path) for path in storages]
    tables = [_table(s) for found in races for s in score(found).values()]
    head, rest = page.read_text().split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    page.write_text("\n\n".join([head + BEGIN, *tables, _origin(page, races), END]) + tail)


def _table(s: TaskScore) -> str:
    lines = [
        f"### `{s.info.name}`: {s.info.steps:,} steps of {s.info.batch} sequences",
        "",
        f"{s.info.description}. {s.seeds} fresh seeds; {s.reference} was also run at "
        + " and ".join(f"{h:g} ×" for h in s.horizons if h != 1)
        + " the steps. Differences below "
        + f"{s.detectable:.2g} cannot be told apart.",
        "",
        "| place | method | final loss | rate | steps: AdamW's for the same loss | seconds likewise | step, ms "
        "| the paper says |",
        "|---|---|---:|---:|---|---|---:|---|",
    ]
    base = next(e for e in s.entries if e.entry == s.reference)
    lines += [_row(e, base) for e in s.entries]
    return "\n".join(lines)


def _row(e: EntryScore, base: EntryScore) -> str:
    if e.state != "ranked":
        return f"| – | {e.entry} | {e.state} |  |  |  |  | {SAID.get(e.entry, '–')} |"
    place = "–" if e.rank is None or e.rank.place is None else f"{e.rank.place}{'=' * e.rank.shared}"
    edge = "\\*" if any("edge" in flag for flag in e.flags) else ""
    rate = "–" if e.rate is None else f"{e.rate:.3g}{edge}"
    steps = "1" if e.entry == base.entry else _times(e.speedup, 1.0)
    pace = (base.step_seconds or math.nan) / (e.step_seconds or math.nan)
    seconds = "1" if e.entry == base.entry else _times(e.speedup, pace)
    ms = "–" if e.step_seconds is None else f"{e.step_seconds * 1e3:.3g}"
    said = SAID.get(e.entry, "–")
    return f"| {place} | {e.entry} | {e.loss:.4g} | {rate} | {steps} | {seconds} | {ms} | {said} |"


def _times(speedup: Interval | None, pace: float) -> str:
    """A factor with its simultaneous bounds; beyond the runs that there are, one side only."""
    if speedup is None:
        return "–"
    low, middle, high = (pace * x for x in (speedup.low, speedup.mid, speedup.high))
    if math.isinf(middle):
        return f"over {low:.2f} ×" if math.isfinite(low) else f"over {pace * 2:.2f} ×"
    top = "…" if math.isinf(high) else f"{high:.2f}"
    return f"{middle:.2f} × ({low:.2f} to {top})"


def _origin(page: Path, races: list[Results]) -> str:
    said = races[0].environment
    entries = ",".join(races[0].entries)
    commands = [
        f"`piste race {' '.join(f'--task {name}' for name in found.tasks)}{_points(found)} --entries {entries}`"
        for found in races
    ]
    return (
        "A star marks a learning rate at the edge of its grid. "
        f"Ran on {said['date'][:10]} with torch {said['torch']}, Python {said['python']}, {said['cores']} cores "
        f"({said['processor']}). To repeat it: {', '.join(commands)}, then "
        f"`python docs/_leaderboard.py docs/{page.name}` and the journals."
    )


def _points(found: Results) -> str:
    usual = race.Protocol().points
    return "" if found.protocol["points"] == usual else f" --points {found.protocol['points']}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
