"""A table: forecasting the progression of diabetes from ten measurements."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..task import Data, Task

VALIDATION = 110


@cache
def tabular_data() -> Data:
    """Ten standardised columns and the standardised target, in a fixed shuffled order."""
    from sklearn.datasets import load_diabetes

    columns, target = (np.asarray(part) for part in load_diabetes(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(target))
    x, y = torch.from_numpy(columns[order]).float(), torch.from_numpy(target[order]).float()
    train, valid = slice(0, -VALIDATION), slice(-VALIDATION, None)
    x = (x - x[train].mean(0)) / x[train].std(0)
    y = (y - y[train].mean()) / y[train].std()
    return Data(
        train=(x[train], y[train]),
        valid=(x[valid], y[valid]),
        source=f"scikit-learn's diabetes table, {len(y) - VALIDATION} rows to train and {VALIDATION} to validate",
        baselines={
            "mean": float(y[valid].square().mean()),
            "least squares": _least_squares(x, y, train, valid),
        },
    )


class ResidualMLP(nn.Module):
    """Numbers [batch, 10] to one number [batch]; three residual blocks of width 64."""

    def __init__(self, columns: int = 10, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(columns, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, width),
                nn.GELU(),
                nn.Dropout(0.2),
                nn.Linear(width, width),
            )
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x).squeeze(-1)


def squared_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(model(x), y)


def tabular_task() -> Task:
    """Regression on a small table, where regularisation decides more than the optimizer."""
    return Task(
        name="tabular",
        description="regression on 10 columns: residual MLP, 3 blocks of width 64, dropout",
        model=ResidualMLP,
        data=tabular_data,
        loss=squared_loss,
        steps=300,
        batch=64,
        kind="tabular",
        metric="validation mean squared error (standardised target)",
    )


def _least_squares(x: Tensor, y: Tensor, train: slice, valid: slice) -> float:
    weights = torch.linalg.lstsq(x[train].double(), y[train].double()[:, None]).solution
    return float((x[valid].double() @ weights - y[valid].double()[:, None]).square().mean())
