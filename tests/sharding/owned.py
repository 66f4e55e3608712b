"""Matrices at their owners: what travels, what is kept where, and how it is saved and loaded on other meshes."""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed import DeviceMesh, init_device_mesh
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.debug import CommDebugMode

import piste
from piste._sharding import owners
from sharding.given import big, give, made, model, of, sharded, whole
from tiny import make


@contextlib.contextmanager
def counted(rank):
    """Bytes that leave this rank, one entry for each message; and that there are no messages of another kind."""
    sent, send = [], torch.distributed.all_to_all_single

    def counting(target, source, receives, sends, **how):
        sent.append((sum(sends) - sends[rank]) * source.element_size())
        return send(target, source, receives, sends, **how)

    torch.distributed.all_to_all_single = counting
    try:
        with CommDebugMode() as comms:
            yield sent
    finally:
        torch.distributed.all_to_all_single = send
    assert len(sent) == comms.get_total_counts(), comms.get_comm_counts()


def squares(world):
    """Two matrices for every rank."""
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(12, 12, bias=False) for _ in range(2 * world)))
    fully_shard(net, mesh=init_device_mesh("cpu", (world,)))
    return net


def a_step_sends_at_most_twice_its_own_shards(name, rank, world):
    """Updates go to their owners and come back, and nothing else does: in one wave, or in as many as wanted."""
    nets = squares(world), squares(world)
    opts = [make(name, [p for _, p in net.named_parameters()]) for net in nets]
    own = sum(p.to_local().numel() * p.element_size() for p in nets[0].parameters())
    for i in range(3):
        for wave, messages, net, opt in zip((1 << 22, 1), (2, 4), nets, opts, strict=True):
            give(net, i)
            usual, owners.WAVE = owners.WAVE, wave
            with counted(rank) as sent:
                opt.step()
            owners.WAVE = usual
            assert len(sent) == messages
            assert sum(sent) <= 2 * own
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def each_rank_keeps_its_share(name, rank, world):
    """Of equal matrices, equally many: memory and work are divided by the ranks; a later group moves nothing."""
    opt = make(name, [p for _, p in squares(world).named_parameters()])
    everyone = [None] * world
    torch.distributed.all_gather_object(everyone, opt.state_bytes())
    assert len(set(everyone)) == 1
    one = make(name, [nn.Parameter(torch.randn(12, 12)) for _ in range(2 * world)])
    assert everyone[0] * world == one.state_bytes()
    before = {p: [id(t) for t in s.values()] for p, s in opt.state.items()}
    opt.add_param_group({"params": list(sharded(torch.float32).parameters()), "optimizer": name})
    assert opt.state_bytes() == opt.forecast_bytes()
    assert before == {p: [id(t) for t in opt.state[p].values()] for p in before}


def what_an_owner_sees_all_are_told(rank, world):
    """A diagnostic of a rule inside a matrix rule."""

    @piste.optimizer
    def ClippedShampoo(lr: float = 0.1):
        """Shampoo of clipped gradients."""
        inner = piste.chain(piste.transforms.clip_by_value(0.2))
        rule = piste.transforms.scale_by_shampoo(inner, eps=1e-4, max_precond_dim=768, refresh=True)
        return piste.chain(rule, piste.transforms.descend(lr))

    told = []
    for net in (model(torch.float64), sharded(torch.float64)):
        opt = ClippedShampoo(net)
        opt.metrics(on=True)
        give(net, 0)
        opt.step()
        told.append(opt.metrics()["clipped_share"])
    assert 0 < told[0] < 1
    assert abs(told[0] - told[1]) < 1e-12


def codes_at_the_owner(rank, world):
    """Factors by their triangles, bases in four bits, moments in eight: codecs that need the whole matrix."""
    storage = {"factor": "symmetric", "basis": "eigen4", "moment": "int8", "square": "int8"}
    one, many = big(), big()
    fully_shard(many, mesh=init_device_mesh("cpu", (world,)))
    mine, theirs = (make("SOAP", net, storage=storage, max_precond_dim=64) for net in (one, many))
    for i in range(3):
        give(one, i)
        give(many, i)
        mine.step()
        theirs.step()
    assert theirs.state_bytes() == theirs.forecast_bytes()
    here, there = (opt.state_dict()["state"] for opt in (mine, theirs))
    assert "Q_R.scale" in here[0] and "Q_L.scale" in here[2]
    for i, slots in here.items():
        assert sorted(slots) == sorted(there[i])
        for key, value in slots.items():
            if key in ("L", "R"):
                assert value.dim() == 1  # packed
                torch.testing.assert_close(whole(there[i][key]), value, rtol=1e-5, atol=1e-6)
    twin = make("SOAP", big(), storage=storage, max_precond_dim=64)
    twin.load_state_dict(theirs.state_dict())
    for i, slots in twin.state_dict()["state"].items():
        for key, value in slots.items():
            assert key == "step" or torch.equal(value, whole(there[i][key])), key


