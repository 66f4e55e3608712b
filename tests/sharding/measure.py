"""What owners save over gathering: time of a step and bytes of state per rank, on two gloo ranks of one thread each.

    python tests/sharding/measure.py

Both run in the same processes, in alternating order; medians of intervals of ten steps, each with one refresh.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from unittest import mock

import torch
from torch import nn
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard

sys.path.insert(0, str(Path(__file__).parent.parent))

from piste._owners import Owners
from piste._sharding import owners
from sharding.given import give
from sharding.launch import on_ranks
from tiny import make

SIZE, MATRICES, INTERVALS = 256, 8, 5
FEW = SIZE * SIZE  # elements in a wave, so that every matrix of an owner travels alone


def prepared(name, world, owned):
    """An optimizer past its first steps, with gradients."""
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(SIZE, SIZE, bias=False) for _ in range(MATRICES)))
    fully_shard(net, mesh=init_device_mesh("cpu", (world,)))
    give(net, 0)
    named = [{"params": [*net.parameters()]}]
    with mock.patch.object(Owners, "settle", Owners.settle if owned else lambda *_: None):
        opt = make(name, named, precondition_frequency=10)
        assert all((leaf.owner is not None) == owned for leaf in opt.leaves()[0])
    for _ in range(2):
        opt.step()
    return net, opt


def interval(opt, wave):
    with mock.patch.object(owners, "WAVE", wave):
        torch.distributed.barrier()
        start = time.perf_counter()
        for _ in range(10):
            opt.step()
        torch.distributed.barrier()
        return (time.perf_counter() - start) / 10


def measured(rank, world):
    for name in ("SOAP", "Shampoo"):
        ways = {"owners": (True, 1 << 22), "in waves": (True, FEW), "gathered": (False, 1 << 22)}
        runs = {way: (*prepared(name, world, owned), wave) for way, (owned, wave) in ways.items()}
        times = {way: [] for way in runs}
        for i in range(INTERVALS):
            for way in sorted(runs, reverse=bool(i % 2)):
                _, opt, wave = runs[way]
                times[way].append(interval(opt, wave))
        usual = statistics.median(times["gathered"])
        for way, (_, opt, _) in runs.items() if rank == 0 else ():
            t = statistics.median(times[way])
            print(
                f"{name:8} {way:9} {t * 1e3:7.1f} ms {t / usual:5.2f} x  {opt.state_bytes():9} bytes",
                flush=True,
            )


CASES = {"measured": measured}

if __name__ == "__main__":
    print("".join(on_ranks(2, "sharding.measure").values()))
