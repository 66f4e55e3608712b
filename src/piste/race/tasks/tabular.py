"""A table: from the mean and the spread of ten measurements of a cell's nuclei to their extremes."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..task import Data, Task

VALIDATION = 119
INPUTS = 20  # columns; the ten that follow are to be predicted


@cache
def tabular_data() -> Data:
    """Twenty standardised columns and the ten to predict, in a fixed shuffled order."""
    from sklearn.datasets import load_breast_cancer

    columns, _ = (np.asarray(part) for part in load_breast_cancer(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(columns))
    table = (
        torch.from_numpy(columns[order]).log1p().float()
    )  # sizes and their errors: positive, with long tails
    rows = len(table) - VALIDATION
    table = (table - table[:rows].mean(0)) / table[:rows].std(0)
    x, y = table[:, :INPUTS], table[:, INPUTS:]
    return Data(
        train=(x[:rows], y[:rows]),
        valid=(x[rows:], y[rows:]),
        source=f"scikit-learn's breast-cancer table, {rows} rows to train and {VALIDATION} to validate",
        baselines={"mean": float(y[rows:].square().mean()), "least squares": _least_squares(x, y, rows)},
    )


class ResidualMLP(nn.Module):
    """Numbers [batch, 20] to numbers [batch, 10]; three residual blocks of width 64."""

    def __init__(self, columns: int = INPUTS, outputs: int = 10, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(columns, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def squared_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(model(x), y)


def tabular_task() -> Task:
    """Regression on a small table, where the least squares are hard to beat."""
    return Task(
        name="tabular",
        description="regression from 20 columns to 10: residual MLP, 3 blocks of width 64",
        model=ResidualMLP,
        data=tabular_data,
        loss=squared_loss,
        steps=300,
        batch=64,
        kind="tabular",
        metric="validation mean squared error (standardised columns)",
    )


def _least_squares(x: Tensor, y: Tensor, rows: int) -> float:
    weights = torch.linalg.lstsq(x[:rows].double(), y[:rows].double()).solution
    return float((x[rows:].double() @ weights - y[rows:].double()).square().mean())
