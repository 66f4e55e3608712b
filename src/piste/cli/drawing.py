"""Schedules, as text and as a picture."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

BARS = " ▁▂▃▄▅▆▇█"
ARITHMETIC = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip


def schedule_of(text: str) -> Callable[[int], Any]:
    """The schedule that an expression such as ``warmup(10, cosine(3e-4, 90))`` means: names of `piste.schedules`,
    numbers and arithmetic, nothing else."""
    from .. import schedules

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name) if callable(getattr(schedules, name, None)):
                return getattr(schedules, name)
            case ast.Call(func=ast.Name() as name, args=args, keywords=keywords):
                return value(name)(*map(value, args), **{k.arg: value(k.value) for k in keywords if k.arg})
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [value(item) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return ARITHMETIC[type(op)](value(left), value(right))
        raise click.UsageError(
            f"{ast.unparse(node)!r} is not a schedule, a shape or a number of piste.schedules"
        )

    try:
        found: Any = value(ast.parse(text, mode="eval").body)
    except SyntaxError as error:
        raise click.UsageError(f"{text!r} is not an expression: {error.msg}") from error
    if not callable(found):
        raise click.UsageError(f"{text!r} is a number, not a schedule")
    return found


def plot(values: Sequence[float], width: int = 72, height: int = 10) -> list[str]:
    """Columns of blocks, with the largest and the least value beside them."""
    low, high = min(values), max(values)
    floor = min(low, 0.0)
    span = (high - floor) or 1.0
    columns = [values[i * (len(values) - 1) // max(width - 1, 1)] for i in range(min(width, len(values)))]
    filled = [round((v - floor) / span * height * 8) for v in columns]
    labels = {0: f"{high:.3g}", height - 1: f"{floor:.3g}"}
    wide = max(len(label) for label in labels.values())
    return [
        f"{labels.get(row, ''):>{wide}} ┤"
        + "".join(BARS[min(max(f - 8 * (height - 1 - row), 0), 8)] for f in filled).rstrip()
        for row in range(height)
    ]


def picture(values: Sequence[float], title: str, path: Path) -> None:
    """The curve, as whatever the file's name says."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3), layout="constrained")
    ax = figure.subplots()
    ax.plot(range(len(values)), values, color="#1f5fa8")
    ax.set(xlabel="step", title=title, ylim=(min(0.0, min(values)), None))
    ax.title.set_fontsize(9)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
