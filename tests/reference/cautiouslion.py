"""C-Lion as its authors have it: `cautious.py` has the loop."""

from __future__ import annotations

from torch import Tensor

from . import cautious


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return cautious.reference(params, grads, rule="lion", scale="paper", **hyper)  # type: ignore[arg-type]


def sequences(lr: float, betas: tuple[float, float], weight_decay: float) -> None:
    """The hyperparameters it knows."""
