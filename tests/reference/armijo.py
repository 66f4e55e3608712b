"""Gradient descent with Armijo backtracking on the mini-batch.

Sources: Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives" (1966),
https://doi.org/10.2140/pjm.1966.16.1; Vaswani et al., "Painless Stochastic Gradient: Interpolation,
Line-Search, and Convergence Rates" (2019), https://arxiv.org/abs/1905.09997; authors' code
https://github.com/IssamLaradji/sls

    η ← the largest of η₀, β η₀, β² η₀, ...  with  f(w - η g) ≤ f(w) - c η ‖g‖²
    w ← w - η g

where η₀ is, by `reset_option`: 0 the last η; 1 (default) the last η times γ^(1 / n_batches_per_epoch); 2 the
initial step size. After 100 failed trials the step is 1e-6; with ‖g‖ < 1e-8 the weights stay and η₀ is kept.

The authors' code defaults to β = 0.9, c = 0.1, γ = 2 and 500 batches per epoch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    init_step_size: float = 1.0,
    c: float = 0.1,
    beta: float = 0.9,
    gamma: float = 2.0,
    n_batches_per_epoch: int = 500,
    reset_option: int = 1,
    max_trials: int = 100,
) -> list[Tensor]:
    eta = init_step_size
    for _ in range(steps):
        leaves = [w.detach().clone().requires_grad_() for w in params]
        value = loss(leaves)
        grads = torch.autograd.grad(value, leaves)
        norm = torch.stack([g.norm() for g in grads]).norm()
        if reset_option == 1:
            eta = eta * gamma ** (1 / n_batches_per_epoch)
        elif reset_option == 2:
            eta = init_step_size
        if norm < 1e-8:
            continue
        taken = 1e-6
        for _ in range(max_trials):
            trial = [w - eta * g for w, g in zip(params, grads)]
            if loss(trial) <= value - c * eta * norm**2:
                taken = eta
                break
            eta = beta * eta
        params = [w - taken * g for w, g in zip(params, grads)]
    return [w.detach() for w in params]
