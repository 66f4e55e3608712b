"""What whole and sharded runs are given alike: a model, batches, gradients."""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.distributed import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tiny import OPTIMIZERS, Tiny, make, words

# the longer side of a 11 x 7 matrix has a null space, where a basis is arbitrary: these go without one there; a
# subspace of all dimensions follows rounding; and a small damping magnifies that of a Gram matrix
DETERMINED = {
    **{key: {"max_precond_dim": 7} for key in ("SOAP", "SOAPAdEMAMix", "SOAPLion", "KLSOAP", "KLShampoo")},
    "ScaledGD": {"damp": 1.0},
    **{key: {"rank": 3} for key in ("OnlineSubspaceAdamW", "OnlineSubspaceLion")},
}
# Products by differences of gradients are good to ∛(rounding)², 4e-11 in float64, and these divide by small ones.
AMPLIFIED = {"OASIS", "RootNewton"}


class Uneven(nn.Module):
    """Rows that no number of ranks divides, a vector shorter than the ranks are many, a frozen matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 7)
        self.inner = nn.Linear(7, 7)
        self.outer = nn.Linear(7, 7)
        self.gain = nn.Parameter(torch.ones(2))
        self.norm = nn.LayerNorm(7)
        self.head = nn.Linear(7, 11)

    def forward(self, x):
        h = self.table(x)
        h = h + self.outer(torch.tanh(self.inner(h))) * self.gain.sum()
        return self.head(self.norm(h))

    loss = Tiny.loss


def model(dtype):
    torch.manual_seed(0)
    return Uneven().to(dtype)


def whole(p):
    return p.full_tensor() if isinstance(p, DTensor) else p


def gradient(shape, seed, dtype):
    """Matrices with singular values far from one another and from 0, so that every root and basis is determined."""
    g = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    if len(shape) == 2:
        u, s, v = torch.linalg.svd(g, full_matrices=False)
        g = u * torch.linspace(0.5, 2, len(s), dtype=torch.float64) @ v
    return g.to(dtype)


def give(net, i):
    """The same gradients to whole and sharded parameters."""
    for k, p in enumerate(net.parameters()):
        g = gradient(p.shape, 100 * i + k, p.dtype)
        p.grad = distribute_tensor(g, p.device_mesh, p.placements) if isinstance(p, DTensor) else g


def step(net, opt, i):
    """On given gradients; a method that evaluates the loss itself, or listens to backward, gets a closure."""

    def closure():
        opt.zero_grad()
        loss = net.loss(words(i))
        loss.backward()
        return loss

    if any(c.needs_closure or c.senses for c in opt.chains()):
        return opt.step(closure)
    give(net, i)
    return opt.step()


def made(name, net):
    return make(name, net, **DETERMINED.get(name, {}))


def sharded(dtype):
    net = model(dtype)
    fully_shard(net, mesh=init_device_mesh("cpu", (torch.distributed.get_world_size(),)))
    return net


def big(dtype=torch.float32):
    """Matrices that are worth a code, in rows that three ranks cut unevenly."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 80), nn.Linear(80, 64, bias=False)).to(dtype)


def of(names, test):
    return {f"{name}: {test.__name__}": functools.partial(test, name) for name in names}


each = functools.partial(of, OPTIMIZERS)
