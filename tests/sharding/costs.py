"""Bytes as planned: what every rank holds, and what leaves it in a step, counted message by message."""

from __future__ import annotations

import functools
from collections import Counter

import torch
from torch import nn
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils._python_dispatch import TorchDispatchMode

import piste
from tiny import OPTIMIZERS, make

SENDING = ("AdamW", "LAMB", "Lion", "Muon", "ScheduleFreeAdamW", "Shampoo", "SOAP")


class Sent(TorchDispatchMode):
    """Bytes that leave this rank, as a ring sends them: a part to each other rank to gather, the whole but a rank's
    share once round for a sum and once more where all want it; in an exchange, what goes to others."""

    def __init__(self, rank):
        super().__init__()
        self.rank, self.bytes = rank, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kind = func.overloadpacket.__name__
        if func.namespace in ("c10d", "_c10d_functional"):
            self.bytes[kind] += self._leaving(kind, args)
        return func(*args, **(kwargs or {}))

    def _leaving(self, kind, args):
        tensor = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
        size = tensor.numel() * tensor.element_size()
        world = self._ranks(args)
        if kind in ("allreduce_", "all_reduce"):
            return 2 * (world - 1) / world * size
        if kind == "all_gather_into_tensor":
            return (world - 1) * size
        if kind == "_allgather_base_":
            source = args[1]
            return (world - 1) * source.numel() * source.element_size()
        if kind == "_reduce_scatter_base_":
            return (world - 1) * size
        if kind == "alltoall_base_":
            source, sends = args[1], args[4]
            return (sum(sends) - sends[self.rank]) * source.element_size()
        if kind in ("wait_tensor", "_wrap_tensor_autograd"):
            return 0
        raise AssertionError(f"a message nobody has planned: {kind}")

    @staticmethod
    def _ranks(args):
        """How many share a message: its own process group, by name or in a box, knows."""
        for a in args:
            if isinstance(a, torch.ScriptObject):
                return torch.distributed.ProcessGroup.unbox(a).size()
        for a in args:
            if isinstance(a, str) and a not in ("sum", "max"):
                return torch.distributed.distributed_c10d._resolve_process_group(a).size()
        return torch.distributed.get_world_size()


class Wide(nn.Module):
    """Matrices that are worth a code, in rows that three ranks cut unevenly, and a vector shorter than the ranks."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 7)
        self.up, self.down = nn.Linear(64, 80), nn.Linear(80, 64, bias=False)
        self.gain = nn.Parameter(torch.ones(2))
        self.norm = nn.LayerNorm(7)
        self.head = nn.Linear(7, 11)


def give(net):
    """Gradients of full rank, placed as the weights."""
    for p in net.parameters():
        p.grad = p.detach().clone()


def planned(name, cuts=None, mesh="", net=Wide, **engine):
    with torch.device("meta"):
        return piste.cost.plan(make(name, net(), **engine), mesh, cuts)


def bytes_are_as_planned(name, rank, world):
    """Plain and in eight bits: what this rank holds, and the optimizer's own forecast of it."""
    for engine in ({}, {"storage": "8bit"}):
        net = Wide()
        fully_shard(net, mesh=init_device_mesh("cpu", (world,)))
        opt = make(name, net, **engine)
        cost = planned(name, mesh=f"dp={world}", **engine).at((rank, 0))
        assert cost.weights == sum(p.to_local().numel() * 4 for p in net.parameters())
        assert cost.state_bytes == opt.state_bytes() == opt.forecast_bytes(), engine


def sent_as_planned(name, rank, world):
    net = Wide()
    fully_shard(net, mesh=init_device_mesh("cpu", (world,)))
    opt = make(name, net)
    for _ in range(2):  # the first may set up
        give(net)
        with Sent(rank) as sent:
            opt.step()
    cost = planned(name, mesh=f"dp={world}").at((rank, 0))
    assert abs(sum(sent.bytes.values()) - cost.sent) < 1e-6 * cost.sent + 1e-9, (sent.bytes, cost.sent)


class Two(nn.Module):
    """Layers of a length that the ranks divide: FSDP's own messages have no padding but what the plan has."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(24, 36), nn.Linear(36, 24, bias=False)

    def forward(self, x):
        return self.b(self.a(x).tanh())


def the_model_sends_as_planned(rank, world):
    """FSDP's share: weights gathered for the forward and the backward pass, gradients reduced."""
    net = Two()
    for layer in (net.a, net.b):
        fully_shard(layer, mesh=init_device_mesh("cpu", (world,)))
    fully_shard(net)
    with Sent(rank) as sent:
        net(torch.randn(4, 24)).square().sum().backward()
    cost = planned("SGD", mesh=f"dp={world}", net=Two).at((rank, 0))
    assert sum(sent.bytes.values()) == cost.model, (sent.bytes, cost.model)


def each(test, names):
    return {f"{name}: {test.__name__}": functools.partial(test, name) for name in names}


CASES = {
    **each(bytes_are_as_planned, OPTIMIZERS),
    **each(sent_as_planned, SENDING),
    "the_model_sends_as_planned": the_model_sends_as_planned,
}
