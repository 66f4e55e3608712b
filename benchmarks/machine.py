"""What the machine is and what it can do: the yardsticks that step times are held against."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from piste.linalg import newton_schulz_flops, product_dtype

from .timing import in_turns
from .workloads import hidden


def describe() -> dict[str, Any]:
    """CPU model, cores, threads and versions; nothing that names the host."""
    return {
        "cpu": _cpu_model(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": None,
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        facts = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        facts = {k.strip(): v.strip() for k, v in facts.items()}
        best = [
            isa
            for isa in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
            if isa in facts.get("flags", "").split()
        ]
        return f"{facts.get('model name', platform.machine())}{' (' + best[-1] + ')' if best else ''}"
    return platform.processor() or platform.machine()


TRIAD = 3 * 4 << 25  # bytes of the three arrays


def triad() -> Callable[[], object]:
    """a ← b + s·c on arrays far larger than the caches: two read, one written."""
    a, b, c = (torch.ones(1 << 25) for _ in range(3))
    return lambda: torch.add(b, c, alpha=0.5, out=a)


def bandwidth(rounds: int = 15) -> float:
    """Bytes per second of the triad."""
    return TRIAD / statistics.median(in_turns({"triad": triad()}, rounds)["triad"][2:])


@dataclass(frozen=True)
class Products:
    """Products on the shape of a hidden matrix, in the dtype that Newton-Schulz takes here: for m × n with m ≤ n its
    three kinds, (m, n)(n, m), (m, m)(m, m) and (m, m)(m, n), once each."""

    pairs: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, m: int, n: int) -> Products:
        kinds, dtype = ((m, n, m), (m, m, m), (m, m, n)), product_dtype("cpu")
        return cls([(torch.randn(i, j).to(dtype), torch.randn(j, k).to(dtype)) for i, j, k in kinds])

    @property
    def flops(self) -> int:
        return sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in self.pairs)

    def __call__(self) -> None:
        for a, b in self.pairs:
            torch.mm(a, b)


def products() -> dict[str, Products]:
    """One for each shape of the hidden matrices."""
    return {f"{m} x {n}": Products.of(m, n) for m, n in {tuple(sorted(s)) for s in hidden().values()}}


def muon_bound(rates: dict[str, float], steps: int = 5) -> dict[str, float]:
    """Counted flops of orthogonalizing every hidden matrix once, and their seconds at the measured rates."""
    shapes = [sorted(s) for s in hidden().values()]
    flops = [newton_schulz_flops(m, n, steps) for m, n in shapes]
    return {
        "flops": float(sum(flops)),
        "seconds": sum(f / rates[f"{m} x {n}"] for f, (m, n) in zip(flops, shapes, strict=True)),
    }
