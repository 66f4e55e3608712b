"""Running a claim: a verdict counts only if other seeds, another number of threads and other kernels give it, too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import torch

from .claim import Claim
from .verdict import ERROR, INCONCLUSIVE, NEEDS_HARDWARE, Finding, interval, judge

OTHER = 1000  # where the second set of seeds starts


def run(claim: Claim) -> Finding:
    """Run a claim twice: with one thread and oneDNN, then on other seeds with two threads and without. What raises is
    an *error*, with its message."""
    start = time.perf_counter()
    if claim.hardware:
        return _finding(claim, [], NEEDS_HARDWARE, start, f"needs {claim.hardware}")
    try:
        sets = [outcomes(claim, claim.tried, *how) for how in WAYS]
    except Exception as error:
        return _finding(claim, [], ERROR, start, f"{type(error).__name__}: {error}")
    verdicts = [judge(claim, values) for values in sets]
    if verdicts[0] == verdicts[1]:
        return _finding(claim, [v for values in sets for v in values], verdicts[0], start, "")
    note = (
        f"{verdicts[0]} on one thread with oneDNN, {verdicts[1]} on other seeds with two threads and without"
    )
    return _finding(claim, [v for values in sets for v in values], INCONCLUSIVE, start, note)


WAYS = ((0, 1, True), (OTHER, 2, False))


def outcomes(claim: Claim, method: Any, first: int, threads: int, onednn: bool) -> list[float]:
    """What the experiment gives for each seed from ``first`` on."""
    with _setting(threads, onednn):
        return [float(_seeded(claim, method, seed)) for seed in range(first, first + claim.seeds)]


def _seeded(claim: Claim, method: Any, seed: int) -> float:
    torch.manual_seed(seed)
    return claim.experiment(method, seed)


@contextlib.contextmanager
def _setting(threads: int, onednn: bool) -> Iterator[None]:
    """Threads, kernels and random numbers, put back afterwards."""
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled, torch.get_rng_state()
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = onednn
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mkldnn.enabled = before[1]
        torch.set_rng_state(before[2])


def _finding(claim: Claim, values: list[float], verdict: str, start: float, note: str) -> Finding:
    low, mid, high = interval(values, claim.in_mean) if values else (None, None, None)
    return Finding(
        claim.name, claim.method, claim.paper, claim.kind, claim.statement, str(claim.prediction), claim.tolerance, mid,
        low, high, len(values), time.perf_counter() - start, verdict, claim.scale, note, claim.cost,
    )  # fmt: skip
