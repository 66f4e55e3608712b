"""A folder of checkpoints, each whole or not there.

    folder/000007-step-1000/manifest.json            step, format, and of every rank's files the length and checksum
                            rank-00000.safetensors   its tensors
                            rank-00000.json          everything else

One is written under another name, brought to the disk file by file, and only then renamed: an interruption at any
moment leaves those before it untouched. The number in front counts saves, so that the newest is the one saved last,
also where a run went back to an earlier step.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._files import Damaged, Written, read, write

FORMAT = 1
MANIFEST = "manifest.json"
_NAME = re.compile(r"^(\d{6,})-step-(\d+)$")
_WRITING = ".writing-"


def listed(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of the checkpoints by their names, the newest first; whether they are whole is not looked at."""
    if not folder.is_dir():
        return []
    found = [(m, path) for path in folder.iterdir() if (m := _NAME.match(path.name)) and path.is_dir()]
    return [(int(m[2]), path) for m, path in sorted(found, key=lambda f: -int(f[0][1]))]


def commit(
    folder: Path, step: int, about: dict[str, Any], fill: Callable[[Path], dict[str, Written]]
) -> Path:
    """``fill`` writes its files into a new folder, which gets a manifest and its name when all are on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_WRITING}*"):
        shutil.rmtree(left, ignore_errors=True)  # of a save that was killed
    temporary = folder / f"{_WRITING}{os.getpid()}-step-{step}"
    temporary.mkdir()
    try:
        files = fill(temporary)
        said = {
            "format": FORMAT,
            "step": step,
            **about,
            "ranks": [{k: w._asdict() for k, w in files.items()}],
        }
        write(temporary / MANIFEST, [_signed(said)])
        _sync(temporary)
        final = _rename(temporary, folder, step)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            text = f"checkpoint of step {step} not saved to {folder}: {error.strerror or error}; those before it are "
            raise OSError(error.errno, text + "untouched") from error
        raise
    return final


def _rename(temporary: Path, folder: Path, step: int) -> Path:
    number = 1 + max((int(path.name.partition("-")[0]) for _, path in listed(folder)), default=0)
    final = folder / f"{number:06d}-step-{step}"
    os.rename(temporary, final)
    _sync(folder)
    return final


def _sync(folder: Path) -> None:
    """Names are on the disk as well."""
    if sys.platform == "win32":
        return  # a folder cannot be opened there
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rotate(folder: Path, keep: int) -> None:
    """Deletes what is older than the newest ``keep`` whole ones (whole by their manifests and lengths: cheap)."""
    kept = 0
    for _, path in listed(folder):
        if kept >= keep:
            shutil.rmtree(path, ignore_errors=True)
        elif _looks_whole(path):
            kept += 1


def _looks_whole(path: Path) -> bool:
    try:
        ranks = manifest(path)["ranks"]
        return all((path / k).stat().st_size == w["bytes"] for rank in ranks for k, w in rank.items())
    except (Damaged, OSError):
        return False


# the manifest -------------------------------------------------------------------------------------------------------


def _signed(said: dict[str, Any]) -> bytes:
    return json.dumps({**said, "sum": _sum(said)}, indent=1).encode()


def _sum(said: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(said, sort_keys=True).encode()):08x}"


def manifest(path: Path) -> dict[str, Any]:
    """What was written there. Errors: :class:`Damaged`."""
    file = path / MANIFEST
    try:
        said = json.loads(file.read_bytes())
        mark = said.pop("sum")
    except OSError as error:
        raise Damaged(f"{file}: {error.strerror or error}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Damaged(f"{file}: not a manifest ({error})") from error
    if mark != _sum(said):
        raise Damaged(f"{file}: its checksum is {_sum(said)}, {mark} when it was written")
    if said["format"] != FORMAT:
        raise Damaged(f"{file}: format {said['format']}, and this piste reads {FORMAT}: use a newer one")
    return said


def files(path: Path, said: dict[str, Any], rank: int = 0) -> dict[str, Any]:
    """The bytes of one rank's files, verified. Errors: :class:`Damaged`."""
    return {name: read(path / name, Written(**row)) for name, row in said["ranks"][rank].items()}
