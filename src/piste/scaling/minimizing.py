"""The smallest Huber loss of log residuals: Levenberg–Marquardt steps on many starts, or many samples, at once."""

from __future__ import annotations

import numpy as np

from .laws import Array, Law

STEEPEST = 10.0  # an exponent; what is steeper is not a law of size
LOWEST = 14.0  # how far log E may lie below the least log loss; what is lower is no floor


def huber(residual: Array, delta: float) -> Array:
    """Σ h(r) over the last axis, h(r) = r²/2 up to δ and δ (|r| - δ/2) beyond."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).sum(-1)


def minimize(
    law: Law, start: Array, u: Array, log_loss: Array, delta: float, steps: int = 200
) -> tuple[Array, Array]:  # fmt: skip
    """θ (batch, parameters) and the objective (batch) that descent from ``start`` ends in, for ``log_loss`` (points),
    or (batch, points) where every row has its own data.

    A step solves the least squares that weights min(1, δ/|r|) make of Huber's loss, damped; one that does not descend
    is not taken. The floor and exponents stay in [``LOWEST``, 0] below the least loss and [0, ``STEEPEST``].
    """
    theta, y = start.copy(), np.broadcast_to(log_loss, (len(start), u.shape[0]))
    low, high = _box(law, y)
    theta = np.clip(theta, low, high)
    fitted, jacobian = law.log_loss(theta, u)
    value, damping = huber(fitted - y, delta), np.full(len(theta), 1e-2)
    live = np.arange(len(theta))
    for _ in range(steps):
        here, residual, j = theta[live], fitted[live] - y[live], jacobian[live]
        weight = delta / np.maximum(np.abs(residual), delta)
        gradient = np.einsum("bnp,bn->bp", j, weight * residual)
        curvature = np.einsum("bnp,bn,bnq->bpq", j, weight, j)
        diagonal = np.einsum("bpp->bp", curvature)
        lift = damping[live, None] * diagonal + 1e-14 * (1 + diagonal.max(1, keepdims=True))
        curvature = curvature + lift[:, :, None] * np.eye(theta.shape[1])
        move = np.linalg.solve(curvature, -gradient[:, :, None])[:, :, 0]
        new = np.clip(here + move, low[live], high[live])
        f, j = law.log_loss(new, u)
        reached = huber(f - y[live], delta)
        better, gain = reached < value[live], value[live] - reached
        taken = live[better]
        theta[taken], fitted[taken], jacobian[taken] = new[better], f[better], j[better]
        value[taken] = reached[better]
        damping[live] = np.where(better, np.maximum(damping[live] / 5, 1e-9), damping[live] * 4)
        done = np.where(better, gain < 1e-11 * reached + 1e-18, damping[live] > 1e8)
        live = live[~done]
        if not len(live):
            break
    return theta, value


def _box(law: Law, y: Array) -> tuple[Array, Array]:
    low, high = np.full((len(y), len(law.names)), -np.inf), np.full((len(y), len(law.names)), np.inf)
    low[:, 1 + law.floor :: 2], high[:, 1 + law.floor :: 2] = 0.0, STEEPEST
    if law.floor:
        low[:, 0], high[:, 0] = y.min(1) - LOWEST, y.max(1)
    return low, high
