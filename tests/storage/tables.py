"""The codes as their papers define them: lists of numbers, and the nearest one by search."""

from __future__ import annotations

import torch
from torch import Tensor


def dynamic(signed: bool, bits: int = 8) -> Tensor:
    """All values of the dynamic tree code, sorted: middles of equal cells of [0.1, 1] in each decade, 0 and 1."""
    decades = bits - 1
    found = [0.0, 1.0]
    for i in range(decades):
        cells = 2**i if signed else 2 ** (i + 1)
        edges = torch.linspace(0.1, 1, cells + 1, dtype=torch.float64)
        middles = 10.0 ** (i - decades + 1) * (edges[1:] + edges[:-1]) / 2
        found += middles.tolist() + ((-middles).tolist() if signed else [])
    assert len(found) == 2**bits
    return torch.tensor(sorted(found), dtype=torch.float64)


def nearest(x: Tensor, table: Tensor) -> Tensor:
    """For each x the distance to the nearest value of the table."""
    return (x.double().unsqueeze(-1) - table).abs().amin(-1)
