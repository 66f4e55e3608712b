"""Write a race's tables into a page: `python docs/_leaderboard.py docs/PAGE.md RACE.journal [RACE.journal …]`.

What was seen stands beside what the papers say; which races to run is said at the end of the tables. One picture of all
tasks goes to docs/pictures.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from _pictures import BLUE, GREY, ORANGE, STYLE
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from piste import race
from piste.optimizers.families import FAMILIES
from piste.race.entries import family
from piste.race.results import Results
from piste.race.score import EntryScore, TaskScore, score
from piste.race.statistics import Interval

WIDE = 3.0  # losses that differ by more are drawn on a logarithmic scale
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
    "Adan": "half the epochs, on vision and GPT-2",
    "AdEMAMix": "1.3B on 101B tokens as AdamW on 197B",
    "CautiousAdamW": "up to 1.47 ×",
    "LAMB": "for batches of 32,000 and more: BERT in 76 minutes",
    "DAdaptSGD": "hand-tuned SGD's loss, untuned",
    "DAdaptAdam": "hand-tuned Adam's loss, untuned",
    "Prodigy": "close to hand-tuned Adam, untuned",
    "DoG": "close to tuned SGD, untuned",
    "LDoG": "close to tuned Adam on language, untuned",
    "MechanicAdamW": "close to hand-tuned rates or better, untuned",
    "MechanicLion": "as MechanicAdamW",
    "MechanicSGD": "as MechanicAdamW",
    "Ano": "better where gradients are noisy",
    "ADOPT": "converges at every β₂; no number",
    "Adafactor": "Adam's loss at a fraction of its memory",
    "CAME": "Adam's loss and better at Adafactor's memory",
    "SM3": "Adam's loss at a fraction of its memory",
    "AdamMini": "AdamW's loss at half its memory",
    "GaLoreAdamW": "full rank's loss at up to 65 % less state",
    "FiraAdamW": "full rank's loss and better at GaLore's memory",
    "OnlineSubspaceAdamW": "nearer to full rank than GaLore",
    "MicroAdam": "Adam's loss at a fraction of its memory",
    "AdamSNSM": "Adam's perplexity on half the tokens, 20 % of its state (1B)",
    "SignSGD": "one bit a gradient entry at SGD's rate",
    "OrthogradAdamW": "generalizes at once where AdamW is late; no number here",
}


def main(page: Path, storages: list[str]) -> None:
    races = [race.results(path) for path in storages]
    scored = [s for found in races for s in score(found).values()]
    scores = [
        s for s in scored if any(e.state == "ranked" for e in s.entries)
    ]  # the others have not been run
    picture = page.parent / "pictures" / f"{page.stem}-race.svg"
    picture.parent.mkdir(exist_ok=True)
    with rc_context(STYLE):
        _picture(scores).savefig(picture, metadata={"Date": None}, transparent=True)
    shown = (
        f"![Final losses of all methods](pictures/{picture.name})\n\n"
        "A dot for every fresh seed; the line is the reference's mean, blue what ends below it with confidence."
    )
    head, rest = page.read_text().split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    parts = [head + BEGIN, shown, *[_table(s) for s in scores], _origin(page, races), END]
    page.write_text("\n\n".join(parts) + tail)


def _picture(scores: Sequence[TaskScore]) -> Figure:
    """A dot for every fresh seed, a row for every method, best first."""
    rows = max(len(s.entries) for s in scores)
    figure = Figure(figsize=(4.6 * len(scores), 0.6 + 0.155 * rows), layout="constrained")
    for axes, s in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores, strict=True):
        _dots(axes, s)
    return figure


def _dots(axes: Axes, s: TaskScore) -> None:
    ranked = [e for e in s.entries if e.state == "ranked"]
    base = s[s.reference]
    for row, e in enumerate(ranked):
        colour = BLUE if _verdict(e) == "below" else ORANGE if e is base else GREY
        axes.plot(e.losses, [row] * len(e.losses), "o", color=colour, markersize=2.6)
    axes.axvline(base.loss, color=ORANGE, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(ranked)), [e.entry for e in ranked], fontsize=7)
    axes.set_ylim(len(ranked) - 0.5, -0.5)
    if ranked[-1].loss > WIDE * ranked[0].loss:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(axis="y", color=GREY, alpha=0.15)
    axes.set_title(f"{s.info.name}, {s.info.steps:,} steps", fontsize=9)
    axes.set_xlabel(s.info.metric, fontsize=8)


def _verdict(e: EntryScore) -> str:
    """Where an entry lies against the reference, as far as the simultaneous intervals allow to say."""
    if e.difference is None or not e.difference.excludes_zero:
        return "scattered" if e.rank is None or e.rank.place is None else "beside"
    return "below" if e.difference.high < 0 else "above"


def _verdicts(s: TaskScore) -> str:
    """How many entries end below the reference, beside it and above it, and which."""
    others = [e for e in s.entries if e.state == "ranked" and e.entry != s.reference]
    named = {
        v: [e.entry for e in others if _verdict(e) == v] for v in ("below", "beside", "above", "scattered")
    }
    failed = [e.entry for e in s.entries if e.state == "failed"]
    told = [
        f"{len(named['below'])} of {len(others) + len(failed)} end below {s.reference}"
        + (f" ({', '.join(named['below'])})" if named["below"] else ""),
        f"{len(named['beside'])} cannot be told from it"
        + (f" ({', '.join(named['beside'])})" if named["beside"] else ""),
        f"{len(named['above'])} end above it",
    ]
    if named["scattered"]:
        told.append(f"{', '.join(named['scattered'])} vary too much between seeds to say")
    return "; ".join(told) + (f"; {', '.join(failed)} failed." if failed else ".")


def _table(s: TaskScore) -> str:
    lines = [
        f"### `{s.info.name}`: {s.info.steps:,} steps, batches of {s.info.batch}",
        "",
        f"{s.info.description}. {s.seeds} fresh seeds; {s.reference} was also run at "
        + " and ".join(f"{h:g} ×" for h in s.horizons if h != 1)
        + " the steps. Differences below "
        + f"{s.detectable:.2g} are found less than four times in five.",
        "",
        _verdicts(s),
        "",
        f"| rank, 95 % | method | final loss | less {s.reference}'s | rate | steps: {s.reference}'s for the same loss "
        "| seconds likewise | step, ms | the paper says |",
        "|---|---|---:|---|---:|---|---|---:|---|",
    ]
    base = next(e for e in s.entries if e.entry == s.reference)
    lines += [_row(e, base) for e in s.entries]
    return "\n".join(lines)


def _row(e: EntryScore, base: EntryScore) -> str:
    if e.state != "ranked":
        return f"| – | {e.entry} | {e.state} |  |  |  |  |  | {SAID.get(e.entry, '–')} |"
    place = (
        "–"
        if e.rank is None
        else str(e.rank.best)
        if e.rank.best == e.rank.worst
        else f"{e.rank.best}–{e.rank.worst}"
    )
    edge = "\\*" if any("edge" in flag for flag in e.flags) else ""
    rate = "–" if e.rate is None else f"{e.rate:.3g}{edge}"
    steps = "1" if e.entry == base.entry else _times(e.speedup, 1.0)
    pace = (base.step_seconds or math.nan) / (e.step_seconds or math.nan)
    seconds = "1" if e.entry == base.entry else _times(e.speedup, pace)
    ms = "–" if e.step_seconds is None else f"{e.step_seconds * 1e3:.3g}"
    said = SAID.get(e.entry, "–")
    d = e.difference
    less = "–" if d is None else f"{d.mid:+.2g} ({d.low:+.2g} to {d.high:+.2g})"
    return f"| {place} | {e.entry} | {e.loss:.4g} | {less} | {rate} | {steps} | {seconds} | {ms} | {said} |"


def _times(speedup: Interval | None, pace: float) -> str:
    """A factor with its simultaneous bounds; beyond the runs that there are, one side only."""
    if speedup is None:
        return "–"
    low, middle, high = (pace * x for x in (speedup.low, speedup.mid, speedup.high))
    if math.isinf(middle):
        return f"over {low:.2f} ×" if math.isfinite(low) else f"over {pace * 2:.2f} ×"
    if middle == 0:
        return f"under {pace / 2:.2f} ×"
    bottom, top = ("…" if x in (0, math.inf) else f"{x:.2f}" for x in (low, high))
    return f"{middle:.2f} × ({bottom} to {top})"


def _origin(page: Path, races: list[Results]) -> str:
    said = races[0].environment
    commands = [
        f"`piste race {' '.join(f'--task {name}' for name in found.tasks)}{_points(found)} --entries {_named(found)}`"
        for found in races
    ]
    return (
        "A star marks a learning rate at the edge of its grid, … a bound beyond the runs that there are. "
        f"Ran on {said['date'][:10]} with torch {said['torch']}, Python {said['python']}, {said['cores']} cores "
        f"({said['processor']}). To repeat it: {', '.join(commands)}, then "
        f"`python docs/_leaderboard.py docs/{page.name}` and the journals."
    )


def _named(found: Results) -> str:
    """The entries as a command names them: whole families, and who else ran."""
    names, said = list(found.entries), []
    for name in FAMILIES:
        members = family(name)
        if {*members} <= {*names}:
            said.append(f"family:{name}")
            names = [n for n in names if n not in members]
    return ",".join([*said, *names])


def _points(found: Results) -> str:
    usual = race.Protocol().points
    return "" if found.protocol["points"] == usual else f" --points {found.protocol['points']}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
