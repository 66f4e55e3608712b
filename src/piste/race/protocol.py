"""The rules of a race as data, and the deterministic list of runs that follows from them."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .branching import begins
from .entries import WARMUP, Entry, grid, space
from .errors import RaceError
from .results import Phase, Record
from .task import Task

Mode = Literal["default", "quick", "full"]
EDGE = 0.1  # share of a log-uniform range, at either end, that counts as its edge


@dataclass(frozen=True)
class Protocol:
    """`points` hyperparameter settings at full length on one seed, the best of them on `seeds` fresh ones; the
    `reference` entry also at other `horizons` on `horizon_seeds` of these. `threads` is part of the rules because
    sums are rounded differently with another number of them. Tuning runs on `seed`, the fresh ones follow it.

    With a `cooldown`, a share of a run, everyone runs at a constant rate that falls to 0 at the end; then all entries
    are tried at all `horizons` on all fresh seeds, each a branch of one long run (`piste.race.branching`).
    Errors (RaceError): a cooldown that is no share, or that would begin before the warm-up has ended."""

    mode: Mode = "default"
    points: int = 4
    seeds: int = 3
    horizon_seeds: int = 3
    horizons: tuple[float, ...] = (0.5, 2.0)
    evaluations: int = 10
    sampler: Literal["grid", "quasi-random"] = "grid"
    reference: str = "AdamW"
    threads: int = 1
    seed: int = 0
    cooldown: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.cooldown < 1:
            raise RaceError(f"a cooldown is a share of a run, from 0 to below 1; got {self.cooldown:g}")
        shortest = min((1.0, *self.horizons))
        if self.cooldown and (1 - self.cooldown) * shortest < WARMUP:
            raise RaceError(
                f"at {shortest:g} of the steps a cooldown of {self.cooldown:g} begins before the warm-up "
                f"({WARMUP:g} of the steps) has ended: leave out that length, or take a shorter cooldown"
            )

    @property
    def lengths(self) -> tuple[float, ...]:
        """All lengths, in multiples of a task's steps, the shortest first."""
        return tuple(sorted({1.0, *self.horizons}))

    def fresh(self, count: int) -> range:
        """Seeds that tuning has not seen."""
        return range(self.seed + 1, self.seed + 1 + count)


PROTOCOLS: dict[Mode, Protocol] = {
    "default": Protocol(),
    "quick": Protocol(mode="quick"),
    "full": Protocol(
        mode="full", points=12, seeds=5, horizon_seeds=5, sampler="quasi-random", evaluations=20
    ),
}

COOLDOWN, BRANCHES = (
    0.2,
    (0.25, 0.5, 0.75),
)  # of `--branch`: the share that Hägele et al. found enough, and lengths

# What `--minutes` tries, from the most informative to the least: (points, seeds, horizon seeds).
LADDER = (
    (12, 10, 5), (12, 7, 5), (10, 5, 5), (8, 5, 3), (6, 5, 3), (5, 4, 3), (4, 4, 3), (4, 3, 3), (4, 3, 2), (4, 3, 1),
    (4, 2, 1), (3, 2, 1), (3, 2, 0), (2, 2, 0),
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One run to do. `choice` is the index of its hyperparameters; None means the best of the tuning runs. It is ready
    when the run `after` is done, and `begins` at that step, where a checkpoint of that one is."""

    key: str
    task: str
    entry: str
    phase: Phase
    seed: int
    steps: int
    horizon: float = 1.0
    choice: int | None = None
    after: str | None = None
    begins: int = 0


def trials(tasks: Sequence[Task], entries: Sequence[Entry], protocol: Protocol) -> list[Trial]:
    """Every run of the race in the order a lone worker does them: per task all tuning, then the rest."""
    listed: list[Trial] = []
    for task in tasks:
        listed += [_tuning(task, e, i, protocol.seed) for e in entries for i in range(protocol.points)]
        if protocol.cooldown:
            listed += [
                t
                for e in entries
                for s in protocol.fresh(protocol.seeds)
                for t in _branches(task, e, s, protocol)
            ]
            continue
        listed += [_final(task, e, seed) for e in entries for seed in protocol.fresh(protocol.seeds)]
        if any(e.name == protocol.reference for e in entries):
            seeds = protocol.fresh(protocol.horizon_seeds)
            listed += [_horizon(task, protocol.reference, h, s) for h in protocol.horizons for s in seeds]
    return listed


def points(task: Task, entry: Entry, protocol: Protocol) -> list[dict[str, float]]:
    """The hyperparameters that tuning tries, in order."""
    if protocol.sampler == "grid":
        return grid(entry, task.kind, protocol.points)
    return quasi_random(space(entry, task.kind), protocol.points, f"{task.name}/{entry.name}/{protocol.seed}")


def quasi_random(ranges: Mapping[str, tuple[float, float]], count: int, name: str) -> list[dict[str, float]]:
    """`count` points of a scrambled Sobol sequence (Optuna's), log-uniform in `ranges`; `name` seeds the scramble.

    Optuna draws a study's first point at random before its sequence begins; that one is left out.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False)
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), sampler=sampler)
    wanted: dict[str, Any] = {
        k: optuna.distributions.FloatDistribution(low, high, log=True) for k, (low, high) in ranges.items()
    }
    drawn = []
    for _ in range(count + 1):
        trial = study.ask(wanted)
        study.tell(trial, 0.0)
        drawn.append({k: float(f"{v:.4g}") for k, v in trial.params.items()})
    return drawn[1:]


def winner(tuning: Sequence[Record]) -> Record | None:
    """The tuning run with the lowest final loss (the lower learning rate on a tie), None if none finished."""
    done = [r for r in tuning if r.ok and r.val_loss is not None]
    return min(done, key=lambda r: (r.val_loss, r.lr), default=None)


def at_edge(lr: float, task: Task, entry: Entry, protocol: Protocol) -> bool:
    """Whether the best learning rate lies at the edge of those searched, so that a better one may lie beyond."""
    if protocol.points < 2:
        return False
    if protocol.sampler == "grid":
        rates = [p["lr"] for p in grid(entry, task.kind, protocol.points)]
        return lr in (min(rates), max(rates))
    low, high = space(entry, task.kind)["lr"]
    place = math.log(lr / low) / math.log(high / low)
    return not EDGE < place < 1 - EDGE


def _tuning(task: Task, entry: Entry, choice: int, seed: int) -> Trial:
    key = f"{task.name}/{entry.name}/tune/{choice}"
    return Trial(key, task.name, entry.name, "tune", seed, task.steps, choice=choice)


def _final(task: Task, entry: Entry, seed: int) -> Trial:
    return Trial(f"{task.name}/{entry.name}/final/{seed}", task.name, entry.name, "final", seed, task.steps)


def _branches(task: Task, entry: Entry, seed: int, protocol: Protocol) -> list[Trial]:
    """One seed at all lengths, the shortest first: each goes on from where the one before began to cool down."""
    listed: list[Trial] = []
    for length in protocol.lengths:
        trial = _final(task, entry, seed) if length == 1 else _horizon(task, entry.name, length, seed)
        if listed:
            last, share = listed[-1], protocol.cooldown if entry.scheduled else 0.0
            trial = replace(trial, after=last.key, begins=begins(share, last.steps))
        listed.append(trial)
    return listed


def _horizon(task: Task, reference: str, horizon: float, seed: int) -> Trial:
    key = f"{task.name}/{reference}/horizon-{horizon:g}/{seed}"
    steps = max(1, round(horizon * task.steps))
    return Trial(key, task.name, reference, "horizon", seed, steps, horizon)
