"""Which process does a run, in a form that others can check."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """Who runs a trial: a place where process ids mean something, an id there, and when that process started."""

    place: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        return cls(_place(), os.getpid(), _started(os.getpid()) or "")

    def alive(self) -> bool | None:
        """False for an owner that has ended, None where only its heartbeat can tell."""
        if self.place != _place():
            return None
        return _started(self.pid) == self.started

    def __str__(self) -> str:
        return f"{socket.gethostname()}:{self.pid}"


@cache
def _place() -> str:
    """Where process ids are unique: machine, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()}/{socket.gethostname()}"


def _started(pid: int) -> str | None:
    """When a process began, in ticks since boot; None when there is none (a zombie is none)."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else rest[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""
