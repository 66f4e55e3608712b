"""A merged checkpoint on disk: all of it, or nothing."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..checkpoint._files import head


class Row(NamedTuple):
    """What a tensor will be."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def replacing(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """A place beside ``out`` to write to, which becomes ``out`` if all goes well and is gone if not.

    What is killed leaves a hidden `.NAME.PID.part` beside it, which the next merge to the same place removes, and never
    half an output. Errors: FileExistsError where ``out`` is there already and ``overwrite`` is not asked for; a folder
    is never overwritten, since no system replaces one at a stroke.
    """
    if out.is_dir():
        raise FileExistsError(f"{out} is a folder that is there already: remove it, or name another place")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} is there already: name another place, or ask to overwrite it")
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*.part"):
        if not _runs(left.suffixes[-2][1:]):
            _remove(left)
    part = out.parent / f".{out.name}.{os.getpid()}.part"
    try:
        yield part
        os.replace(part, out)
        _settle(out.parent)
    finally:
        if part.exists():
            _remove(part)


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:
        pass
    return int(pid) != os.getpid()


def write(
    file: Path, rows: Mapping[str, Row], pieces: Iterator[tuple[str, Tensor]], metadata: Mapping[str, str]
) -> None:
    """A safetensors file of these rows, in this order, as their pieces come; on the disk when this returns."""
    with open(file, "xb", buffering=0) as opened:
        _all(opened, memoryview(head(rows, metadata)))
        for name, piece in pieces:
            if piece.numel():
                _all(
                    opened, piece.to(rows[name].dtype).contiguous().reshape(-1).view(torch.uint8).numpy().data
                )
        os.fsync(opened.fileno())


def write_shards(
    folder: Path, rows: Mapping[str, Row], pieces: Iterator[tuple[str, Tensor]], metadata: Mapping[str, str],
    most: int,
) -> None:  # fmt: skip
    """A folder of safetensors files of at most ``most`` bytes each (a larger tensor has its own), with an index as
    Hugging Face's."""
    shards: list[dict[str, Row]] = [{}]
    for name, row in rows.items():
        if shards[-1] and sum(r.bytes for r in shards[-1].values()) + row.bytes > most:
            shards.append({})
        shards[-1][name] = row
    folder.mkdir()
    if len(shards) == 1:
        return write(folder / "model.safetensors", rows, pieces, metadata)
    of = {name: i for i, shard in enumerate(shards) for name in shard}
    files = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    for i, its in itertools.groupby(pieces, key=lambda piece: of[piece[0]]):
        write(folder / files[i], shards[i], its, metadata)
    total, where = sum(r.bytes for r in rows.values()), {name: files[i] for name, i in of.items()}
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def _all(file: object, rest: memoryview) -> None:
    while rest:
        rest = rest[file.write(rest) :]  # type: ignore[attr-defined]


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _settle(folder: Path) -> None:
    """The new name is on the disk, too."""
    if hasattr(os, "O_DIRECTORY"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
