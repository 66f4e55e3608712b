"""Sharded = whole, for every optimizer: one launch of gloo ranks for all cases of a world size.

Three ranks cut every tensor of the model unevenly, and its shortest one so that a rank has nothing. The other meshes
(two ranks; four, as rows, columns, replicas, and tensor parallelism inside FSDP2) run with ``make test-full``.
"""

from __future__ import annotations

import importlib

import pytest
import torch.distributed as dist

from sharding.launch import on_ranks

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")
FULL = pytest.mark.full

WORLDS = [
    (3, "sharding.cases", ()),
    (3, "sharding.averages", ()),
    (2, "sharding.cases", (FULL,)),
    (4, "sharding.planes", (FULL,)),
    (2, "sharding.costs", ()),  # what `piste.cost` plans is what ranks hold and send
    (3, "sharding.costs", (FULL,)),
    (4, "sharding.costs_planes", (FULL,)),
]
told: dict[tuple[int, str], dict[str, str]] = {}


@pytest.mark.parametrize(
    ("world", "module", "case"),
    [
        pytest.param(world, module, case, marks=marks, id=f"{world}-{case}")
        for world, module, marks in WORLDS
        for case in importlib.import_module(module).CASES
    ],
)
def test_on_several_ranks(world, module, case):
    if (world, module) not in told:
        told[world, module] = on_ranks(world, module)
    if told[world, module][case]:
        pytest.fail(told[world, module][case], pytrace=False)
