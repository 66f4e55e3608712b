"""How long save + load of a checkpoint take beside writing and reading the same bytes.

Alternating rounds. Writing is to the disk (fsync) on both sides, reading comes from the page
cache, as after a restart on the same machine; the plain read goes into new memory, then once more into memory that
was there before.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from piste import checkpoint
from piste.checkpoint._files import CHUNK

from .timing import ratio


def seconds(act: Callable[..., object], *args: object, **kwargs: object) -> float:
    start = time.perf_counter()
    act(*args, **kwargs)
    return time.perf_counter() - start


def saving(mebibytes: int = 400, rounds: int = 9) -> dict[str, float]:
    """Medians in seconds, and the quartiles of the ratio round by round."""
    weights = {f"w{i}": torch.randn(mebibytes << 16) for i in range(4)}
    target = {k: torch.zeros_like(v) for k, v in weights.items()}
    reused = np.zeros(mebibytes << 20, np.uint8)

    def plain_write(path: Path) -> None:
        with open(path, "wb", buffering=0) as file:
            for t in weights.values():
                data = t.view(torch.uint8).numpy()
                for at in range(0, len(data), CHUNK):
                    file.write(data[at : at + CHUNK].data)
            os.fsync(file.fileno())

    def plain_read(path: Path, into: np.ndarray) -> None:
        with open(path, "rb", buffering=0) as file:
            at = 0
            while got := file.readinto(into[at : at + CHUNK].data):
                at += got

    def theirs(folder: Path) -> tuple[float, float, float]:
        write = seconds(plain_write, folder / "plain")
        new = seconds(plain_read, folder / "plain", np.empty(mebibytes << 20, np.uint8))
        return write, new, seconds(plain_read, folder / "plain", reused)

    def ours(folder: Path) -> tuple[float, float]:
        save = seconds(checkpoint.save, folder, step=0, model=weights)
        return save, seconds(checkpoint.load, folder, model=target)

    times: dict[Callable[[Path], tuple[float, ...]], list[tuple[float, ...]]] = {theirs: [], ours: []}
    for i in range(rounds):
        for side in (theirs, ours) if i % 2 else (ours, theirs):
            with tempfile.TemporaryDirectory() as folder:
                os.sync()
                time.sleep(0.5)  # a disk that is shared lets bursts through and then holds back
                times[side].append(side(Path(folder)))
    names = ("write", "read", "read again"), ("save", "load")
    medians = {
        name: statistics.median(column)
        for side, titles in zip((theirs, ours), names, strict=True)
        for name, column in zip(titles, zip(*times[side], strict=True), strict=True)
    }
    plain = [write + read for write, read, _ in times[theirs]]
    return {"MiB": mebibytes, **medians, **ratio([sum(t) for t in times[ours]], plain)}
