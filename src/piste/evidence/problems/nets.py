"""The smallest networks."""

from __future__ import annotations

import torch

from ..problem import Problem, problem


@problem
def valley(high: float = 2.0) -> Problem:
    """f(x, y) = ½ (xy - 1)², a linear network of one number and two layers: a curve of minima, where the largest
    eigenvalue of the Hessian is x² + y², flattest at ±(1, 1).

    The start lies beside a minimum that is steeper the larger ``high``."""
    return Problem(
        "valley",
        lambda p: (p[0] * p[1] - 1).square() / 2,
        torch.tensor([high, 1 / high + 0.05], dtype=torch.float64),
        0.0,
        torch.ones(2, dtype=torch.float64),
        symmetries={"the layers change places": lambda p: p.flip(0), "both change signs": lambda p: -p},
    )
