"""Averages on several ranks: what they show is what a whole model's show, and they go on where they were."""

from __future__ import annotations

import copy
import functools

import torch
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from averaging.chains import AVERAGES, make
from sharding.given import model, sharded, step, whole

CODED = {"param": "bf16_error_bits", "moment": "int8", "square": "int8"}


def shown(opt, net):
    with opt.averaged(net):
        return {n: whole(p).detach().clone() for n, p in net.named_parameters()}


def seen_on_ranks_as_whole(name, rank, world):
    one, many = model(torch.float64), sharded(torch.float64)
    mine, theirs = make(name, one), make(name, many)
    for i in range(5):
        step(one, mine, i)
        step(many, theirs, i)
        raw = [p.to_local().clone() for p in many.parameters()]
        for n, average in shown(theirs, many).items():
            torch.testing.assert_close(average, shown(mine, one)[n], rtol=1e-9, atol=1e-10)
        assert all(torch.equal(p.to_local(), q) for p, q in zip(many.parameters(), raw, strict=True))
    assert theirs.state_bytes() == theirs.forecast_bytes()


def resumed_in_the_middle(name, rank, world, storage=None):
    dtype = torch.bfloat16 if storage else torch.float32
    nets = [sharded(dtype) for _ in range(2)]
    opts = [make(name, net, storage=storage) for net in nets]
    for i in range(3):
        step(nets[0], opts[0], i)
    saved = copy.deepcopy(get_optimizer_state_dict(nets[0], opts[0]))
    set_model_state_dict(nets[1], copy.deepcopy(get_model_state_dict(nets[0])))
    set_optimizer_state_dict(nets[1], opts[1], saved)
    assert all(
        torch.equal(a, b)
        for a, b in zip(*(shown(o, n).values() for o, n in zip(opts, nets, strict=True)), strict=True)
    )
    for i in range(3, 6):
        for net, opt in zip(nets, opts, strict=True):
            step(net, opt, i)
    for (n, p), q in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(p.to_local(), q.to_local()), n
    assert all(
        torch.equal(a, b)
        for a, b in zip(*(shown(o, n).values() for o, n in zip(opts, nets, strict=True)), strict=True)
    )


def resumed_in_few_bits(name, rank, world):
    resumed_in_the_middle(name, rank, world, CODED)


def loaded_whole(name, rank, world):
    """Saved by all ranks, loaded into a model that is not cut."""
    one, many = model(torch.float64), sharded(torch.float64)
    mine, theirs = make(name, one), make(name, many)
    for i in range(3):
        step(many, theirs, i)
    with torch.no_grad():
        for p, q in zip(one.parameters(), many.parameters(), strict=True):
            p.copy_(whole(q))
    mine.load_state_dict(theirs.state_dict())
    for n, average in shown(mine, one).items():
        assert torch.equal(average, shown(theirs, many)[n]), n


CASES = {
    f"{name}: {test.__name__}": functools.partial(test, name)
    for name in AVERAGES
    for test in (seen_on_ranks_as_whole, resumed_in_the_middle, resumed_in_few_bits, loaded_whole)
}
