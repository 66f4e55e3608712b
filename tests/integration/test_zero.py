"""torch's ZeroRedundancyOptimizer takes a class and its hyperparameters."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from torch.distributed.optim import ZeroRedundancyOptimizer

import piste
from tiny import tiny, train


@pytest.fixture
def _one_process(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("name", ["AdamW", "Lion"])
def test_it_shards_a_piste_optimizer(name):
    model, twin = tiny(), tiny()
    cls = piste.get(name).target
    opt = ZeroRedundancyOptimizer(model.parameters(), optimizer_class=cls, lr=3e-3, weight_decay=0.1)
    plain = cls(twin.parameters(), lr=3e-3, weight_decay=0.1)
    assert type(opt.optim) is cls
    for m, o in ((model, opt), (twin, plain)):
        schedule = torch.optim.lr_scheduler.ExponentialLR(o, 0.5)
        train(m, o, 2)
        schedule.step()
        train(m, o, 2, 2)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q)
    opt.consolidate_state_dict()
    saved = copy.deepcopy(opt.state_dict())
    train(model, opt, 1, 4)
    resumed = tiny(seed=1)
    again = ZeroRedundancyOptimizer(resumed.parameters(), optimizer_class=cls, lr=1.0)
    again.load_state_dict(saved)
    resumed.load_state_dict(twin.state_dict())
    train(resumed, again, 1, 4)
    for p, q in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.usefixtures("_one_process")
def test_distributed_data_parallel_names_and_roles_are_found():
    model = tiny()
    wrapped = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    opt = piste.Muon(wrapped)
    hidden = [n for g in opt.param_groups if g["optimizer"] == "Muon" for n in g["param_names"]]
    assert hidden == ["module.inner.weight", "module.spare.weight", "module.outer.weight"]
    opt.load_state_dict(piste.Muon(tiny()).state_dict())
