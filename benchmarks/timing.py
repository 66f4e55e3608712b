"""Times of things run in turns in one process, so that drift and neighbours hit all alike."""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import perf_counter


@dataclass(frozen=True)
class Times:
    """Seconds: quartiles over all runs."""

    q1: float
    median: float
    q3: float
    runs: int

    @classmethod
    def of(cls, seconds: list[float]) -> Times:
        q1, median, q3 = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(q1, median, q3, len(seconds))

    def json(self) -> dict[str, float]:
        return asdict(self)


def in_turns(
    runs: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    repeat: int = 1,
    before: Callable[[], object] = lambda: None,
    patience: float = float("inf"),
) -> dict[str, list[float]]:
    """Seconds of each run. In every round each has its turn, in a random order, ``repeat`` times; ``before`` is called
    ahead of every run and not timed. What has taken more than ``patience`` seconds sits the further rounds out, from
    the third on."""
    order, seconds = list(runs), {name: [] for name in runs}
    shuffle = random.Random(0).shuffle
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                run = runs[name]
                if len(seconds[name]) >= 2 * repeat and sum(seconds[name]) > patience:
                    continue
                for _ in range(repeat):
                    before()
                    start = perf_counter()
                    run()
                    seconds[name].append(perf_counter() - start)
    finally:
        gc.enable()
    return seconds


def ratio(mine: list[float], theirs: list[float]) -> dict[str, float]:
    """Quartiles of the ratio round by round, over the rounds in which both ran: what slows the machine down for a
    while slows both."""
    both = zip(mine, theirs, strict=False)
    q1, median, q3 = statistics.quantiles([a / b for a, b in both], n=4, method="inclusive")
    return {"value": median, "q1": q1, "q3": q3}
