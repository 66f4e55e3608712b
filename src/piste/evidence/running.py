"""Running claims: a verdict counts only if other seeds, another number of threads and other kernels give it, too."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

from .claim import Claim
from .claim import claims as declared
from .verdict import ERROR, INCONCLUSIVE, NEEDS_HARDWARE, NOT_CONFIRMED, Finding, interval, judge

T = TypeVar("T")
Tell = Callable[[str], None]
FEW = 8  # claims, for which another process does not pay
OTHER = 1000  # where the second set of seeds starts


def verify(
    claims: Sequence[Claim], tell: Tell = lambda name: None, workers: int = 1, files: Sequence[str] = ()
) -> list[Finding]:  # fmt: skip
    """Run claims; ``tell`` hears the name of each as it ends. ``workers``: processes, which know the claims that piste
    comes with and those that the Python ``files`` declare."""
    return _each(run, claims, tell, workers, files)


def fooled(
    claims: Sequence[Claim], tell: Tell = lambda name: None, workers: int = 1, files: Sequence[str] = ()
) -> list[str]:  # fmt: skip
    """The claims that cannot fail, by the wrong method that each brings; see :func:`verify`."""
    brought = [one for one in claims if one.wrong is not None]
    caught = _each(sabotaged, brought, tell, workers, files)
    return [one.name for one, yes in zip(brought, caught, strict=True) if not yes]


def _each(
    what: Callable[[Claim], T], claims: Sequence[Claim], tell: Tell, workers: int, files: Sequence[str]
) -> list[T]:  # fmt: skip
    workers = min(workers, 1 + len(claims) // FEW)  # a process takes seconds to start
    if workers == 1:
        return [_told(what(one), one, tell) for one in claims]
    with _patient(), ProcessPoolExecutor(workers, get_context("spawn"), _learn, (tuple(files),)) as pool:
        jobs = {pool.submit(_by_name, what, one.name): one for one in claims}
        try:
            done = {jobs[job].name: _told(job.result(), jobs[job], tell) for job in as_completed(jobs)}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [done[one.name] for one in claims]


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Processes started here let idle threads sleep, and numpy's algebra has but one: processes whose threads spin for
    each other's cores make claims of small tensors many times slower."""
    before = {name: os.environ.get(name) for name in _SLEEP}
    os.environ.update({name: value for name, value in _SLEEP.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]


_SLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_NUM_THREADS": "1"}


def _told(result: T, one: Claim, tell: Tell) -> T:
    tell(one.name)
    return result


def _learn(files: tuple[str, ...]) -> None:
    """In a new process: run the files that declare claims."""
    from .. import evidence as evidence

    for path in files:
        sys.path.insert(0, str(Path(path).resolve().parent))
        runpy.run_path(path)


def _by_name(what: Callable[[Claim], T], name: str) -> T:
    return what(declared([name])[0])


def run(claim: Claim) -> Finding:
    """Run a claim twice: with one thread and oneDNN, then on other seeds with two threads and without. What raises is
    an *error*, with its message."""
    start = time.perf_counter()
    if claim.hardware:
        return _finding(claim, [], NEEDS_HARDWARE, start, f"needs {claim.hardware}")
    try:
        sets = [_values(claim, claim.tried, *how) for how in _WAYS]
    except Exception as error:
        return _finding(claim, [], ERROR, start, f"{type(error).__name__}: {error}")
    verdicts = [judge(claim, values) for values in sets]
    if verdicts[0] == verdicts[1]:
        return _finding(claim, [v for values in sets for v in values], verdicts[0], start, "")
    note = (
        f"{verdicts[0]} on one thread with oneDNN, {verdicts[1]} on other seeds with two threads and without"
    )
    return _finding(claim, [v for values in sets for v in values], INCONCLUSIVE, start, note)


def sabotaged(claim: Claim) -> bool:
    """Whether the claim can fail: with its wrong method in the place of the right one it is not confirmed."""
    try:
        return judge(claim, _values(claim, claim.wrong, *_WAYS[0])) == NOT_CONFIRMED
    except FloatingPointError:
        return True


_WAYS = ((0, 1, True), (OTHER, 2, False))


def _values(claim: Claim, method: Any, first: int, threads: int, onednn: bool) -> list[float]:
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
