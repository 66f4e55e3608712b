"""What only a fresh process can tell: the first step, the memory high-water mark, the price of an import.

``python -m benchmarks.fresh step NAME WORKLOAD``, ``… import`` and ``… merge METHOD FOLDER`` are what the measuring
process starts; each prints one JSON line.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def start(*arguments: str, threads: int, limit: float = 300) -> dict[str, Any]:
    """Run this module in a fresh process with an empty compiler cache; what it prints, or {"failed": last line}."""
    with tempfile.TemporaryDirectory() as cache:
        # TMPDIR too: Inductor keeps its precompiled headers there, whatever its cache folder
        env = {
            **os.environ,
            "TORCHINDUCTOR_CACHE_DIR": cache,
            "TMPDIR": cache,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONDONTWRITEBYTECODE": "",  # whoever has imported a package once has its bytecode
        }
        command = [sys.executable, "-m", "benchmarks.fresh", *arguments]
        try:
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return {"failed": f"no result within {limit:.0f} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def resident(field: str) -> int:
    """Bytes resident now (VmRSS) or at most so far (VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        rows = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(rows[field].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def first_steps(name: str, workload: str) -> dict[str, Any]:
    """Seconds to construct and for each of the first three steps; bytes of state; growth of the process."""
    from .candidates import named
    from .workloads import Tensors, state_bytes

    candidate, tensors = named(name), Tensors(workload)
    if candidate.library == "piste":
        import piste  # noqa: F401  (imported by any user's script long before its first step)
    at_rest, clock = resident("VmRSS"), [perf_counter()]
    optimizer = candidate.make(tensors)
    clock.append(perf_counter())
    for _ in range(3):
        optimizer.step()
        tensors.give()
        clock.append(perf_counter())
    made, *steps = (b - a for a, b in itertools.pairwise(clock))
    graphs = []
    if candidate.library == "piste":
        from piste import _compile

        graphs = list(_compile.compiled_graphs)
    return {
        "construct": made,
        "first": steps[0],
        "third": steps[2],
        "state_bytes": state_bytes(optimizer),
        "peak_bytes": resident("VmHWM") - at_rest,
        "compiled": len(graphs),
    }


def imports() -> dict[str, Any]:
    """Seconds of ``import torch``, and of ``import piste`` after it."""
    clock = [perf_counter()]
    import torch  # noqa: F401

    clock.append(perf_counter())
    import piste  # noqa: F401

    clock.append(perf_counter())
    heavy = [m for m in ("torch._dynamo", "torch._inductor", "torch.distributed.tensor") if m in sys.modules]
    return {"torch": clock[1] - clock[0], "piste": clock[2] - clock[1], "heavy": heavy}


def merge(method: str, folder: str) -> dict[str, float]:
    """Seconds to merge the files ``model-*.safetensors`` of a folder, and what was resident at most, torch included."""
    from piste.merging import merge as run

    files = sorted(Path(folder).glob("model-*.safetensors"))
    base = {"base": files.pop()} if method == "ties" else {}
    began = perf_counter()
    run(method, files, Path(folder, "out.safetensors"), **base)
    return {"seconds": perf_counter() - began, "resident": resident("VmHWM")}


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    print(json.dumps({"step": first_steps, "import": imports, "merge": merge}[what](*rest)))
