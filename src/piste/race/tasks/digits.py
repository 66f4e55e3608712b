"""Two tasks on scikit-learn's 1,797 handwritten digits of 8 × 8 pixels."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..task import Data, Task

VALIDATION = 360  # examples held out


def digits() -> tuple[Tensor, Tensor]:
    """Pixels in [-1, 1] as [1797, 64], and labels; in a fixed shuffled order."""
    from sklearn.datasets import load_digits

    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(labels))
    return torch.from_numpy(pixels[order]).float() / 8 - 1, torch.from_numpy(labels[order]).long()


@cache
def autoencoder_data() -> Data:
    pixels, _ = digits()
    train, valid = pixels[:-VALIDATION], pixels[-VALIDATION:]
    return Data(
        train=(train,),
        valid=(valid,),
        source=f"scikit-learn's digits, {len(train):,} to train and {len(valid)} to validate",
        baselines={
            "mean image": float((valid - train.mean(0)).square().mean()),
            "PCA, 8 numbers": _pca(train, valid, 8),
        },
    )


def autoencoder() -> nn.Module:
    """Tanh autoencoder 64-128-64-32-8-32-64-128-64 (linear code and output)."""
    widths = (64, 128, 64, 32, 8, 32, 64, 128, 64)
    layers: list[nn.Module] = []
    for i, (m, n) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(m, n))
        if i < len(widths) - 2:
            layers.append(nn.Tanh())
    return nn.Sequential(*layers)


def reconstruction_loss(model: nn.Module, pixels: Tensor) -> Tensor:
    return F.mse_loss(model(pixels), pixels)


def digits_ae_task() -> Task:
    """Reconstruct digits through a bottleneck of eight numbers."""
    return Task(
        name="digits-ae",
        description="reconstructing 8 × 8 digits: tanh autoencoder 64-128-64-32-8-32-64-128-64",
        model=autoencoder,
        data=autoencoder_data,
        loss=reconstruction_loss,
        steps=800,
        batch=64,
        kind="autoencoder",
        metric="validation mean squared error (pixels in [-1, 1])",
        noise=0.0022,
    )


class DigitViT(nn.Module):
    """Digits [batch, 64] to logits [batch, 10]: 16 patches of 2 × 2, learned positions, two attention blocks."""

    def __init__(self, width: int = 48, heads: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.patch = nn.Linear(4, width)
        self.position = nn.Parameter(torch.randn(16, width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = pixels.view(-1, 4, 2, 4, 2).transpose(2, 3).reshape(-1, 16, 4)
        x = self.patch(patches) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


@cache
def digit_label_data() -> Data:
    pixels, labels = digits()
    return Data(
        train=(pixels[:-VALIDATION], labels[:-VALIDATION]),
        valid=(pixels[-VALIDATION:], labels[-VALIDATION:]),
        source=f"scikit-learn's digits, {len(labels) - VALIDATION:,} to train and {VALIDATION} to validate",
        baselines={"uniform": math.log(10)},
    )


def label_loss(model: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with a tenth of the label smoothed away, so that certainty is not the goal."""
    return F.cross_entropy(model(pixels), labels, label_smoothing=0.1)


def vit_digits_task() -> Task:
    """Classify digits with a small vision transformer."""
    return Task(
        name="vit-digits",
        description="classifying 8 × 8 digits: vision transformer, 16 patches, 2 blocks, width 48",
        model=DigitViT,
        data=digit_label_data,
        loss=label_loss,
        steps=300,
        batch=64,
        kind="vit",
        metric="validation loss (nats, labels smoothed by 0.1)",
    )


def _pca(train: Tensor, valid: Tensor, rank: int) -> float:
    """Error of the best linear code of that size: what the network must beat."""
    mean = train.mean(0)
    basis = torch.linalg.svd((train - mean).double(), full_matrices=False).Vh[:rank]
    centred = (valid - mean).double()
    return float((centred - centred @ basis.T @ basis).square().mean())
