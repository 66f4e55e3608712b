"""The pages of the evidence, made from the committed ledger: one table of all, and a page with a picture per method."""

from __future__ import annotations

import inspect
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from piste.evidence import claims, ledger
from piste.evidence.untried import UNTRIED

Row = Mapping[str, Any]
MARKS = {
    "confirmed": "✓ confirmed", "not confirmed": "✗ not confirmed", "inconclusive": "≈ inconclusive",
    "needs hardware": "needs hardware", "error": "**error**",
}  # fmt: skip
INTRO = """# Evidence

What papers claim of the methods that piste carries, tried: each claim is a small seeded experiment with a prediction
that can fail. `piste verify` runs the quick ones, `piste verify --cost full` all of them.

- **confirmed**: the 99 % interval of what was seen lies wholly within the prediction and its tolerance; **not
  confirmed**: wholly outside; **inconclusive**: between, or other seeds, two threads in place of one, or other kernels
  gave another verdict.
- A *theorem* that is confirmed was not violated here, which proves nothing; one that is not confirmed was used outside
  its assumptions, or is wrong, or is implemented wrongly. An *empirical* claim is tried at the scale of a laptop, which
  is named: what was not confirmed there may hold where the paper looked.
- Every claim has been run with a deliberately wrong method in the place of the right one, and found it out.
"""


def pages() -> dict[str, str | bytes]:
    """Page or picture by path."""
    known = {c.name for c in claims()}
    rows = sorted(
        (r for r in ledger.read().values() if r["name"] in known),
        key=lambda r: (r["method"].lower(), r["name"]),
    )
    if not rows:
        return {"evidence.md": INTRO + "\nThe ledger is empty: `make verify-full` fills it.\n"}
    methods = sorted({row["method"] for row in rows}, key=str.lower)
    made: dict[str, str | bytes] = {"evidence.md": _all(rows)}
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        made[f"evidence/{method}.md"] = _page(method, mine)
        made[f"evidence/{method}.svg"] = _picture(mine)
    return made


def link(method: str) -> str:
    """A cell of the table of methods: how many claims ended how, and where to read on."""
    counts = Counter(MARKS[row["verdict"]][0] for row in ledger.of_method(method))
    said = " ".join(f"{counts[mark]} {mark}" for mark in "✓✗≈" if counts[mark])
    return f"[{said}](evidence/{method}.md)" if said else "–"


def _all(rows: Sequence[Row]) -> str:
    counts, kinds = Counter(r["verdict"] for r in rows), Counter(r["kind"] for r in rows)
    said = ", ".join(f"{counts[v]} {v}" for v in MARKS if counts[v])
    kinds_said = ", ".join(f"{kinds[k]} {k}" for k in ("identity", "theorem", "empirical") if kinds[k])
    papers = len({r["paper"] for r in rows})
    head = f"\n{len(rows)} claims ({kinds_said}) of {papers} papers: {said}.\n\n"
    lines = ["| method | claim | kind | predicted | seen | verdict |", "|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(
            f"| [{r['method']}](evidence/{r['method']}.md) | {_words(r['name'])} | {r['kind']} | {r['prediction']} | "
            f"{_seen(r)} | {MARKS[r['verdict']]} |"
        )
    return INTRO + head + "\n".join([*lines, *_untried()]) + "\n"


def _untried() -> list[str]:
    said = [f"- *{u.paper}*: {u.statement} **Why not:** {u.reason}" for u in UNTRIED]
    return ["\n## Not tried, and why\n", *said]


def _page(method: str, rows: Sequence[Row]) -> str:
    parts = [f"# {method}: evidence\n\n![What was predicted (shaded) and what was seen]({method}.svg)\n"]
    for r in rows:
        scale = f"\n\nTried at: {r['scale']}." if r["scale"] else ""
        note = f"\n\n{r['note'].capitalize()}." if r["note"] else ""
        parts.append(
            f"## {_words(r['name']).capitalize()}\n\n*{r['paper']}* ({r['kind']})\n\n{r['statement']}\n\n"
            f"{_how(r['name'])}{scale}{note}\n\n"
            f"| predicted | tolerance | seen | runs | verdict | when, on what |\n|---|---|---|---|---|---|\n"
            f"| {r['prediction']} | {r['tolerance']:g} | {_seen(r)} | {r['seeds']} | {MARKS[r['verdict']]} | {r['date']}, "
            f"code {r['code']}, torch {r['torch']}, {r['system']}; {r['seconds']:.1f} s |\n"
        )
    return "\n".join(parts)


def _how(name: str) -> str:
    """What is measured: the experiment's docstring behind the statement."""
    (claim,) = claims([name])
    _, _, rest = inspect.cleandoc(claim.experiment.__doc__ or "").partition("\n\n")
    return " ".join(rest.split())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _seen(r: Row) -> str:
    if r["seen"] is None:
        return "–"
    return f"{r['seen']:.4g}" + (f" ({r['low']:.3g} to {r['high']:.3g})" if r["high"] > r["low"] else "")


def _picture(rows: Sequence[Row]) -> bytes:
    """For each claim a line of numbers: the prediction shaded, the interval of what was seen on it."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.fonttype"] = "none"
    by_name = {c.name: c for c in claims()}
    shown = [r for r in rows if r["seen"] is not None and math.isfinite(r["seen"])]
    figure = Figure(figsize=(7.5, 0.75 * max(1, len(shown)) + 0.2), layout="constrained")
    axes = figure.subplots(max(1, len(shown)), 1, squeeze=False)[:, 0]
    for ax, r in zip(axes, shown, strict=False):
        claim = by_name[r["name"]]
        least, most = claim.prediction.low - claim.tolerance, claim.prediction.high + claim.tolerance
        ends = [x for x in (least, most, r["low"], r["high"]) if math.isfinite(x)]
        room = 0.15 * (max(ends) - min(ends)) or 0.1 * abs(ends[0]) or 1.0
        left, right = min(ends) - room, max(ends) + room
        ax.axvspan(max(least, left), min(most, right), color="tab:green", alpha=0.2, lw=0)
        good = r["verdict"] == "confirmed"
        ax.plot(
            [r["low"], r["high"]],
            [0, 0],
            color="tab:blue" if good else "tab:red",
            lw=3,
            solid_capstyle="round",
        )
        ax.plot([r["seen"]], [0], "o", color="tab:blue" if good else "tab:red", ms=6)
        ax.set(xlim=(left, right), ylim=(-1, 1), yticks=[])
        ax.set_title(_words(r["name"]), fontsize=8, loc="left", color="gray")
        ax.tick_params(labelsize=7, colors="gray")
        for side in ("top", "left", "right"):
            ax.spines[side].set_visible(False)
        ax.spines["bottom"].set_color("gray")
    out = io.BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()
