"""Several gloo ranks in one launch: every case of a module runs on each, and every failure is told by name."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).parent.parent


def on_ranks(world: int, module: str, timeout: float = 1200) -> dict[str, str]:
    """Run ``module.CASES`` (names to functions of rank and world) on ``world`` ranks: {case: "" where it went well on
    every rank, else the first traceback}. A failure leaves the ranks in disorder: the rest is launched anew."""
    names, told = list(importlib.import_module(module).CASES), {}
    while len(told) < len(names):
        with tempfile.TemporaryDirectory() as folder:
            found = _launch(world, module, len(told), folder, timeout)
        done = {n: "" for n in names if all(n in f for f in found)}
        told.update({n: next((f[n] for f in found if f[n]), "") for n in done})
        broken = {n: trace for f in reversed(found) for n, trace in f.items() if trace}
        told.update(broken)
        if not done and not broken:
            told[names[len(told)]] = f"no rank told of an end: {found}"
    return told


def _launch(world: int, module: str, start: int, folder: str, timeout: float) -> list[dict[str, str]]:
    path = os.pathsep.join([str(TESTS), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "sharding.launch", module, str(start), folder, str(world)]
    ranks = [subprocess.Popen([*command, str(rank)], env=env) for rank in range(world)]
    ends = time.monotonic() + timeout
    try:
        while any(r.poll() is None for r in ranks) and time.monotonic() < ends:
            if any(r.poll() for r in ranks):
                time.sleep(1)  # what broke one may break the others in a telling way
                break
            time.sleep(0.05)
    finally:
        for r in ranks:
            r.kill()
            r.wait()
    return [_read(Path(folder, f"{rank}.json")) for rank in range(world)]


def _read(path: Path) -> dict[str, str]:
    return dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}


def main(module: str, start: int, folder: str, world: int, rank: int) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    with Path(folder, f"{rank}.json").open("w") as log:
        for name, case in list(importlib.import_module(module).CASES.items())[start:]:
            try:
                case(rank, world)
                trace = ""
            except Exception:
                trace = f"rank {rank}: {traceback.format_exc()}"
            print(json.dumps([name, trace]), file=log, flush=True)
            if trace:
                os._exit(1)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
