"""The schedule of the next run from the gradient norms of the last one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .._registry import register
from ._schedule import Schedule
from .decays import points

POWERS = {"sgd": -2, "adam": -1}
MOST = 10_000  # points of a schedule; more norms than these are thinned


def refined(
    norms: Sequence[float], peak: float, steps: int, kind: str = "sgd", smoothing: float = 0.1
) -> Schedule[float]:
    """The shape that the bound on the last iterate favours, for gradients as large as those of an earlier run.

        η_t ∝ w_t Σ_(p > t) w_p,    w_t = G_t^(-2) for SGD and G_t^(-1) for Adam

    ``norms`` G are those of the whole minibatch gradient at each step, before clipping: Euclidean for ``kind`` "sgd",
    sums of magnitudes for "adam". They are smoothed first by a running median over a share ``smoothing`` of the run,
    its end mirrored, its beginning held. Only the shape is taken: the largest value becomes ``peak``, which wants to be
    tuned again. Equal norms give a line to zero; where they fall at first the schedule warms up, where they rise in the
    end it falls faster. ``steps``: of the next run, which may be longer or shorter. The last step's rate is 0.

    Errors: ValueError where a norm is not positive and finite (a run that interpolates has none to go by), where there
    are fewer than two, or for a ``kind`` that is not there.

    Reference: "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement", Aaron Defazio, Ashok Cutkosky,
    Harsh Mehta, Konstantin Mishchenko, 2023, https://arxiv.org/abs/2310.07831
    """
    if kind not in POWERS:
        raise ValueError(f"refined: kind must be one of {', '.join(POWERS)}; got {kind!r}")
    if not 0 <= smoothing < 1:
        raise ValueError(
            f"refined: smoothing is a share of the run, at least 0 and under 1; got {smoothing!r}"
        )
    g = np.asarray(norms, dtype=np.float64)
    if g.ndim != 1 or len(g) < 2:
        raise ValueError(f"refined: two or more gradient norms are needed; got {g.shape}")
    bad = np.flatnonzero(~(np.isfinite(g) & (g > 0)))
    if len(bad):
        raise ValueError(
            f"refined: gradient norms must be positive and finite; that of step {bad[0]} is {g[bad[0]]}, "
            f"{len(bad)} in all are not: leave those steps out"
        )
    if len(g) > MOST:
        g = np.interp(np.linspace(0, len(g) - 1, MOST), np.arange(len(g)), g)
    w = smoothed(g, smoothing) ** POWERS[kind]
    later = np.cumsum(w[::-1])[::-1] - w
    shape = w * later
    shape[-1] = 0.0  # to the last bit
    return points(tuple((peak * shape / shape.max()).tolist()), steps)


def smoothed(norms: np.ndarray, share: float) -> np.ndarray:
    """The running median over an odd number of points, a ``share`` of all."""
    half = int(share * len(norms)) // 2
    padded = np.concatenate([np.full(half, norms[0]), np.pad(norms, (0, half), mode="reflect")])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.concatenate(
        [np.median(part, axis=-1) for part in np.array_split(windows, len(norms) // 256 + 1)]
    )


def save(made: Schedule[float], path: str | Path) -> None:
    """The points of a schedule as JSON, in place of what is there. Errors: TypeError for another one than
    :func:`points`."""
    given = dict(made.arguments)
    if made.make is not points:
        raise TypeError(f"save: {made!r} is told by its own arguments; points and refined ones are saved")
    part = Path(f"{path}.part")
    part.write_text(json.dumps({"steps": given["steps"], "values": list(given["values"])}))
    part.replace(path)


def read(path: str | Path) -> Schedule[float]:
    """A schedule that :func:`save` wrote. Errors: ValueError where the file is none."""
    try:
        said = json.loads(Path(path).read_text())
        return points(tuple(said["values"]), said["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a schedule that piste wrote: {error}") from error


register("schedule", "refined", refined)
