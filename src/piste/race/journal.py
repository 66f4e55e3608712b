"""An append-only file that survives kill -9, a full disk and several writers.

Optuna's journal file refuses to be read once a line was cut short and another appended after it. Here every
append first cuts a torn tail off, under a lock that the kernel releases with the process that held it, and takes
its own line back when it could not be written whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock

from .errors import RaceError

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class JournalFile:
    """An Optuna journal backend (`append_logs`, `read_logs`) on one file of JSON lines."""

    def __init__(self, path: Path) -> None:
        from optuna.storages.journal import JournalFileBackend

        self.path = path
        self.lock = file_lock(path)
        self._reader = JournalFileBackend(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self.lock:
            append_lines(self.path, logs)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        return self._reader.read_logs(log_number_from)


def file_lock(path: Path) -> FileLock:
    """The lock beside a file, for threads, processes and (where the file system can) machines."""
    return FileLock(f"{path}.lock")


def append_lines(path: Path, items: Iterable[dict[str, Any]]) -> None:
    """Append one JSON line per item, all or nothing; the caller holds the lock. RaceError when the disk is full."""
    text = "".join(json.dumps(item, separators=(",", ":")) + "\n" for item in items)
    size = None
    try:
        with open(path, "ab+", buffering=0) as file:
            size = cut_torn_tail(file)
            _write_whole(file, text.encode())
            os.fsync(file.fileno())
    except OSError as error:
        if size is not None:
            os.truncate(path, size)
        raise storage_error(path, error) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a torn last one is left out."""
    raw = path.read_bytes()
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


def cut_torn_tail(file: Any) -> int:
    """Drop what follows the last newline; returns the size then."""
    size = file.seek(0, os.SEEK_END)
    keep = size
    while keep > 0:
        start = max(0, keep - 4096)
        file.seek(start)
        found = file.read(keep - start).rfind(b"\n")
        if found >= 0:
            keep = start + found + 1
            break
        keep = start
    if keep < size:
        file.truncate(keep)
    file.seek(0, os.SEEK_END)
    return keep


def storage_error(path: Path | str, error: Exception) -> RaceError:
    """What went wrong with a storage and what to do, in one sentence."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return RaceError(
            f"no space left for the race's journal {path}: free some and go on with --resume; "
            "every finished run is safe"
        )
    return RaceError(
        f"storage {path} cannot be used ({type(error).__name__}: {error}); check the path, rights or URL"
    )


def _write_whole(file: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
