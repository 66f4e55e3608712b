"""Many claims, in several processes, each with its own method or with the wrong one that it brings."""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from .claim import Claim
from .claim import claims as declared
from .running import WAYS, outcomes, run
from .verdict import ERROR, NOT_CONFIRMED, Finding, judge

T = TypeVar("T")
Tell = Callable[[str], None]
FEW = 8  # claims, for which another process does not pay


def verify(
    claims: Sequence[Claim], tell: Tell = lambda name: None, workers: int = 1, files: Sequence[str] = ()
) -> list[Finding]:  # fmt: skip
    """Run claims; ``tell`` hears the name of each as it ends. ``workers``: processes, which know the claims that piste
    comes with and those that the Python ``files`` declare."""
    return _each(run, claims, tell, workers, files)


def fooled(
    claims: Sequence[Claim], tell: Tell = lambda name: None, workers: int = 1, files: Sequence[str] = ()
) -> dict[str, str]:  # fmt: skip
    """The claims that cannot fail, by name, each with the verdict on the wrong method that it brings; see
    :func:`verify`."""
    brought = [one for one in claims if one.wrong is not None]
    verdicts = _each(sabotaged, brought, tell, workers, files)
    return {c.name: verdict for c, verdict in zip(brought, verdicts, strict=True) if verdict != NOT_CONFIRMED}


def sabotaged(claim: Claim) -> str:
    """The verdict on the wrong method in the place of the right one: *not confirmed* where the claim can fail, as also
    where the method diverges. What raises anything else is an *error*, with its message."""
    try:
        return judge(claim, outcomes(claim, claim.wrong, *WAYS[0]))
    except FloatingPointError:
        return NOT_CONFIRMED
    except Exception as error:
        return f"{ERROR}: {type(error).__name__}: {error}"


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
