"""One order over all tasks of a race, by many rules: where they agree, the order does not hang on the rule.

These rules see mean final losses and know no uncertainty: an order that the tasks' own places do not show, by their
intervals, is not shown here either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from .aggregation import RULES, preferences, ranking
from .bradley_terry import duels, newman
from .kemeny import LARGEST, borda_order, kemeny
from .results import Record, Results
from .score import TaskScore


def overall(scores: Sequence[Sequence[float]] | np.ndarray) -> dict[str, list[int]]:
    """Places (1 is best, equals share) of methods by rule, from a table of methods × tasks, higher is better.

    With NaN in it, missing scores, only the rules that can do without: mean, Copeland, minimax, Kemeny, Bradley-Terry.
    Errors (ValueError): no table, or a method or a task without any score.
    """
    x = np.asarray(scores, dtype=float)
    takes = RULES if not np.isnan(x).any() else {k: RULES[k] for k in ("mean", "Copeland", "minimax")}
    found = {name: ranking(rule(x)) for name, rule in takes.items()}
    order = kemeny(x) if len(x) <= LARGEST else borda_order(x) if len(takes) == len(RULES) else None
    if order is not None:
        found["Kemeny"] = _shared(order, x)
    found["Bradley–Terry"] = ranking(np.log(newman(duels(x), prior=1.0).strengths).round(6))
    return found


def _shared(order: Sequence[int], x: np.ndarray) -> list[int]:
    """Places along an order; neighbors whose duel is even share one, as either way round contradicts as much."""
    ahead = preferences(x)
    found = [1] * len(order)
    for k, (before, here) in enumerate(pairwise(order), 2):
        found[here] = found[before] if ahead[here, before] == ahead[before, here] else k
    return found


def standings(scores: Mapping[str, TaskScore]) -> dict[str, dict[str, int]]:
    """Rule, then entry, then place over the admitted tasks (over all where none is), for entries that have ended on all
    of them; nothing for fewer than two tasks or entries.

    A task's score is minus the mean final loss; for the mean, whose tasks need one unit, the best entry's loss over the
    entry's (left out where a loss is not positive). A failed entry is last.
    """
    counted = [t for t in scores.values() if t.admission.admitted] or list(scores.values())
    names = [e.entry for e in counted[0].entries] if counted else []
    names = sorted(n for n in names if all(t[n].state != "unfinished" for t in counted))
    if len(counted) < 2 or len(names) < 2:
        return {}
    losses = np.array([[t[n].loss for t in counted] for n in names])
    if np.isinf(losses).all(0).any():
        return {}
    found = overall(-losses)
    if (losses > 0).all():
        found["mean"] = ranking(RULES["mean"](losses.min(0) / losses))
    else:
        del found["mean"]
    return {rule: dict(zip(names, places)) for rule, places in found.items()}


def halfway(results: Results, task: TaskScore) -> tuple[int, int, str, str] | None:
    """What an intermediate checkpoint would have told: the pairs of entries whose order at half of the run is not that
    at its end, all pairs, and who leads then and at the end; of the mean validation losses over fresh seeds. None where
    curves lack.

    Source: Wen et al., "Fantastic Pretraining Optimizers and Where to Find Them", 2025,
    https://arxiv.org/abs/2509.02046.
    """
    ends = {e.entry: e.loss for e in task.entries if e.state == "ranked"}
    halves = {n: _at_half(results.select(task.info.name, n, "final")) for n in ends}
    if len(ends) < 2 or not all(math.isfinite(loss) for loss in halves.values()):
        return None
    names = list(ends)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    turned = sum((ends[a] - ends[b]) * (halves[a] - halves[b]) < 0 for a, b in pairs)
    return turned, len(pairs), min(names, key=lambda n: halves[n]), min(names, key=lambda n: ends[n])


def _at_half(runs: Sequence[Record]) -> float:
    """The mean loss at the last evaluation of the first half."""
    seen = [[loss for step, loss in r.curve if 0 < step <= r.steps / 2] for r in runs]
    return float(np.mean([losses[-1] for losses in seen])) if seen and all(seen) else math.nan
