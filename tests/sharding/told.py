"""What models report of sharded parameters: every rank of its own batch, all of them act alike."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard

import piste
from piste import chain, optimizer, signal, transform
from piste.transforms import descend
from sharding.given import whole


@transform(room="delta", signals={"ranks_hot": signal("m", how="max")})
def stop_hot_rows_on_ranks(u, param, ranks_hot):
    return u if ranks_hot is None else torch.where(ranks_hot > 1, -param, u)


@transform(scope="tensor", signals={"ranks_turn": signal(how="mean")})
def turn_on_ranks(u, ranks_turn):
    return u if ranks_turn is None else u * ranks_turn.sum()


@optimizer
def Told(lr=0.5):
    return chain(turn_on_ranks(), descend(lr), stop_hot_rows_on_ranks())


class Reporting(nn.Linear):
    said: object = None

    def forward(self, x):
        if self.said is not None:
            piste.report(self, **self.said)
        return super().forward(x)


def reports_are_combined_over_ranks(rank, world):
    """The largest over ranks; a mean counts every report once; ranks without one take part; rows are cut unevenly."""
    torch.manual_seed(0)
    net = nn.Sequential(Reporting(5, 8, bias=False), Reporting(8, 4, bias=False), Reporting(4, 4, bias=False))
    fully_shard(net, mesh=init_device_mesh("cpu", (world,)))
    opt = Told(net.parameters())
    if rank == world - 1:
        net[0].said = {"ranks_hot": torch.tensor([2.0, 0.0, 0.0, 0.0])}
    if rank != world - 1:
        net[0].said = {"ranks_hot": torch.tensor([0.0, 0.0, 0.5, 2.0])}
        net[1].said = {"ranks_turn": torch.tensor([rank + 1.0, 0.0])}
    before = [whole(p.detach()).clone() for p in net.parameters()]
    net(torch.ones(2, 5)).sum().backward()
    grads = [whole(p.grad).clone() for p in net.parameters()]
    opt.step()
    after = [whole(p.detach()) for p in net.parameters()]
    hot = torch.tensor([1, 1, 0, 0, 0, 0, 1, 1], dtype=torch.bool)
    assert not after[0][hot].any()
    torch.testing.assert_close(after[0][~hot], (before[0] - 0.5 * grads[0])[~hot])
    size = sum(range(1, world)) / (world - 1)
    torch.testing.assert_close(after[1], before[1] - 0.5 * size * grads[1])
    torch.testing.assert_close(after[2], before[2] - 0.5 * grads[2])
    for layer in net:
        layer.said = None
    opt.step()
    torch.testing.assert_close(whole(net[1].weight.detach()), after[1] - 0.5 * grads[1])


CASES = {reports_are_combined_over_ranks.__name__: reports_are_combined_over_ranks}
