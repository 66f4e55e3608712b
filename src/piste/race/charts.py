"""The report's charts: inline SVG whose text is text and whose colours are the page's CSS variables.

matplotlib draws with stand-in colours, one per role; `_inline` replaces each by `var(--…)`, so that one
drawing serves light and dark. All charts are drawn at the width of a phone and placed in a grid on wider
screens.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from .results import Record
from .score import TaskScore

HUES = 8
MARKERS = "osD^vPX*"
DASHES = ("-", (0, (4, 1.6)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
INK, MUTED, RULE, PAPER = "#0e0100", "#0e0101", "#0e0102", "#0e0103"
ROLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "piste",
    "font.size": 10.5,
    "font.family": "sans-serif",
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Look:
    """How one entry is drawn, everywhere: never by colour alone."""

    hue: int | None
    dash: int
    marker: str

    @property
    def colour(self) -> str:
        return INK if self.hue is None else f"#0e00{self.hue:02x}"

    @property
    def variable(self) -> str:
        return "--ink" if self.hue is None else f"--e{self.hue}"

    @property
    def line(self) -> dict[str, Any]:
        return {"color": self.colour, "linestyle": DASHES[self.dash % len(DASHES)]}


def looks(entries: Sequence[str], reference: str) -> dict[str, Look]:
    """The reference in ink, the others in the order of the race."""
    others = [e for e in entries if e != reference]
    found = {e: Look(i % HUES, i // HUES, MARKERS[i % len(MARKERS)]) for i, e in enumerate(others)}
    return {**found, reference: Look(None, 0, "o")}


def differences(task: TaskScore, look: Mapping[str, Look]) -> str:
    """A forest plot: each entry's simultaneous interval for its loss minus the reference's."""
    shown = [e for e in task.entries if e.difference and math.isfinite(e.difference.high)]
    if not shown:
        return ""

    def draw(ax: Axes) -> None:
        ax.axvline(0, color=INK, linewidth=1.2)
        for row, entry in enumerate(shown):
            gap, style = entry.difference, look[entry.entry]
            if gap:
                ax.plot([gap.low, gap.high], [row, row], color=style.colour, linewidth=2.4)
                ax.plot([gap.mid], [row], style.marker, color=style.colour, markersize=6.5)
        ax.set_yticks(range(len(shown)), [e.entry for e in shown])
        ax.tick_params(axis="y", colors=INK)
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel(f"loss minus {task.reference}’s: left is better")

    title = f"{task.info.name}: final loss against {task.reference}, simultaneous 95 % intervals"
    return _chart(draw, title, height=max(3.7, 0.75 + 0.3 * len(shown)))


def learning_curves(task: TaskScore, finals: Mapping[str, Sequence[Record]], look: Mapping[str, Look]) -> str:
    """Mean validation loss over fresh seeds in a band from the lowest to the highest seed."""
    bands = {e: band(runs) for e, runs in finals.items()}
    bands = {e: rows for e, rows in bands.items() if rows}
    if not bands:
        return ""

    def draw(ax: Axes) -> None:
        for name, rows in bands.items():
            steps, low, mean, high = zip(*rows)
            ax.fill_between(steps, low, high, color=look[name].colour, alpha=0.18, linewidth=0)
            ax.plot(steps, mean, **look[name].line)
            if any(not r.ok for r in finals[name]):
                ax.plot(steps[-1:], mean[-1:], "x", color=look[name].colour, markersize=8, markeredgewidth=2)
        _limit(ax, bands, task)
        ax.set_xlim(0, task.info.steps)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.set_xlabel("step")
        ax.set_ylabel(task.info.metric.split(" (")[0])

    return _chart(draw, f"{task.info.name}: learning curves, mean and range over fresh seeds")


def band(runs: Sequence[Record]) -> list[tuple[int, float, float, float]]:
    """`(step, lowest, mean, highest)` at the steps that every run reached."""
    curves = [dict(r.curve) for r in runs if r.curve]
    if not curves:
        return []
    common = sorted(set.intersection(*(set(c) for c in curves)))
    rows = []
    for step in common:
        values = [c[step] for c in curves]
        rows.append((step, min(values), sum(values) / len(values), max(values)))
    return rows


def length_curves(task: TaskScore, look: Mapping[str, Look]) -> str:
    """Mean final loss over fresh seeds against the length of the run, each in a band from the lowest to the highest."""
    shown = [e for e in task.entries if len(e.lengths) > 1]
    if not shown:
        return ""

    def draw(ax: Axes) -> None:
        for entry in shown:
            steps = [m * task.info.steps for m in entry.lengths]
            low, mean, high = zip(*((min(x), sum(x) / len(x), max(x)) for x in entry.lengths.values()))
            style = look[entry.entry]
            ax.fill_between(steps, low, high, color=style.colour, alpha=0.18, linewidth=0)
            ax.plot(steps, mean, marker=style.marker, ms=5, **style.line)
        ends = [x for e in shown for losses in e.lengths.values() for x in losses]
        _scale(ax, min(ends), max(ends))
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.set_xlabel("steps of the whole run")
        ax.set_ylabel(task.info.metric.split(" (")[0])

    return _chart(draw, f"{task.info.name}: final loss by length of the run")


def rate_curves(task: TaskScore, look: Mapping[str, Look]) -> str:
    """Tuning losses over the learning rate in units of each entry's best: a flat valley forgives."""
    finite = [x for e in task.entries for _, x in e.rates if math.isfinite(x)]
    if not finite:
        return ""
    top = _roof(finite, task)

    def draw(ax: Axes) -> None:
        for entry in task.entries:
            done = [(lr, x) for lr, x in entry.rates if math.isfinite(x)]
            if not done:
                continue
            best, style = min(done, key=lambda p: p[1])[0], look[entry.entry]
            ax.plot(
                [lr / best for lr, _ in done], [x for _, x in done], marker=style.marker, ms=5, **style.line
            )
            lost = [lr / best for lr, x in entry.rates if not math.isfinite(x)]
            ax.plot(
                lost,
                [top] * len(lost),
                "x",
                color=style.colour,
                markersize=7,
                markeredgewidth=2,
                clip_on=False,
            )
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"×{x:g}" if x >= 1 else f"÷{1 / x:g}"))
        _scale(ax, min(finite), top)
        ax.set_xlabel("learning rate, in units of the entry’s best")
        ax.set_ylabel(task.info.metric.split(" (")[0])

    return _chart(draw, f"{task.info.name}: loss over learning rate, one seed; a cross is a failed run")