def thawed_copied_and_cast(rank, world):
    """A matrix that is frozen at first gets its state at its owner when it wakes; a copy and another precision hold
    what was held."""
    nets = model(torch.float32), sharded(torch.float32)
    for net in nets:
        net.inner.weight.requires_grad_(False)
    opts = [made("SOAP", net) for net in nets]
    for i in range(4):
        for net, opt in zip(nets, opts, strict=True):
            net.inner.weight.requires_grad_(i >= 2)
            give(net, i)
            net.inner.weight.grad = net.inner.weight.grad if i >= 2 else None
            opt.step()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(whole(q), p, rtol=1e-6, atol=1e-6)
    assert opts[1].state_bytes() == opts[1].forecast_bytes()
    kept, twin = contents(opts[1]), contents(copy.deepcopy(opts[1]))
    nets[1].double()
    opts[1].leaves()
    for key, value in contents(opts[1]).items():
        held = torch.as_tensor(kept[key])
        assert torch.equal(torch.as_tensor(twin[key]), held), key
        assert key.endswith("step") or value.dtype == torch.float64, key
        assert torch.equal(torch.as_tensor(value), held.to(torch.as_tensor(value).dtype)), key


def migrated_as_if_whole(rank, world):
    """AdamW -> SOAP -> another SOAP, grouped otherwise -> AdamW: moments go to the owners, into their bases, to other
    owners, and back out."""
    nets = model(torch.float32), sharded(torch.float32)
    opts = [make("AdamW", net) for net in nets]
    later = (
        lambda net: made("SOAP", net),
        lambda net: made("SOAP", [{"params": [p]} for p in reversed([*net.parameters()])]),
        lambda net: make("AdamW", net),
    )
    for remake in (*later, None):
        for i in range(2):
            for net, opt in zip(nets, opts, strict=True):
                give(net, i)
                opt.step()
        if remake is not None:
            news = [remake(net) for net in nets]
            told = [piste.migrate(old, new) for old, new in zip(opts, news, strict=True)]
            assert str(told[0]) == str(told[1])
            opts = news
    for (n, p), q in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(whole(q), p, rtol=1e-5, atol=1e-6, msg=lambda m, n=n: f"{n}: {m}")


def contents(opt):
    return {
        f"{i}.{k}": whole(v).clone() if isinstance(v, torch.Tensor) else v
        for i, slots in opt.state_dict()["state"].items()
        for k, v in slots.items()
    }


def saved_on_all_and_loaded_on_fewer(
    name, rank, world, *, fresh=lambda: model(torch.float32), build=made, go=None, near=1e-6, share=0.0
):
    """Through torch's distributed checkpoint: all ranks save; all but the last load together, and the last one alone,
    into a model that is whole. What is loaded is what was saved, bit for bit, and the next step is the same (but for
    a ``share`` of the numbers)."""

    def given(net, opt, i):
        give(net, i)
        opt.step()

    go, net = go or given, fresh()
    fully_shard(net, mesh=init_device_mesh("cpu", (world,)))
    opt = build(name, net)
    for i in range(3):
        go(net, opt, i)
    folder = [tempfile.mkdtemp()]
    torch.distributed.broadcast_object_list(folder)
    dcp.save(
        {"model": get_model_state_dict(net), "optimizer": get_optimizer_state_dict(net, opt)},
        checkpoint_id=folder[0],
    )
    kept = contents(opt)
    go(net, opt, 3)
    moved = {n: whole(p) for n, p in net.named_parameters()}
    few, alone = DeviceMesh("cpu", list(range(world - 1))), rank == world - 1
    other = fresh()
    if not alone:
        fully_shard(other, mesh=few)
    theirs = build(name, other)
    state = {"model": get_model_state_dict(other), "optimizer": get_optimizer_state_dict(other, theirs)}
    dcp.load(state, checkpoint_id=folder[0], no_dist=alone, process_group=None if alone else few.get_group())
    set_model_state_dict(other, state["model"])
    set_optimizer_state_dict(other, theirs, state["optimizer"])
    for key, value in contents(theirs).items():
        same = torch.equal(value, kept[key]) if isinstance(value, torch.Tensor) else value == kept[key]
        assert same, key
    go(other, theirs, 3)
    for n, p in other.named_parameters():
        off = (whole(p) - moved[n]).abs() > near * (moved[n].abs() + 1)
        assert off.float().mean() <= share, n
    torch.distributed.barrier()
    if rank == 0:
        shutil.rmtree(folder[0])


def codes_saved_on_all_and_loaded_on_fewer(name, rank, world):
    """Whole matrices in fewer bits: among several ranks they are at their owners, of one rank they are copies."""
    saved_on_all_and_loaded_on_fewer(
        name, rank, world, fresh=big, build=lambda name, net: make(name, net, storage="8bit")
    )


CASES = {
    **of(("GaLoreAdamW", "Shampoo4bit"), codes_saved_on_all_and_loaded_on_fewer),
    **of(("Muon", "SOAP", "Shampoo"), a_step_sends_at_most_twice_its_own_shards),
    **of(("SOAP", "Shampoo"), each_rank_keeps_its_share),
    **of(("AdamW", "Muon", "SOAP", "Shampoo"), saved_on_all_and_loaded_on_fewer),
    **{
        test.__name__: test
        for test in (
            what_an_owner_sees_all_are_told,
            codes_at_the_owner,
            thawed_copied_and_cast,
            migrated_as_if_whole,
        )
    },
}
