"""Before anything runs: which runs, what they will cost, and what differences they can show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from . import tasks as known_tasks
from .entries import DEFAULT as DEFAULT_ENTRIES
from .entries import FAMILY, Entry, entry, every, family
from .environment import cores, environment
from .errors import RaceError, unknown
from .probing import describe, probe
from .protocol import LADDER, PROTOCOLS, Mode, Protocol, Trial, points, trials
from .results import EntryInfo, TaskInfo
from .task import PRECISIONS, Task
from .train import StepCost

SHARED = 1.15  # what a run takes beside others, as a multiple of what it takes alone
START_SECONDS = 6.0  # a worker's imports and data
SAFETY = 0.9  # share of `--minutes` that a plan may fill


@dataclass(frozen=True)
class Plan:
    """A race, decided: its runs follow from it alone. `sources` says where a worker finds each task (a name or a
    file; None for an object that lives in this process only), `costs[task][entry]` is None where building or
    stepping failed (the runs will say why)."""

    tasks: tuple[Task, ...]
    entries: tuple[Entry, ...]
    protocol: Protocol
    infos: Mapping[str, TaskInfo]
    sources: Mapping[str, str | None]
    costs: Mapping[str, Mapping[str, StepCost | None]] = field(default_factory=dict)
    routing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 1

    @property
    def trials(self) -> list[Trial]:
        return trials(self.tasks, self.entries, self.protocol)

    def task(self, name: str) -> Task:
        return next(t for t in self.tasks if t.name == name)

    def entry(self, name: str) -> Entry:
        return next(e for e in self.entries if e.name == name)

    def seconds(self, trial: Trial) -> float:
        """What one run will take, from the probe; 0 for a run that cannot start."""
        cost = self.costs.get(trial.task, {}).get(trial.entry)
        if cost is None:
            return 0.0
        return (
            cost.setup
            + (trial.steps - trial.begins) * cost.step
            + (self.protocol.evaluations + 1) * cost.evaluation
        )

    @property
    def estimate(self) -> float:
        """Seconds of the whole race with this plan's workers."""
        alone = sum(self.seconds(t) for t in self.trials)
        sharing = SHARED if self.workers > 1 else 1.0
        return START_SECONDS + sharing * alone / self.workers

    def detectable(self, task: str) -> tuple[float, float | None]:
        """The smallest true difference from the reference that this plan finds four times in five: in deviations
        between seeds, and in the loss itself where pilots measured that deviation."""
        from .statistics import smallest_detectable

        deviations = smallest_detectable(len(self.entries), self.protocol.seeds)
        noise = self.task(task).noise
        return deviations, None if noise is None else deviations * noise

    @property
    def fingerprint(self) -> str:
        """Equal for plans that ask for the same runs on the same data."""
        said = json.dumps(_identity(self), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def plan(
    tasks: Sequence[str | Task] | None = None,
    entries: Sequence[str | Entry] | None = None,
    mode: Mode = "default",
    *,
    minutes: float | None = None,
    workers: int | None = None,
    threads: int = 1,
    seed: int | None = None,
    protocol: Protocol | None = None,
    precision: str = "",
    on_probe: Callable[[str, str], None] = lambda task, entry: None,
) -> Plan:
    """Decide a race: names or objects for `tasks` (a path ending in .py is a task file) and `entries`.

    A short probe measures every step alone (`on_probe(task, entry)` is called before each). With `minutes` the
    protocol is fitted to that budget. Tuning runs on `seed`, the fresh ones follow it. `precision` (`"mxfp4"`) is that
    of all tasks, where they say nothing of their own. Raises RaceError for unknown names, task files or tasks that
    fail, and budgets nothing fits into.
    """
    rules = replace(protocol or PROTOCOLS[mode], threads=threads)
    rules = rules if seed is None else replace(rules, seed=seed)
    chosen, sources = _tasks(tasks if tasks is not None else _default_tasks(mode))
    chosen = tuple(in_precision(t, t.precision or precision) for t in chosen)
    racing = tuple(_racing(_default_entries(mode) if entries is None else entries))
    _distinct("task", [t.name for t in chosen])
    _distinct("entry", [e.name for e in racing])
    shippable = all(sources.values()) and all(not isinstance(e, Entry) for e in entries or ())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        infos = {t.name: describe(t) for t in chosen}
        costs, routing = probe(chosen, racing, rules, on_probe)
    finally:
        torch.set_num_threads(before)
    made = Plan(chosen, racing, rules, infos, sources, costs, routing, environment())
    most = max(1, cores() // threads) if shippable else 1
    made = replace(made, workers=_workers(workers, most, shippable))
    return made if minutes is None else fit(made, 60 * minutes)


def fit(plan: Plan, seconds: float) -> Plan:
    """The most informative protocol on the ladder that fits; failing all, fewer tasks, the cheapest kept."""
    for kept in range(len(plan.tasks), 0, -1):
        cheap = sorted(plan.tasks, key=lambda t: _task_seconds(plan, t))[:kept]
        fewer = replace(plan, tasks=tuple(t for t in plan.tasks if t in cheap))
        for count, seeds, horizon_seeds in LADDER:
            rules = replace(plan.protocol, points=count, seeds=seeds, horizon_seeds=horizon_seeds)
            candidate = replace(fewer, protocol=rules)
            if candidate.estimate <= SAFETY * seconds:
                return candidate
    least = candidate.estimate / SAFETY / 60
    raise RaceError(
        f"no plan fits into {seconds / 60:g} minutes: the smallest ({candidate.tasks[0].name}, 2 learning rates, "
        f"2 seeds) takes about {least:.1f}; give --minutes {least + 0.1:.1f}, or fewer entries"
    )


def entry_info(plan: Plan, racing: Entry) -> EntryInfo:
    """What the report says about an entry."""
    tried = {t.name: points(t, racing, plan.protocol) for t in plan.tasks}
    search = {name: {k: tuple(p[k] for p in listed) for k in listed[0]} for name, listed in tried.items()}
    fixed = {k: v for k, v in racing.fixed.items() if isinstance(v, bool | int | float | str)}
    return EntryInfo(racing.name, racing.summary, racing.schedule(plan.protocol.cooldown), fixed, search)


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Plain JSON: everything another process needs to do the same runs, given the same task files."""
    return {
        "identity": _identity(plan),
        "tasks": [
            {"name": t.name, "source": plan.sources[t.name], "precision": t.precision} for t in plan.tasks
        ],
        "entries": [e.name for e in plan.entries],
        "trials": [t.key for t in plan.trials],
        "protocol": asdict(plan.protocol),
        "infos": {t.name: asdict(plan.infos[t.name]) for t in plan.tasks},
        "entry_infos": {e.name: asdict(entry_info(plan, e)) for e in plan.entries},
        "costs": {t: {e: c and asdict(c) for e, c in row.items()} for t, row in plan.costs.items()},
        "routing": {t: dict(row) for t, row in plan.routing.items()},
        "environment": dict(plan.environment),
    }


def plan_from_dict(raw: Mapping[str, Any], workers: int = 1) -> Plan:
    """The plan that `plan_to_dict` wrote, its tasks found again and checked to be the same."""
    lost = [t["name"] for t in raw["tasks"] if t["source"] is None]
    if lost:
        raise RaceError(
            f"task {lost[0]!r} was given as an object and cannot be found again; "
            "make the same plan and run it on this storage, or define the task in a file"
        )
    found = tuple(
        in_precision(known_tasks.find_task(t["source"]), t.get("precision", "")) for t in raw["tasks"]
    )
    infos = {t.name: describe(t) for t in found}
    for name, info in infos.items():
        if info.data_hash != raw["infos"][name]["data_hash"]:
            raise RaceError(
                f"task {name!r} has other data here ({info.data_hash[:12]}) than where the race began "
                f"({raw['infos'][name]['data_hash'][:12]}); use the same Python and scikit-learn versions"
            )
    rules = {**raw["protocol"], "horizons": tuple(raw["protocol"]["horizons"])}
    return Plan(
        tasks=found,
        entries=tuple(entry(name) for name in raw["entries"]),
        protocol=Protocol(**rules),
        infos=infos,
        sources={t["name"]: t["source"] for t in raw["tasks"]},
        costs=costs_from_dict(raw),
        routing=raw["routing"],
        environment=raw["environment"],
        workers=workers,
    )


def in_precision(task: Task, precision: str) -> Task:
    """The task, its models computing so."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, [name for name in PRECISIONS if name])
    return replace(task, precision=precision)


def costs_from_dict(raw: Mapping[str, Any]) -> dict[str, dict[str, StepCost | None]]:
    """The step times in what `plan_to_dict` wrote."""
    return {t: {e: c and StepCost(**c) for e, c in row.items()} for t, row in raw["costs"].items()}


def _identity(plan: Plan) -> dict[str, Any]:
    return {
        "tasks": [
            [t.name, t.steps, t.batch, plan.infos[t.name].data_hash, *([t.precision] if t.precision else [])]
            for t in plan.tasks
        ],
        "entries": [
            [e.name, {t.name: points(t, e, plan.protocol) for t in plan.tasks}] for e in plan.entries
        ],
        "protocol": asdict(plan.protocol) | {"horizons": list(plan.protocol.horizons)},
    }


def _default_tasks(mode: Mode) -> Sequence[str]:
    return {"default": known_tasks.DEFAULT, "quick": known_tasks.QUICK, "full": tuple(known_tasks.BUILTIN)}[
        mode
    ]


def _default_entries(mode: Mode) -> Sequence[str]:
    return every() if mode == "full" else DEFAULT_ENTRIES


def _tasks(given: Sequence[str | Task]) -> tuple[tuple[Task, ...], dict[str, str | None]]:
    if not given:
        raise RaceError(f"a race needs at least one task; known: {', '.join(known_tasks.BUILTIN)}")
    chosen: list[Task] = []
    sources: dict[str, str | None] = {}
    for item in given:
        task = item if isinstance(item, Task) else known_tasks.find_task(item)
        chosen.append(task)
        is_file = isinstance(item, str) and item.endswith(".py")
        sources[task.name] = (
            None if isinstance(item, Task) else str(Path(item).resolve()) if is_file else item
        )
    return tuple(chosen), sources


def _racing(given: Sequence[str | Entry]) -> Iterator[Entry]:
    """Entries as they are named, and of families what is not named beside them."""
    named = {item.lower() for item in given if isinstance(item, str)}
    for item in given:
        if isinstance(item, Entry):
            yield item
        elif item.startswith(FAMILY):
            yield from (entry(n) for n in family(item.removeprefix(FAMILY)) if n.lower() not in named)
        else:
            yield entry(item)


def _distinct(kind: str, names: Sequence[str]) -> None:
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise RaceError(f"{kind} {min(twice)!r} is given twice; name each once")
    if not names:
        raise RaceError(f"a race needs at least one {kind}")


def _workers(asked: int | None, most: int, shippable: bool) -> int:
    if asked is None:
        return most
    if asked < 1:
        raise RaceError(f"--workers must be at least 1, not {asked}")
    if asked > 1 and not shippable:
        raise RaceError(
            "a task or entry given as an object lives in this process only: use workers=1 or a task file"
        )
    return asked


def _task_seconds(plan: Plan, task: Task) -> float:
    return sum(plan.seconds(t) for t in plan.trials if t.task == task.name)
