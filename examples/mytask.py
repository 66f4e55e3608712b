"""A task of your own for `piste race --task examples/mytask.py`: tell two spirals apart.

A file needs one thing: `task = piste.race.Task(...)`. Everything must follow from torch's seed, which the race sets
before it calls `model()`; the order of the batches is the race's business.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from piste import race


def spirals(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points [count, 2] on two arms that turn once, a little blurred, and which arm each is on."""
    generator = torch.Generator().manual_seed(seed)
    arm = torch.arange(count) % 2
    turn = torch.rand(count, generator=generator).sqrt()
    angle = 2 * torch.pi * turn + torch.pi * arm
    points = turn[:, None] * torch.stack((angle.cos(), angle.sin()), dim=1)
    return points + 0.02 * torch.randn(count, 2, generator=generator), arm.float()


def data() -> race.Data:
    """What to train on and what to validate on; the first axis counts examples."""
    return race.Data(
        train=spirals(2000, seed=0), valid=spirals(1000, seed=1), source="two spirals, drawn at random"
    )


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))


def loss(model: nn.Module, points: Tensor, arm: Tensor) -> Tensor:
    """A batch of `data().train` arrives as further arguments; a number comes back."""
    return F.binary_cross_entropy_with_logits(model(points).squeeze(-1), arm)


task = race.Task(
    name="spirals",
    description="telling two spirals apart: tanh network 2-64-64-1",
    model=model,
    data=data,
    loss=loss,
    steps=400,
    batch=64,
    metric="validation loss (nats)",
)
