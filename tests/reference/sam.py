"""SAM: the gradient is taken where the loss is locally worst. Around SGD with momentum.

Sources:
- Foret, Kleiner, Mobahi and Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving
  Generalization" (2021), https://arxiv.org/abs/2010.01412
- Kwon, Kim, Park and Choi, "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep
  Neural Networks" (2021), https://arxiv.org/abs/2102.11600 (`adaptive=True`)
- popular code https://github.com/davda54/sam

    e = ρ T² g / (‖T g‖ + 1e-12)         g = ∇f(w), the norm over all parameters; T = 1, or |w| if adaptive
    w ← the inner optimizer's step from w with ∇f(w + e)

The 1e-12 is the code's. ASAM's paper and authors' code use T = |w| + η with η = 0.01 and leave biases
unscaled; davda54/sam has T = |w| for all, kept here as η = 0 (`eta`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient(loss: Callable[[list[Tensor]], Tensor], params: list[Tensor]) -> list[Tensor]:
    leaves = [w.detach().clone().requires_grad_() for w in params]
    return list(torch.autograd.grad(loss(leaves), leaves))


def reference(
    params: list[Tensor],
    loss: Callable[[list[Tensor]], Tensor],
    steps: int,
    lr: float = 0.1,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    rho: float = 0.05,
    adaptive: bool = False,
    eta: float = 0.0,
) -> list[Tensor]:
    buffers = [torch.zeros_like(w) for w in params]
    for _ in range(steps):
        grads = gradient(loss, params)
        scales = [w.abs() + eta if adaptive else torch.ones_like(w) for w in params]
        norm = torch.stack([(s * g).norm() for s, g in zip(scales, grads)]).norm() + 1e-12
        worst = [w + rho * s**2 * g / norm for w, s, g in zip(params, scales, grads)]
        grads = [g + weight_decay * w for w, g in zip(params, gradient(loss, worst))]
        buffers = [momentum * b + g for b, g in zip(buffers, grads)]
        params = [w - lr * b for w, b in zip(params, buffers)]
    return params
