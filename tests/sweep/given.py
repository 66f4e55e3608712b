"""One problem for all: square matrices of full rank that are worth a code, in rows that the ranks cut unevenly."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.functional import cross_entropy

import piste
from sharding.given import gradient, whole
from tiny import CHOSEN, make

WEIGHTS, STATES = ("fp32", "bf16"), ("plain", "8bit")
KINDS = [(e.name, weights, state) for e in CHOSEN for weights in WEIGHTS for state in STATES]
SIDE = 68  # 23 + 23 + 22 rows on three ranks, in blocks of 68
FEW = 8  # the side where an optimizer needs few weights


class Square(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.first = nn.Linear(side, side, bias=False)
        self.inner = nn.Linear(side, side)
        self.gain = nn.Parameter(torch.ones(5))
        self.head = nn.Linear(side, side)

    def forward(self, x):
        return self.head(self.inner(self.first(x))) * self.gain.mean()


def needs(name):
    return piste.get(name, "optimizer").needs


def takes_whole_weights(name):
    """Whether shards are refused."""
    parts = piste.get(name, "optimizer").target.chain().everything()
    return any(part.transform.whole == "always" for part in parts)


def model(name, weights):
    torch.manual_seed(0)
    net = Square(FEW if "few weights" in needs(name) else SIDE)
    if "module" in needs(name):  # what passes through the layers is to have full rank, too
        for i, layer in enumerate((net.first, net.inner, net.head)):
            layer.weight.data.copy_(gradient((SIDE, SIDE), i, torch.float32))
    return net.to({"bf16": torch.bfloat16, "fp32": torch.float32, "fp64": torch.float64}[weights])


def made(name, net, weights, state, **engine):
    storage = {"param": "bf16_error_bits"} if weights == "bf16" else {}
    storage |= {"moment": "int8", "square": "int8"} if state == "8bit" else {}
    return make(name, net, storage=storage or None, **engine)


def placed(value, p):
    return distribute_tensor(value, p.device_mesh, p.placements) if isinstance(p, DTensor) else value


def step(net, opt, i):
    """On given gradients. A method that evaluates the loss itself descends a bowl, whose gradient everybody makes of
    its own part of the weights; the loss is added up in float64, since it is not the closure that is tested. One that
    wants more than a loss is given a batch."""

    def bowl():
        loss = 0.0
        for k, p in enumerate(net.parameters()):
            drawn = torch.Generator().manual_seed(100 * i + k)
            steep = placed(torch.rand(p.shape, generator=drawn) + 0.5, p)
            off = p.detach().float() - placed(torch.randn(p.shape, generator=drawn), p)
            p.grad = (steep * off).to(p.dtype)
            loss = loss + whole((steep.double() * off.double() ** 2).sum()) / 2
        return loss

    wanted = needs(opt.factory.name)
    if "module" in wanted:  # a backward pass to listen to; the gradients are then given, too
        x, aim = mine(net, rows(net, i, 102)), mine(net, rows(net, i + 1000, 102))
        (net(x) * aim).float().sum(1).mean().backward()
    if "residuals" in wanted:
        x, aim = rows(net, i, 1), rows(net, i + 1000, 1)
        opt.step(piste.closure(lambda _: (net(x) - aim).flatten(), [None], net, residuals=True))
    elif "sampled labels" in wanted:
        x, noise = rows(net, i, 100), rows(net, i + 1000, 100)

        def loss(_):
            return cross_entropy(net(x).float(), noise.argmax(1))

        def sampled(_):
            scores = net(x).float()
            return cross_entropy(scores, (scores.detach() + noise).argmax(1))

        opt.step(piste.closure(loss, [None], net, sampled=sampled))
    elif any(c.needs_closure for c in opt.chains()):
        opt.step(bowl)
    else:
        for k, p in enumerate(net.parameters()):
            p.grad = placed(gradient(p.shape, 100 * i + k, p.dtype), p)
        opt.step()


def mine(net, batch):
    """This rank's part of a batch."""
    p = net.first.weight
    return (
        batch.chunk(p.device_mesh.size())[p.device_mesh.get_local_rank()] if isinstance(p, DTensor) else batch
    )


def rows(net, seed, count):
    """A batch of as many inputs, in the precision of the weights."""
    first = net.first
    drawn = torch.Generator().manual_seed(seed)
    return torch.randn(count, first.in_features, generator=drawn).to(first.weight.dtype)
