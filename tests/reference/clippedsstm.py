"""clipped-SSTM: the similar triangles method on clipped gradients.

Source: Gorbunov, Danilova and Gasnikov, "Stochastic Optimization with Heavy-Tailed Noise via Accelerated Gradient
Clipping" (2020), https://arxiv.org/abs/2005.10785; authors' code
https://github.com/eduardgorbunov/accelerated_clipping, which this file follows

    α_{k+1} = (k + 2) / 2aL        A_{k+1} = A_k + α_{k+1}        λ_{k+1} = B / α_{k+1}
    x = (A_k y + α_{k+1} z) / A_{k+1}
    z ← z - α_{k+1} clip(∇f(x), λ_{k+1})        y ← (A_k y + α_{k+1} z) / A_{k+1}

for k = 0, 1, …; here η = 1 / aL, c = B / η. What the model holds is x, so the answer is that of the step to come;
`points` gives y as well.
"""

from __future__ import annotations

from torch import Tensor

CASE = dict(hyper={"lr": 0.05, "max_norm": 20.0})


def points(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, max_norm: float = 1.0
) -> tuple[list[Tensor], list[Tensor]]:
    """x of the next step, and y."""
    y, z, total = list(params), list(params), 0.0
    for k, row in enumerate(grads):
        alpha = (k + 2) * lr / 2
        size = float(sum((g**2).sum() for g in row)) ** 0.5
        scale = min(1.0, max_norm * lr / alpha / size)
        z = [b - alpha * scale * g for b, g in zip(z, row)]
        y = [(total * a + alpha * b) / (total + alpha) for a, b in zip(y, z)]
        total += alpha
    alpha = (len(grads) + 2) * lr / 2
    return [(total * a + alpha * b) / (total + alpha) for a, b in zip(y, z)], y


def reference(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-2, max_norm: float = 1.0
) -> list[Tensor]:
    return points(params, grads, lr, max_norm)[0]
