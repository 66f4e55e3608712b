"""The cases of `costs` that want four ranks: tensor parallelism inside FSDP2, and copies of shards."""

from __future__ import annotations

from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from sharding.costs import SENDING, Sent, Two, each, give, planned
from tiny import OPTIMIZERS, make

CUTS = {"a.*": 0, "b.weight": 1}


def laid_out(kind):
    """Two layers, their cuts, and this rank's coordinates along dp and tp."""
    net = Two()
    if kind == "dp=2,tp=2":
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
        parallelize_module(net, mesh["tp"], {"a": ColwiseParallel(), "b": RowwiseParallel()})
        fully_shard(net, mesh=mesh["dp"])
        return net, CUTS, tuple(mesh.get_coordinate())
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "dp"))
    fully_shard(net, mesh=mesh)
    return net, None, (mesh.get_local_rank("dp"), 0)


def bytes_are_as_planned(name, rank, world):
    for kind in ("dp=2,tp=2", "replicate=2,dp=2"):
        net, cuts, here = laid_out(kind)
        opt = make(name, net)
        cost = planned(name, cuts, kind, Two).at(here)
        assert cost.weights == sum(p.to_local().numel() * 4 for p in net.parameters())
        assert cost.state_bytes == opt.state_bytes() == opt.forecast_bytes(), kind


def sent_as_planned(name, rank, world):
    for kind in ("dp=2,tp=2", "replicate=2,dp=2"):
        net, cuts, here = laid_out(kind)
        opt = make(name, net)
        for _ in range(2):
            give(net)
            with Sent(here[0]) as sent:
                opt.step()
        cost = planned(name, cuts, kind, Two).at(here)
        assert abs(sum(sent.bytes.values()) - cost.sent) < 1e-6 * cost.sent + 1e-9, (
            kind,
            sent.bytes,
            cost.sent,
        )


CASES = {**each(bytes_are_as_planned, OPTIMIZERS), **each(sent_as_planned, SENDING)}
