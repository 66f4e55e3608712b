"""The slope at the true labels, and curvature at labels drawn from the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .._transform import oracle


def _always(step: int) -> bool:
    return True


@oracle
def drawn_labels(evaluate: Any, params: Sequence[Tensor], *, refresh: bool = _always) -> Any:  # type: ignore[assignment]
    """The gradient; where ``refresh`` holds, the statistics of layers come from labels drawn from the model.

    So they are those of the Fisher matrix and not of its empirical stand-in, which takes the true labels. A second
    evaluation in such a step, of ``piste.closure(..., sampled=...)``.

    Reference: "Limitations of the Empirical Fisher Approximation for Natural Gradient Descent", Frederik Kunstner,
    Lukas Balles, Philipp Hennig, 2019, https://arxiv.org/abs/1905.12558
    """
    if refresh:
        evaluate.sampled()  # first: the first evaluation of a step is the one that is heard
    return evaluate()
