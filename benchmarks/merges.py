"""How long merging three large files takes beside reading them and writing one, and how much memory it holds.

Files of bfloat16 matrices. Before each round the inputs are put out of the page cache, so that both sides read them
from the disk, and both write to the disk (fsync). Each merge runs in a fresh process, whose high-water mark counts
everything in it, torch included.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from .checkpoints import seconds
from .fresh import start
from .timing import ratio

CHUNK = 16 << 20
MODELS = 3
METHODS: tuple[str, ...] = ("soup", "ties")


def merging(gigabytes: float = 2.0, rounds: int = 3) -> dict[str, Any]:
    """By method: seconds over those of a plain copy, round by round, and resident bytes at most."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _files(folder, gigabytes)
        times: dict[str, list[float]] = {who: [] for who in ("copy", *METHODS)}
        resident: dict[str, float] = dict.fromkeys(METHODS, 0)
        for _ in range(rounds):
            for who in times:
                _forget(files)
                if who == "copy":
                    times[who].append(seconds(_copy, files, folder / "out"))
                else:
                    told = start("merge", who, name, threads=torch.get_num_threads(), limit=600)
                    if "failed" in told:
                        raise RuntimeError(f"merging by {who}: {told['failed']}")
                    times[who].append(told["seconds"])
                    resident[who] = max(resident[who], told["resident"])
                (folder / "out.safetensors").unlink(missing_ok=True)
                time.sleep(1)  # a disk that is shared lets bursts through and then holds back
    bytes_moved = (MODELS + 1) * gigabytes * 1e9
    return {
        "GB": gigabytes,
        "copy": bytes_moved / min(times["copy"]),
        **{m: {**ratio(times[m], times["copy"]), "resident": resident[m]} for m in METHODS},
    }


def _files(folder: Path, gigabytes: float) -> list[Path]:
    files = [folder / f"model-{i}.safetensors" for i in range(MODELS)]
    count = max(1, round(gigabytes * 1e9 / (2 * 4096**2)))
    generator = torch.Generator().manual_seed(0)
    for file in files:
        made = torch.randn(4096, 4096, generator=generator).bfloat16()
        save_file({f"layer.{i}.weight": made.roll(i) for i in range(count)}, file)
    return files


def _copy(files: list[Path], out: Path) -> None:
    """Read all, write as much as one of them."""
    part = bytearray(CHUNK)
    with open(out.with_suffix(".safetensors"), "wb", buffering=0) as written:
        for i, file in enumerate(files):
            with open(file, "rb", buffering=0) as opened:
                while got := opened.readinto(part):
                    if i == 0:
                        written.write(memoryview(part)[:got])
        os.fsync(written.fileno())


def _forget(files: list[Path]) -> None:
    """Nothing of the files in the page cache, where the system can be told so."""
    os.sync()
    if hasattr(os, "posix_fadvise"):
        for file in files:
            with open(file, "rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
