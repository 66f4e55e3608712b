"""Small models to merge, in memory and on disk."""

from __future__ import annotations

import torch

from piste import merging


def model(seed: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (4, 3), "norm.weight": (4,), "head.weight": (2, 4)}
    return {name: torch.randn(*shape, generator=g) for name, shape in shapes.items()}


def three_on_disk() -> None:
    """0, 1 and 2 as safetensors, where we are."""
    for i in range(3):
        merging.merge("soup", [model(i)], f"{i}.safetensors")
