"""The picture of a fit, and a page of one file with it. Needs matplotlib (`piste[fit]`)."""

from __future__ import annotations

from html import escape
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .checklist import WARNING, YOURS, checklist
from .fitting import Fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS, LINE, BAND, FLOOR, HELD = "#1f4e79", "#c0392b", "#c0392b", "#7f8c8d", "#e08e0b"
MARKS = {WARNING: "⚠", YOURS: "?"}


def draw(found: Fit) -> Figure:
    """The losses and the law with its interval beside the residuals; with two sizes, a line for each D."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    x, two = found.sizes[:, 0], len(found.law.sizes) > 1
    reach = np.geomspace(x.min(), 10 * x.max(), 200)
    seconds = np.quantile(found.sizes[:, 1], [0, 0.5, 1], method="nearest") if two else [None]
    for second in np.unique(np.asarray(seconds)) if two else seconds:
        at = reach[:, None] if second is None else np.stack([reach, np.full_like(reach, second)], 1)
        low, high = found.interval(at)
        left.fill_between(reach, low, high, color=BAND, alpha=0.15, lw=0)
        left.plot(reach, found.predict(at), color=LINE, lw=1.4)
        if second is not None:
            left.annotate(f"{_column(found, 1)} = {second:.2g}", (reach[-1], found.predict(at)[-1]), (0, 7),
                          textcoords="offset points", ha="right", fontsize=8, color=LINE)  # fmt: skip
    left.scatter(x, found.loss, s=16, color=DOTS, zorder=3, label="measured")
    if found.held is not None:
        left.scatter(found.held.sizes[:, 0], found.held.seen, s=44, facecolors="none", edgecolors=HELD, zorder=4,
                     label="held out in the check")  # fmt: skip
    if found.law.floor:
        left.axhline(found.value("E"), color=FLOOR, ls=":", lw=1.2, label="floor E")
    left.set(
        xscale="log",
        yscale="log",
        xlabel=_column(found, 0),
        ylabel=_column(found, -1),
        title=found.law.formula,
    )
    left.legend(frameon=False, fontsize=8)
    right.axhline(0, color=LINE, lw=1)
    right.scatter(x, 100 * np.expm1(found.residuals), s=16, color=DOTS)
    right.set(xscale="log", xlabel=_column(found, 0), ylabel="off by, %", title="residuals")
    return figure


def save(found: Fit, path: Path) -> None:
    """As a page where the name ends in .html, else in the format of its ending (png, svg, pdf).

    Errors (ValueError): an ending that matplotlib does not know.
    """
    if path.suffix.lower() in (".html", ".htm"):
        path.write_text(page(found), encoding="utf-8")
        return
    figure = draw(found)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in known:
        raise ValueError(f"{path.name} ends in none of .html, .{', .'.join(sorted(known))}")
    figure.savefig(path, dpi=150)


def page(found: Fit) -> str:
    """One file of HTML, without scripts: parameters, picture, checklist."""
    drawn = StringIO()
    draw(found).savefig(drawn, format="svg")
    svg = drawn.getvalue()
    parameters = "".join(
        f"<tr><th>{escape(name)}</th><td>{value:.5g}</td><td>{low:.4g} to {high:.4g}</td></tr>"
        for name, value, low, high in zip(found.law.names, found.values, found.low, found.high)
    )
    items = "".join(
        f'<tr class="{item.status}"><td>{MARKS.get(item.status, "✓")}</td><th>{escape(item.topic)}</th>'
        f"<td>{escape(item.said)}</td></tr>"
        for item in checklist(found)
    )
    return PAGE.format(
        formula=escape(found.law.formula), parameters=parameters, items=items, svg=svg[svg.index("<svg") :],
        level=f"{found.level:.0%}",
    )  # fmt: skip


def _column(found: Fit, which: int) -> str:
    names: Any = found.columns or (*found.law.sizes, "L")
    return names[which]


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Scaling law {formula}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .25rem .8rem; border-bottom: 1px solid #ddd; }}
.warning {{ background: #fff3d6; }} .yours {{ color: #666; }}
</style>
<h1>L = {formula}</h1>
<table><tr><th>parameter</th><th>value</th><th>{level} interval</th></tr>{parameters}</table>
{svg}
<h2>Checklist</h2>
<p>After “(Mis)Fitting: A Survey of Scaling Laws”. Lines with a question mark are yours to answer.</p>
<table>{items}</table>
</html>
"""
