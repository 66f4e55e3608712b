"""Fitting a photograph: a network from coordinates to colours, on scikit-learn's picture of a flower."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..task import Data, Task

FREQUENCIES = 64
STRIDE = 4  # every fourth pixel in both directions: 106 × 160


class FourierMLP(nn.Module):
    """Coordinates [batch, 2] to colours [batch, 3] through the same random Fourier features for every seed.

    Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
    2020, https://arxiv.org/abs/2006.10739.
    """

    frequencies: Tensor

    def __init__(self, width: int = 96, scale: float = 6.0) -> None:
        super().__init__()
        fixed = torch.Generator().manual_seed(0)  # features are part of the task, not of the seed
        self.register_buffer("frequencies", torch.randn(2, FREQUENCIES, generator=fixed) * scale)
        self.layers = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, 3),
        )  # fmt: skip

    def forward(self, places: Tensor) -> Tensor:
        angles = 2 * torch.pi * places @ self.frequencies
        return self.layers(torch.cat((angles.cos(), angles.sin()), dim=-1))


@cache
def image_data() -> Data:
    """Coordinates in [0, 1] and colours in [-1, 1]; a fixed tenth of the pixels is held out."""
    from sklearn.datasets import load_sample_image

    picture = (
        torch.from_numpy(np.array(load_sample_image("flower.jpg")))[::STRIDE, ::STRIDE].float() / 127.5 - 1
    )
    height, width, _ = picture.shape
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    places, colours = torch.stack((rows, columns), -1).flatten(0, 1), picture.flatten(0, 1)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(places)))
    held, kept = order[: len(order) // 10], order[len(order) // 10 :]
    mean = colours[kept].mean(0)
    return Data(
        train=(places[kept], colours[kept]),
        valid=(places[held], colours[held]),
        source=f"scikit-learn's flower.jpg, {width} × {height} pixels, a tenth held out",
        baselines={"mean colour": float((colours[held] - mean).square().mean())},
    )


def colour_loss(model: nn.Module, places: Tensor, colours: Tensor) -> Tensor:
    return F.mse_loss(model(places), colours)


def image_task() -> Task:
    """Fit a photograph with a Fourier-feature MLP."""
    return Task(
        name="image",
        description="fitting a photograph: MLP of 3 × 96 ReLU units on 64 random Fourier features",
        model=FourierMLP,
        data=image_data,
        loss=colour_loss,
        steps=1000,
        batch=512,
        kind="image",
        metric="validation mean squared error (colours in [-1, 1])",
    )
