"""What a reader must know of a fit before believing it, item by item, and what is wrong with this one.

The items are those of "(Mis)Fitting: A Survey of Scaling Laws", Margaret Li et al., 2025,
https://arxiv.org/abs/2502.18969
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fitting import Fit
from .laws import grid

GOOD, WARNING, YOURS = "good", "warning", "yours"


@dataclass(frozen=True)
class Item:
    """One line of the checklist. ``status``: good, a warning, or "yours": what only those who trained can say."""

    topic: str
    said: str
    status: str = GOOD


def checklist(found: Fit) -> list[Item]:
    return [
        _form(found), _points(found), *_ranges(found), *_asked(), _loss(found), _optimizer(found), _starts(found),
        *_edges(found), _intervals(found), _goodness(found), _extrapolation(found),
    ]  # fmt: skip


def warnings(found: Fit) -> list[str]:
    return [f"{item.topic}: {item.said}" for item in checklist(found) if item.status == WARNING]


def _form(found: Fit) -> Item:
    floor = (
        "with a floor E" if found.law.floor else "without a floor: it bends where the loss does not go to 0"
    )
    return Item("form", f"L = {found.law.formula}, {floor}")


def _points(found: Fit) -> Item:
    n, p = len(found.loss), len(found.law.names)
    said = f"{n} points for {p} parameters, every one of them in the fit"
    return (
        Item("points", said, GOOD) if n >= 3 * p else Item("points", f"{said}: fewer than {3 * p}", WARNING)
    )


def _ranges(found: Fit) -> list[Item]:
    items = []
    for name, decades, column in zip(found.law.sizes, found.decades, found.sizes.T):
        said = f"{name} from {column.min():.3g} to {column.max():.3g}, {decades:.1f} decades"
        if decades < 1:
            items.append(Item(f"range of {name}", f"{said}: less than one", WARNING))
        else:
            items.append(Item(f"range of {name}", said))
    return items


def _asked() -> list[Item]:
    return [
        Item("sizes", "how were parameters, tokens and flops counted (embeddings, repeated data)?", YOURS),
        Item(
            "runs",
            "one point a run, or several checkpoints of one? Was the schedule ended before each?",
            YOURS,
        ),
        Item("tuning", "which hyperparameters were fixed, and which tuned at every size?", YOURS),
        Item("data", "on which data is the loss taken, and is it the same at every size?", YOURS),
    ]


def _loss(found: Fit) -> Item:
    return Item("loss of the fit", f"Huber of the residuals of log L, δ = {found.delta:g}")


def _optimizer(found: Fit) -> Item:
    said = f"Levenberg–Marquardt on reweighted least squares, sizes centered; ended at {found.objective:.3g}"
    return Item("optimizer", said)


def _starts(found: Fit) -> Item:
    if found.starts == 1:
        return Item("starts", "one only: another may end elsewhere", WARNING)
    said = f"{found.starts}, of which {found.agreeing} end in the best"
    return Item("starts", said) if found.agreeing > 1 else Item("starts", f"{said}: look for more", WARNING)


def _edges(found: Fit) -> list[Item]:
    """Exponents beyond those of the starts, and a floor that is none."""
    log_loss = np.log(found.loss)
    tried = grid(found.law, np.log(found.sizes) - np.log(found.sizes).mean(0), log_loss)[
        :, 1 + found.law.floor :: 2
    ]
    out = [n for n in found.law.exponents if not tried.min() <= found.value(n) <= tried.max()]
    items = []
    if out:
        said = f"{', '.join(out)} outside the grid of starts, {tried.min():g} to {tried.max():g}"
        items.append(Item("edges", said, WARNING))
    if found.law.floor and found.value("E") < 1e-3 * found.loss.min():
        items.append(Item("floor", "E came out as 0: the data do not show a floor", WARNING))
    elif found.law.floor and found.bounds("E")[0] < 1e-3 * found.loss.min():
        items.append(Item("floor", "the interval of E reaches 0: the data hardly show a floor", WARNING))
    return items or [Item("edges", "nothing lies at an end of its range")]


def _intervals(found: Fit) -> Item:
    if len(found.samples) < 2:
        return Item("intervals", "none", WARNING)
    said = f"{found.level:.0%}, {len(found.samples)} resamplings of the residuals, seed {found.seed}"
    loose = [
        name
        for name in found.law.exponents
        if found.bounds(name)[1] - found.bounds(name)[0] > found.value(name)
    ]
    if loose:
        return Item("intervals", f"{said}; wider than the exponent itself: {', '.join(loose)}", WARNING)
    return Item("intervals", said)


def _goodness(found: Fit) -> Item:
    size = np.abs(np.expm1(found.residuals))
    said = f"R² of log L {found.explained:.4f}; off by {np.median(size):.2%} in the middle, {size.max():.2%} at worst"
    return Item("goodness", said, GOOD if found.explained > 0.9 else WARNING)


def _extrapolation(found: Fit) -> Item:
    held = found.held
    if held is None:
        return Item("held out", "nothing: whether the law foretells larger runs is not known", WARNING)
    count = len(held.seen)
    said = (
        f"a fit without the {count} largest runs misses them by {held.error:.2%} at worst; "
        f"{held.inside} of {count} lie in their {found.level:.0%} interval"
    )
    return Item("held out", said, GOOD if held.inside >= 0.7 * count else WARNING)
