"""LDoG: DoG for every tensor by itself.

Source: as DoG's; the last part of the paper's section 4 and the class LDoG of the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from reference import dog

CASE = {"hyper": {"reps_rel": 1e-2}}
sequences = dog.sequences  # the same hyperparameters


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    return [dog.reference([x], [[row[i]] for row in grads], **hyper)[0] for i, x in enumerate(params)]
