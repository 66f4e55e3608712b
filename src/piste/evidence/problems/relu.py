"""Small ReLU networks whose global optimum is known."""

from __future__ import annotations

import torch
from torch import Tensor

from ..convex_relu import admm, network, objective, patterns, task
from ..problem import Problem, problem


@problem
def relu_network(width: int = 16, rows: int = 6, seed: int = 0, beta: float = 0.1) -> Problem:
    """f = ½‖Σⱼ (X uⱼ)₊ αⱼ - y‖² + β/2 Σ (‖uⱼ‖² + αⱼ²) on points of the line with a bias; the minimum is that of the
    convex program over all activation patterns, not said where the network is narrower than what it needs. The start is
    normal."""
    x, y = task(rows, seed)
    first, second = network(admm(x, y, patterns(x)[0], beta, rho=0.03).weights)
    random = torch.Generator().manual_seed(seed + 1)
    start = torch.randn(3 * width, generator=random, dtype=torch.float64) / width**0.5

    def loss(flat: Tensor) -> Tensor:
        return objective(flat[: 2 * width].view(width, 2), flat[2 * width :], x, y, beta)

    def turned(flat: Tensor) -> Tensor:
        """The neurons in another order."""
        return torch.cat([flat[: 2 * width].view(width, 2).roll(1, 0).flatten(), flat[2 * width :].roll(1)])

    best = None
    if len(second) <= width:
        spare = width - len(second)
        best = torch.cat([first.flatten(), first.new_zeros(2 * spare), second, second.new_zeros(spare)])
    return Problem(
        "ReLU network", loss, start, None if best is None else float(loss(best)), best,
        symmetries={"order of neurons": turned}, shapes={"first": (width, 2), "second": (width,)},
    )  # fmt: skip
