"""The pages of the evidence, made from the committed ledger: one table of all, and a page with a picture per method."""

from __future__ import annotations

import functools
import inspect
import io
import math
import re
import unicodedata
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
INTRO = """---
hide: [toc]
---

# Evidence

What papers claim of the methods that piste carries, tried: each claim is a small seeded experiment with a prediction
that can fail. `piste verify` runs the quick ones, `piste verify --cost full` all of them.

- **confirmed**: the 99 % interval of what was seen lies wholly within the prediction and its tolerance; **not
  confirmed**: wholly outside; **inconclusive**: between, or other seeds, two threads in place of one, or other kernels
  gave another verdict.
- A *theorem* that is confirmed was not violated here, which proves nothing; one that is not confirmed was used outside
  its assumptions, or is wrong, or is implemented wrongly. An *empirical* claim is tried at the scale of a laptop, which
  is named: what was not confirmed there may hold where the paper looked.
- Each claim brings a deliberately wrong method, which must be found out when it stands in the place of the right one
  (`--sabotage`).
"""


def pages() -> dict[str, str | bytes]:
    """Page or picture by path."""
    rows = _rows()
    if not rows:
        return {"evidence.md": INTRO + "\nThe ledger is empty: `make verify-full` fills it.\n"}
    made: dict[str, str | bytes] = {"evidence.md": _all(rows)}
    for method in sorted({row["method"] for row in rows}, key=str.lower):
        mine = [row for row in rows if row["method"] == method]
        made[f"evidence/{_file(method)}.md"] = _page(method, mine)
        made |= {f"evidence/{row['name']}.svg": _picture(row) for row in mine if _drawn(row)}
    return made


@functools.cache
def _rows() -> list[Row]:
    """Of the claims that there are."""
    known = {c.name for c in claims()}
    found = (r for r in ledger.read().values() if r["name"] in known)
    return sorted(found, key=lambda r: (r["method"].lower(), r["name"]))


def _file(method: str) -> str:
    """A method's name as that of a file and a part of an address."""
    plain = unicodedata.normalize("NFKD", method).encode("ascii", "ignore").decode()
    return re.sub(r"[^\w.-]+", "-", plain).strip("-")


def link(method: str) -> str:
    """A cell of the table of methods: how many claims ended how, and where to read on."""
    counts = Counter(MARKS[r["verdict"]][0] for r in _rows() if r["method"].lower() == method.lower())
    said = " ".join(f"{counts[mark]} {mark}" for mark in "✓✗≈" if counts[mark])
    return f"[{said}](evidence/{_file(method)}.md)" if said else "–"


def _all(rows: Sequence[Row]) -> str:
    counts, kinds = Counter(r["verdict"] for r in rows), Counter(r["kind"] for r in rows)
    said = ", ".join(f"{counts[v]} {v}" for v in MARKS if counts[v])
    kinds_said = ", ".join(f"{kinds[k]} {k}" for k in ("identity", "theorem", "empirical") if kinds[k])
    papers = len({r["paper"] for r in rows})
    caught = sum(_found_out(r) for r in rows)
    head = (
        f"\n{len(rows)} claims ({kinds_said}) of {papers} papers: {said}. Run with their wrong methods, "
        f"{caught if caught < len(rows) else 'all'} of them have found these out.\n\n"
    )
    against = [r for r in rows if r["verdict"] not in ("confirmed", "needs hardware")]
    parts = [
        "## What did not come out as its paper says\n", *_against(against), "\n## All claims\n", *_table(rows), *_untried(),
    ]  # fmt: skip
    return INTRO + head + "\n".join(parts) + "\n"


def _against(rows: Sequence[Row]) -> list[str]:
    """What a reader looks for first: the paper, what was expected and seen, and at what scale."""
    if not rows:
        return ["Nothing."]
    lines = ["| claim | paper | predicted | seen | verdict | tried at |", "|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(
            f"| {_linked(r, _words(r['name']))} | *{r['paper']}* | {r['prediction']} | {_seen(r)} | "
            f"{MARKS[r['verdict']]} | {r['scale'] or '–'} |"
        )
    return lines


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| method | claim | kind | predicted | seen | verdict |", "|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(
            f"| [{r['method']}](evidence/{_file(r['method'])}.md) | {_linked(r, _words(r['name']))} | {r['kind']} | "
            f"{r['prediction']} | {_seen(r)} | {MARKS[r['verdict']]} |"
        )
    return lines


def _linked(r: Row, text: str) -> str:
    return f"[{text}](evidence/{_file(r['method'])}.md#{r['name']})"


def _untried() -> list[str]:
    said = [f"- *{u.paper}*: {u.statement} **Why not:** {u.reason}" for u in UNTRIED]
    return ["\n## Not tried, and why\n", *said]


def _page(method: str, rows: Sequence[Row]) -> str:
    parts = [
        f"# {method}: evidence\n\nIn pictures the prediction is shaded; the dot is what was seen, the bar its interval.\n"
    ]
    for r in rows:
        scale = f"\n\nTried at: {r['scale']}." if r["scale"] else ""
        note = f"\n\n{r['note'].capitalize()}." if r["note"] else ""
        parts.append(
            f"## {_words(r['name']).capitalize()} {{ #{r['name']} }}\n\n*{r['paper']}* ({r['kind']})\n\n"
            f"{r['statement']}\n\n{_how(r['name'])}{scale}{note}\n\n"
            + (f"![{r['prediction']}; seen {_seen(r)}]({r['name']}.svg)\n\n" if _drawn(r) else "")
            + f"| predicted | tolerance | seen | runs | verdict | a wrong method | when, on what |\n|---|---|---|---|---|---|---|\n"
            f"| {r['prediction']} | {r['tolerance']:g} | {_seen(r)} | {r['seeds']} | {MARKS[r['verdict']]} | "
            f"{'found out' if _found_out(r) else 'not tried'} | {r['date']}, "
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


def _found_out(r: Row) -> bool:
    """Whether the claim, as the row speaks of it, was not confirmed of its wrong method."""
    return r.get("sabotaged") == r["code"]


def _drawn(r: Row) -> bool:
    return r["seen"] is not None and all(math.isfinite(r[key]) for key in ("low", "seen", "high"))


def _picture(r: Row) -> bytes:
    """A line of numbers: the prediction shaded, the interval of what was seen on it."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.fonttype"] = "none"
    (claim,) = claims([r["name"]])
    least, most = claim.prediction.low - claim.tolerance, claim.prediction.high + claim.tolerance
    ends = [x for x in (least, most, r["low"], r["high"]) if math.isfinite(x)]
    room = 0.15 * (max(ends) - min(ends)) or 0.1 * abs(ends[0]) or 1.0
    left, right = min(ends) - room, max(ends) + room
    color = "tab:blue" if r["verdict"] == "confirmed" else "tab:red"
    figure = Figure(figsize=(7.5, 0.6), layout="constrained")
    ax = figure.subplots()
    ax.axvspan(max(least, left), min(most, right), color="tab:green", alpha=0.2, lw=0)
    ax.plot([r["low"], r["high"]], [0, 0], color=color, lw=3, solid_capstyle="round")
    ax.plot([r["seen"]], [0], "o", color=color, ms=6)
    ax.set(xlim=(left, right), ylim=(-1, 1), yticks=[])
    ax.tick_params(labelsize=7, colors="gray")
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color("gray")
    out = io.BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()