def profile_curves(profiles: Mapping[str, Sequence[tuple[float, float]]], look: Mapping[str, Look]) -> str:
    """The share of tasks on which an entry's loss is within a factor of the best entry's."""
    if not profiles:
        return ""
    far = max((tau for points in profiles.values() for tau, _ in points), default=1.0)
    far = max(1.05, far**1.08)

    def draw(ax: Axes) -> None:
        for name, points in profiles.items():
            taus, shares = [p[0] for p in points], [p[1] for p in points]
            ax.step([*taus, far], [*shares, shares[-1]], where="post", **look[name].line)
        ax.set_xscale("log", base=2)
        ax.set_xlim(1, far)
        _plain(ax.xaxis, 1, far, "×{:g}")
        ax.set_ylim(0, 1.04)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
        ax.set_xlabel("within this factor of the best loss")
        ax.set_ylabel("share of tasks")

    return _chart(draw, "Performance profiles over tasks")


def swatch(look: Look, name: str) -> str:
    """A piece of the entry's line with its marker: an SVG symbol with the id `name`, for tables and legends."""

    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 0], linewidth=2.6, **look.line)
        ax.plot([0.5], [0], look.marker, color=look.colour, markersize=6.5)
        ax.set_axis_off()
        ax.set_xlim(-0.05, 1.05)
        ax.set_ylim(-1, 1)
        ax.set_position((0, 0, 1, 1))

    drawn = _chart(draw, "", width=0.4, height=0.16, kind="swatch")
    inner = drawn[drawn.index(">") + 1 : drawn.rindex("</svg>")]
    return f'<symbol id="{name}" viewBox="0 0 28.8 11.52">{inner}</symbol>'


def _limit(ax: Axes, bands: Mapping[str, Sequence[tuple[int, float, float, float]]], task: TaskScore) -> None:
    """Show what differs: the first fall from the untrained loss would flatten everything else."""
    late = [row for rows in bands.values() for row in rows if row[0] >= task.info.steps / 5]
    late = late or [row for rows in bands.values() for row in rows]
    low, high = min(r[1] for r in late), max(r[2] for r in late)
    _scale(ax, low, high)


def _roof(finite: Sequence[float], task: TaskScore) -> float:
    untrained = task.info.baselines.get("untrained", math.inf)
    return min(max(finite), untrained) if min(finite) < untrained else max(finite)


def _scale(ax: Axes, low: float, high: float) -> None:
    """Logarithmic where the values span more than a factor of four, with a little air."""
    if low > 0 and high > 4 * low:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.12, high * 1.15)
        _plain(ax.yaxis, low, high, "{:g}")
        return
    air = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ax.set_ylim(low - air, high + air)
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _plain(axis, low: float, high: float, form: str) -> None:
    """Plain numbers on a logarithmic axis: 0.02 0.05 0.1, and not powers."""
    span = math.log10(high / low)
    axis.set_major_locator(
        MaxNLocator(4, steps=[1, 2, 5, 10])
        if span < 0.7
        else LogLocator(10, (1, 2, 5) if span < 2.2 else (1,))
    )
    axis.set_major_formatter(FuncFormatter(lambda x, _: form.format(float(f"{x:.3g}"))))
    axis.set_minor_formatter(NullFormatter())


def _chart(
    draw: Callable[[Axes], None], title: str, width: float = 5.0, height: float = 3.7, kind: str = "chart"
) -> str:
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained" if kind == "chart" else None)
        draw(figure.subplots())
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), title, kind)


def _inline(svg: str, title: str, kind: str) -> str:
    """Only the drawing: no prologue, no size, page colours and fonts, and ids no other drawing has."""
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]+)"', svg)
    label = f'role="img" aria-label="{escape(title)}"' if title else 'aria-hidden="true"'
    head = f'<svg class="{kind}" {label} viewBox="{view.group(1) if view else ""}">'
    svg = head + svg[svg.index(">") + 1 :]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{own}{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{own}", svg).replace("xlink:href", "href")
    for stand_in, role in ROLES.items():
        svg = svg.replace(stand_in, f"var(--{role})")
    svg = re.sub(r"#0e00([0-9a-f]{2})", lambda m: f"var(--e{int(m[1], 16)})", svg)
    svg = re.sub(r" font-family: [^;\"]+;?| transform=\"rotate\(-0[^\"]*\"", "", svg)
    return re.sub(r"\n\s*", "\n", svg).strip()
