"""A task small enough to race in a second, as a user would write it: a file."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY = """
import torch
from torch import nn
from torch.nn import functional as F
from piste import race


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=generator)
    y = torch.tanh(x @ torch.randn(6, 2, generator=generator))
    return race.Data(train=(x[:64], y[:64]), valid=(x[64:], y[64:]), source="made up")


task = race.Task(
    name="tiny",
    description="a small regression",
    model=lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)),
    data=data,
    loss=lambda model, x, y: F.mse_loss(model(x), y),
    steps=40,
    batch=16,
    noise=0.01,
)
"""


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.py"
    path.write_text(TINY)
    return str(path)
