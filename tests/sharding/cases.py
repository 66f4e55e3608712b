"""Whole against sharded, on every rank: the same model, batches and optimizer, once whole and once under FSDP2."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import nn
from torch.distributed import init_device_mesh
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import piste
from sharding import owned, told
from sharding.given import AMPLIFIED, big, each, give, made, model, of, sharded, step, whole
from tiny import make

STEPS = 4


def whole_is_sharded(name, rank, world):
    """In float64 only the order of sums over ranks differs; in float32 nothing else may either, where gradients are the
    same (a search that evaluates the loss itself would see theirs)."""
    for dtype, rtol, atol in ((torch.float64, 1e-6, 1e-7), (torch.float32, 1e-6, 1e-6)):
        one, many = model(dtype), sharded(dtype)
        mine, theirs = made(name, one), made(name, many)
        rtol = 1e-4 if name in AMPLIFIED else rtol
        if dtype == torch.float32 and any(c.needs_closure for c in mine.chains()):
            continue
        for i in range(STEPS):
            here, there = step(one, mine, i), step(many, theirs, i)
            if name in AMPLIFIED and i == 0:  # what grows is a rounding
                for p, q in zip(one.parameters(), many.parameters(), strict=True):
                    torch.testing.assert_close(whole(q), p, rtol=1e-9, atol=1e-9)
            near = 1e-6 if name in AMPLIFIED else 1e-8
            assert here is None or abs(float(here) - float(there)) < near, (i, float(here), float(there))
        for (n, p), q in zip(one.named_parameters(), many.parameters(), strict=True):
            torch.testing.assert_close(whole(q), p, rtol=rtol, atol=atol, msg=lambda m, n=n: f"{n}: {m}")


def laid_out(mesh, placements, dtype=torch.float64):
    """The model's parameters as DTensors; a vector has no second axis to cut."""
    net = model(dtype)
    for module in net.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            axes = [x if not isinstance(x, Shard) or x.dim < p.dim() else Replicate() for x in placements]
            setattr(module, name, nn.Parameter(distribute_tensor(p.detach(), mesh, axes)))
    return net


