"""One problem for all: square matrices of full rank that are worth a code, in rows that the ranks cut unevenly."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from sharding.given import gradient, whole
from tiny import EVERY, make

WEIGHTS, STATES = ("fp32", "bf16"), ("plain", "8bit")
KINDS = [(name, weights, state) for name in EVERY for weights in WEIGHTS for state in STATES]
SIDE = 68  # 23 + 23 + 22 rows on three ranks, in blocks of 68


class Square(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SIDE, SIDE, bias=False)
        self.inner = nn.Linear(SIDE, SIDE)
        self.gain = nn.Parameter(torch.ones(5))
        self.head = nn.Linear(SIDE, SIDE)

    def forward(self, x):
        return self.head(self.inner(self.first(x))) * self.gain.mean()


def model(weights):
    torch.manual_seed(0)
    return Square().to({"bf16": torch.bfloat16, "fp32": torch.float32, "fp64": torch.float64}[weights])


def made(name, net, weights, state, **engine):
    storage = {"param": "bf16_error_bits"} if weights == "bf16" else {}
    storage |= {"moment": "int8", "square": "int8"} if state == "8bit" else {}
    return make(name, net, storage=storage or None, **engine)


def placed(value, p):
    return distribute_tensor(value, p.device_mesh, p.placements) if isinstance(p, DTensor) else value


def step(net, opt, i):
    """On given gradients. A method that evaluates the loss itself descends a bowl, whose gradient everybody makes of
    its own part of the weights; the loss is added up in float64, since it is not the closure that is tested."""

    def closure():
        loss = 0.0
        for k, p in enumerate(net.parameters()):
            drawn = torch.Generator().manual_seed(100 * i + k)
            steep = placed(torch.rand(p.shape, generator=drawn) + 0.5, p)
            off = p.detach().float() - placed(torch.randn(p.shape, generator=drawn), p)
            p.grad = (steep * off).to(p.dtype)
            loss = loss + whole((steep.double() * off.double() ** 2).sum()) / 2
        return loss

    if any(c.senses for c in opt.chains()):  # a backward pass to listen to; the gradients are then given, too
        x = torch.randn(
            100, SIDE, generator=torch.Generator().manual_seed(i), dtype=next(net.parameters()).dtype
        )
        net(x).float().square().mean().backward()
    if any(c.needs_closure for c in opt.chains()):
        opt.step(closure)
        return
    for k, p in enumerate(net.parameters()):
        p.grad = placed(gradient(p.shape, 100 * i + k, p.dtype), p)
    opt.step()
