"""Averages that copies of a task cannot buy.

Evaluation as a game: one player picks a method, the other a task (or another method), and the score is what the first
wins. Tasks are weighted as the second player would in the equilibrium of the largest entropy, which is unique.

    agents vs agents   A = -Aᵀ   p* = argmax H(p)  with  A p ≤ 0      averages  A p*
    agents vs tasks    S         q* = argmax H(q)  with  S q ≤ v      averages  S q*    v: the value of the game

Source: Balduzzi et al., "Re-evaluating Evaluation", 2018, https://arxiv.org/abs/1806.02643. Averages do not
change when a task or a method is there twice, as long as the equilibrium is unique. Where it is not (the leader has the
same score on several tasks, two methods tie), entropy decides among equilibria, and copies move that decision:
`piste verify "Nash averaging"`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .aggregation import table


@dataclass(frozen=True)
class Equilibrium:
    """Weights of methods and of tasks (the same ones where methods meet each other), and what each of them earns."""

    methods: np.ndarray
    tasks: np.ndarray
    averages: np.ndarray
    value: float


def agents(wins: np.ndarray) -> Equilibrium:
    """Nash averages of methods that play each other; ``wins`` is antisymmetric, such as log-odds or score differences.

    Errors (ValueError): a table that is not antisymmetric or not finite.
    """
    a = np.asarray(wins, dtype=float)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.isfinite(a).all():
        raise ValueError(f"the game is a square table of finite numbers; got the shape {a.shape}")
    if np.abs(a + a.T).max() > 1e-9 * max(1.0, np.abs(a).max()):
        raise ValueError("what i wins against j is what j loses: the table must be antisymmetric")
    p = widest(a)
    return Equilibrium(p, p, a @ p, 0.0)


def against_tasks(scores: np.ndarray) -> Equilibrium:
    """Nash averages of methods on tasks that are picked against them; tasks must have comparable units.

    Errors (ValueError): a missing score.
    """
    s = table(scores, complete=True)
    v = _value(s)
    methods, tasks = widest(v - s.T), widest(s - v)
    return Equilibrium(methods, tasks, s @ tasks, v)


def widest(game: np.ndarray) -> np.ndarray:
    """The distribution p of the largest entropy with ``game @ p ≤ 0``, which must have solutions.

    First one linear program finds which p_i are 0 and which rows are equations in all solutions; then Newton's method
    minimizes the dual, log Σ_i exp(-(Cᵀy)_i) over y (≥ 0 for rows that are not equations).
    """
    m = np.asarray(game, dtype=float)
    m = m / (np.abs(m).max() or 1.0)
    alive, slack = _loose(m)
    rows = m[:, alive]
    y = _dual(rows, ~slack)
    weight = _tilted(rows, y)
    p = np.zeros(m.shape[1])
    p[alive] = weight
    return p


def _tilted(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    z = -(y @ rows)
    weight = np.exp(z - z.max())
    return weight / weight.sum()


def _dual(rows: np.ndarray, equations: np.ndarray) -> np.ndarray:
    """The y that minimizes the dual, with y ≥ 0 for rows that are not equations: such rows join one by one where they
    are violated, and leave where y would become negative (Lawson and Hanson's active set)."""
    y, used = np.zeros(len(rows)), equations.copy()
    for _ in range(10 * len(rows) + 10):
        new = _minimum(rows, y, used)
        behind = used & ~equations & (new < 0)
        if behind.any():
            part = (y[behind] / (y[behind] - new[behind])).min()
            y = y + part * (new - y)
            gone = used & ~equations & (y <= 1e-12)
            y[gone], used[gone] = 0.0, False
            continue
        y = new
        over = np.where(used, 0.0, rows @ _tilted(rows, y))
        if over.max(initial=0.0) <= 1e-11:
            break
        used[over.argmax()] = True
    return y


def _minimum(rows: np.ndarray, y: np.ndarray, used: np.ndarray, steps: int = 100) -> np.ndarray:
    """Of the dual over the rows in use, by Newton's method; directions along which it is flat stay as they are."""
    c, y = rows[used], y.copy()
    for _ in range(steps):
        p = _tilted(rows, y)
        slope = -(c @ p)
        if np.abs(slope).max(initial=0.0) < 1e-15:
            break
        step = np.zeros(len(y))
        step[used] = -np.linalg.lstsq((c * p) @ c.T - np.outer(slope, slope), slope, rcond=1e-13)[0]
        size, now = 1.0, _height(rows, y)
        while size > 1e-9 and _height(rows, y + size * step) > now + 1e-4 * size * slope @ step[used] + 1e-15:
            size /= 2
        y = y + size * step
        if np.abs(size * step).max() <= 1e-14 * (1 + np.abs(y).max()):
            break
    return y


def _height(rows: np.ndarray, y: np.ndarray) -> float:
    z = -(y @ rows)
    return float(z.max() + np.log(np.exp(z - z.max()).sum()))


def _loose(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which p_i can be positive, and which rows of ``m @ p ≤ 0`` can be strict.

    On the cone of all x ≥ 0 with m x ≤ 0 all that can be positive is so at once and, as the length is free, at least 1:
    max Σ t + Σ u with t ≤ x, u ≤ -m x, 0 ≤ t, u ≤ 1.
    """
    from scipy.optimize import linprog

    k, n = m.shape
    found = linprog(
        np.concatenate([np.zeros(n), -np.ones(n + k)]),
        A_ub=np.block(
            [[-np.eye(n), np.eye(n), np.zeros((n, k))], [m, np.zeros((k, n)), np.eye(k)]],
        ),
        b_ub=np.zeros(n + k),
        bounds=[(0, None)] * n + [(0, 1)] * (n + k),
        method="highs",
    )
    loose = found.x[n:] > 0.5
    if not loose[:n].any():
        raise ValueError("no distribution solves these inequalities")
    return loose[:n], loose[n:]


def _value(s: np.ndarray) -> float:
    """What the first player can be sure of: max v with sᵀ p ≥ v."""
    from scipy.optimize import linprog

    k, n = s.shape
    found = linprog(
        np.append(np.zeros(k), -1.0),
        A_ub=np.hstack([-s.T, np.ones((n, 1))]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(k), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(None, None)],
        method="highs",
    )
    return float(found.x[-1])