def meshes(world):
    line = init_device_mesh("cpu", (world,))
    plane = init_device_mesh("cpu", (2, world // 2))
    return [(line, [Shard(1)]), (plane, [Replicate(), Shard(0)]), (plane, [Shard(0), Shard(1)]),
            (plane, [Shard(0), Shard(0)])]  # fmt: skip


def any_mesh(name, rank, world, layouts=None):
    """Rows, columns, replicas of rows, rows and columns, rows twice."""
    one = model(torch.float64)
    mine = made(name, one)
    if any(c.needs_closure for c in mine.chains()):
        return
    layouts = meshes(world) if layouts is None else layouts
    nets = [laid_out(*layout) for layout in layouts]
    opts = [made(name, net) for net in nets]
    for i in range(3):
        for net, opt in zip([one, *nets], [mine, *opts], strict=True):
            step(net, opt, i)
    for net, layout in zip(nets, layouts, strict=True):
        for (n, p), q in zip(one.named_parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(
                whole(q), p, rtol=1e-6, atol=1e-7, msg=lambda m, n=n, w=layout: f"{w[1]} {n}: {m}"
            )


def cut_by_columns(name, rank, world):
    """One of which is a single column."""
    any_mesh(name, rank, world, [(init_device_mesh("cpu", (world,)), [Shard(1)])])


def loaded_onto_any_mesh(name, rank, world):
    """A state goes from a whole model onto every mesh, and from each to the next, without a bit changed."""
    nets = [model(torch.float64), *(laid_out(*layout) for layout in meshes(world))]
    opts = [made(name, net) for net in nets]
    for i in range(3):
        step(nets[0], opts[0], i)
    first = owned.contents(opts[0])
    for before, after in itertools.pairwise(opts):
        after.load_state_dict(before.state_dict())
        assert after.state_bytes() == after.forecast_bytes()
        for key, value in owned.contents(after).items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(first[key])), key


def tensor_parallel_under_fsdp(name, rank, world):
    """Column- and row-wise layers inside ``fully_shard``: gradients may come as partial sums, rows are strided."""
    plane = init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("dp", "tp"))
    one, many = (nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).double() for _ in range(2))
    many.load_state_dict(one.state_dict())
    for p, q in zip(one.parameters(), many.parameters(), strict=True):
        torch.distributed.broadcast(p.detach(), 0)
        torch.distributed.broadcast(q.detach(), 0)
    parallelize_module(many, plane["tp"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    fully_shard(many, mesh=plane["dp"])
    mine, theirs = make(name, one), make(name, many)
    for i in range(3):
        x = torch.randn(20, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        for net, opt in ((one, mine), (many, theirs)):

            def closure(net=net, opt=opt, x=x):
                opt.zero_grad()
                loss = (net(x) - 1).square().sum()
                loss.backward()
                return loss

            opt.step(closure)
    for (n, p), q in zip(one.named_parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(whole(q), p, rtol=1e-6, atol=1e-7, msg=lambda m, n=n: f"{n}: {m}")


def saved_and_loaded(name, rank, world):
    """Interrupted = uninterrupted, bitwise, through torch's distributed checkpoints and in memory."""
    nets = [sharded(torch.float32) for _ in range(3)]
    opts = [make(name, net) for net in nets]
    for i in range(4):
        step(nets[0], opts[0], i)
    for i in range(2):
        step(nets[1], opts[1], i)
    saved = get_optimizer_state_dict(nets[1], opts[1])
    weights = get_model_state_dict(nets[1])
    set_model_state_dict(nets[2], weights)
    set_optimizer_state_dict(nets[2], opts[2], copy.deepcopy(saved))
    for i in range(2, 4):
        step(nets[2], opts[2], i)
    for (n, p), q in zip(nets[0].named_parameters(), nets[2].parameters(), strict=True):
        assert torch.equal(p.to_local(), q.to_local()), n


def keys_are_the_same_everywhere(name, rank, world):
    net = sharded(torch.float32)
    opt = make(name, net)
    keys = [sorted((i, k) for i, s in opt.state_dict()["state"].items() for k in s)]
    everyone = [None] * world
    torch.distributed.all_gather_object(everyone, keys)
    assert all(k == everyone[0] for k in everyone)
    assert opt.state_bytes() == opt.forecast_bytes()


def overflow_on_one_rank_is_everyone_s(rank, world):
    net = sharded(torch.float32)
    opt = piste.AdamW(net, guard="skip")
    give(net, 0)
    if rank == world - 1:
        net.table.weight.grad.to_local().fill_(float("nan"))
    before = [p.to_local().clone() for p in net.parameters()]
    opt.step()
    assert opt.skipped_steps == 1
    for p, was in zip(net.parameters(), before, strict=True):
        assert torch.equal(p.to_local(), was)


def no_drift(name, rank, world):
    """200 steps: what is replicated stays the same on its ranks, bit for bit, and nothing overflows."""
    net = laid_out(init_device_mesh("cpu", (2, world // 2)), [Replicate(), Shard(0)], torch.float32)
    opt = make(name, net)
    for i in range(200):
        give(net, i)
        opt.step()
    mesh = next(net.parameters()).device_mesh
    for n, p in net.named_parameters():
        mine = p.to_local().contiguous()
        lowest, highest = mine.clone(), mine.clone()
        torch.distributed.all_reduce(lowest, torch.distributed.ReduceOp.MIN, group=mesh.get_group(0))
        torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX, group=mesh.get_group(0))
        assert torch.equal(lowest, highest), n
        assert mine.isfinite().all(), n


def adamw_sends_nothing(rank, world):
    net = sharded(torch.float32)
    opt = piste.AdamW(net)
    give(net, 0)
    with CommDebugMode() as comms:
        opt.step()
    assert comms.get_total_counts() == 0, comms.get_comm_counts()


def eight_bits(name, rank, world):
    """What is kept does not depend on how the model is cut: codes and scales are equal, bit for bit, as long as the
    rules' results are; and the forecast holds."""
    one, many = big(), big()
    fully_shard(many, mesh=init_device_mesh("cpu", (world,)))
    mine, theirs = make(name, one, storage="8bit"), make(name, many, storage="8bit")
    if any(c.needs_closure for c in mine.chains()):
        return
    for i in range(2):
        give(one, i)
        give(many, i)
        mine.step()
        theirs.step()
    assert theirs.state_bytes() == theirs.forecast_bytes()
    for p, q in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(whole(q), p, rtol=1e-5, atol=1e-6)
    here, there = (opt.state_dict()["state"] for opt in (mine, theirs))
    assert [sorted(s) for s in there.values()] == [sorted(s) for s in here.values()]
    for i, slots in here.items():
        for key, value in slots.items():
            if isinstance(value, torch.Tensor) and value.dtype == torch.uint8:
                # a rounding apart at a boundary
                off = (whole(there[i][key]).int() - value.int()).abs()
                assert off.max() <= 1 and (off > 0).float().mean() < 0.01, key


def cut_by_columns_eight_bits_resume(rank, world):
    """Such parameters keep plain state whatever their group asks for; a state of theirs loads again."""
    mesh = init_device_mesh("cpu", (world,))
    nets = [big(), big()]
    for net in nets:
        for module in net:
            placed = distribute_tensor(module.weight.detach(), mesh, [Shard(1)])
            module.weight = nn.Parameter(placed)
            module.bias = None
    opts = [piste.AdamW(net, storage="8bit") for net in nets]
    give(nets[0], 0)
    opts[0].step()
    nets[1].load_state_dict(nets[0].state_dict())
    opts[1].load_state_dict(opts[0].state_dict())
    for net, opt in zip(nets, opts, strict=True):
        give(net, 1)
        opt.step()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(p.to_local(), q.to_local())


CASES = {
    **each(whole_is_sharded),
    **each(saved_and_loaded),
    **of(("Muon", "SOAP"), cut_by_columns),
    **each(keys_are_the_same_everywhere),
    **each(eight_bits),
    **{
        test.__name__: test
        for test in (
            overflow_on_one_rank_is_everyone_s,
            adamw_sends_nothing,
            cut_by_columns_eight_bits_resume,
        )
    },
    **owned.CASES,
    **told.CASES,
}
