"""Fits of a law to measured losses: the numbers, how sure they are, and whether they foretell the largest runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from .laws import Array, Law, grid, law_of
from .minimizing import minimize

DELTA = 1e-3  # of Huber's loss, as in the paper of Chinchilla
SAMPLES = 400
SHARE = 0.2  # of the runs: the largest, held out


@dataclass(frozen=True)
class Held:
    """The largest runs, foretold by a fit to the others: what was seen, what was said, and its interval."""

    sizes: Array
    seen: Array
    said: Array
    low: Array
    high: Array

    @property
    def error(self) -> float:
        """The largest |said / seen - 1|."""
        return float(np.abs(self.said / self.seen - 1).max())

    @property
    def inside(self) -> int:
        """How many of the losses lie in their interval."""
        return int(((self.low <= self.seen) & (self.seen <= self.high)).sum())


@dataclass(frozen=True)
class Fit:
    """A law, fitted. ``values``, ``low``, ``high``: of each parameter; ``samples`` (bootstrap, parameters)."""

    law: Law
    sizes: Array
    loss: Array
    values: Array
    low: Array
    high: Array
    samples: Array
    objective: float
    start: Array
    starts: int
    agreeing: int
    delta: float
    level: float
    seed: int
    held: Held | None = None
    columns: tuple[str, ...] = field(default=())

    def predict(self, sizes: ArrayLike) -> Array:
        return self.law.predict(self.values[None], _sizes(self.law, sizes))[0]

    def interval(self, sizes: ArrayLike) -> tuple[Array, Array]:
        """Of the law (not of a further run) at these sizes."""
        said = self.law.predict(self.samples, _sizes(self.law, sizes))
        return _quantiles(said, self.level)

    @property
    def residuals(self) -> Array:
        """log L seen - log L of the law."""
        return np.log(self.loss) - np.log(self.law.predict(self.values[None], self.sizes)[0])

    @property
    def explained(self) -> float:
        """R²: the share of the variance of log L that the law explains."""
        y = np.log(self.loss)
        total = float(((y - y.mean()) ** 2).sum())
        return 1 - float((self.residuals**2).sum()) / total if total > 0 else 1.0

    @property
    def decades(self) -> Array:
        """How far each size ranges, in powers of ten."""
        return np.log10(self.sizes.max(0) / self.sizes.min(0))

    def value(self, name: str) -> float:
        return float(self.values[self.law.names.index(name)])

    def bounds(self, name: str) -> tuple[float, float]:
        i = self.law.names.index(name)
        return float(self.low[i]), float(self.high[i])

    @property
    def allocation(self) -> tuple[float, float, float] | None:
        """a of N ∝ C^a where C ∝ N·D is spent best, β/(α+β), with its interval; None where the law has one size."""
        if len(self.law.sizes) < 2:
            return None
        low, high = _quantiles(
            (self.samples[:, 4] / (self.samples[:, 2] + self.samples[:, 4]))[:, None], self.level
        )
        return float(self.values[4] / (self.values[2] + self.values[4])), float(low[0]), float(high[0])


def allocate(law: Law, values: ArrayLike, flops: ArrayLike, per_token: float = 6.0) -> tuple[Array, Array]:
    """N and D that the law calls best where ``flops`` = ``per_token`` · N · D: N = G (C/6)^(β/(α+β)) with
    G = (αA/βB)^(1/(α+β)).

    Errors (ValueError): a law of one size, which has nothing to split.
    """
    if len(law.sizes) != 2:
        raise ValueError(f"{law.name} has one size: there is nothing to split")
    (a, alpha, b, beta), product = np.asarray(values)[-4:], np.asarray(flops, dtype=np.float64) / per_token
    n = (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * product ** (beta / (alpha + beta))
    return n, product / n


def fit(
    law: str | Law, sizes: ArrayLike, loss: ArrayLike, *, delta: float = DELTA, starts: ArrayLike | None = None,
    samples: int = SAMPLES, level: float = 0.95, held_out: float = SHARE, seed: int = 0,
) -> Fit:  # fmt: skip
    """Fit a law: the least Huber loss of log L's residuals over a grid of starts (``starts``: your own, as θ at
    centered sizes), intervals by resampling residuals, and a fit without the largest ``held_out`` of the runs that
    must foretell them.

    Errors (ValueError): no more points than parameters, sizes that take too few values, numbers that are not positive
    and finite; (KeyError) an unknown law.
    """
    law = law_of(law) if isinstance(law, str) else law
    x, y = _sizes(law, sizes), np.asarray(loss, dtype=np.float64)
    _refuse(law, x, y)
    found = _fitted(law, x, y, delta, starts, samples, level, seed)
    held = _foretold(law, x, y, found, held_out) if held_out > 0 else None
    return Fit(**{**found.__dict__, "held": held})


def least(
    law: Law, x: Array, y: Array, delta: float = DELTA, starts: ArrayLike | None = None
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """The ends θ and objectives of descents from all starts, the starts, and the center of the log sizes."""
    center = np.log(x).mean(0)
    u, log_loss = np.log(x) - center, np.log(y)
    first = grid(law, u, log_loss) if starts is None else np.atleast_2d(np.asarray(starts, dtype=np.float64))
    ends, objectives = minimize(law, first, u, log_loss, delta)
    return ends, objectives, first, center


def _fitted(
    law: Law, x: Array, y: Array, delta: float, starts: ArrayLike | None, samples: int, level: float, seed: int
) -> Fit:  # fmt: skip
    ends, objectives, first, center = least(law, x, y, delta, starts)
    best = int(objectives.argmin())
    theta, u = ends[best], np.log(x) - center
    again = _resampled(law, theta, u, np.log(y), delta, samples, seed) if samples else theta[None]
    natural = law.natural(again, center)
    low, high = _quantiles(natural, level)
    near = int((objectives <= objectives[best] * (1 + 1e-3) + 1e-15).sum())
    return Fit(
        law, x, y, law.natural(theta[None], center)[0], low, high, natural, float(objectives[best]), first[best],
        len(first), near, delta, level, seed,
    )  # fmt: skip


def _resampled(law: Law, theta: Array, u: Array, y: Array, delta: float, samples: int, seed: int) -> Array:
    """Fits to the law plus residuals drawn anew."""
    said = law.log_loss(theta[None], u)[0][0]
    drawn = np.random.default_rng(seed).choice(_errors(y - said, len(theta)), (samples, len(y)))
    return minimize(law, np.repeat(theta[None], samples, 0), u, said + drawn, delta, 60)[0]


def _errors(residual: Array, parameters: int) -> Array:
    """What errors look like, judging by the residuals: without the smallest, which the parameters ate (Huber's fit
    meets as many points exactly as it has parameters), made larger by √(n/(n-p))."""
    n = len(residual)
    left = residual[np.argsort(np.abs(residual))[parameters:]]
    return (left - left.mean()) * np.sqrt(n / (n - parameters))


def _foretold(law: Law, x: Array, y: Array, found: Fit, share: float) -> Held | None:
    """The check on the largest runs; None where too few are left for a fit."""
    count = max(1, round(share * len(y)))
    order = np.argsort(np.log(x).sum(1), kind="stable")
    kept, largest = order[:-count], order[-count:]
    try:
        _refuse(law, x[kept], y[kept])
    except ValueError:
        return None
    part = _fitted(law, x[kept], y[kept], found.delta, None, len(found.samples), found.level, found.seed)
    spread = part.law.predict(part.samples, x[largest])
    random = np.random.default_rng(found.seed + 1)
    errors = _errors(part.residuals, len(law.names))
    low, high = _quantiles(spread * np.exp(random.choice(errors, spread.shape)), found.level)
    return Held(x[largest], y[largest], part.predict(x[largest]), low, high)


def _sizes(law: Law, sizes: ArrayLike) -> Array:
    x = np.asarray(sizes, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[1] != len(law.sizes):
        raise ValueError(
            f"{law.name} takes {len(law.sizes)} sizes ({', '.join(law.sizes)}) a point, not {x.shape}"
        )
    return x


def _refuse(law: Law, x: Array, y: Array) -> None:
    need = len(law.names)
    if y.ndim != 1 or len(y) != len(x):
        raise ValueError(f"{len(x)} points of sizes and {y.shape} losses do not belong together")
    if len(y) <= need + 1:
        raise ValueError(
            f"{len(y)} points are too few for the {need} parameters of {law.name}: give at least {need + 2}"
        )
    for name, column in (*zip(law.sizes, x.T), ("the loss", y)):
        if not (np.isfinite(column).all() and (column > 0).all()):
            raise ValueError(f"{name} must be positive and finite in every point: logarithms are taken")
        if name != "the loss" and len(np.unique(column)) < 2 + law.floor:
            raise ValueError(f"{name} takes too few different values: give at least {2 + law.floor}")


def _quantiles(samples: Array, level: float) -> tuple[Array, Array]:
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
