"""The step that is best where residuals are taken to be linear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import oracle


@oracle(provides=("loss", "vector"), whole="always")
def prox_linear(evaluate: Any, params: Sequence[Tensor], *, lr: float, sweeps: int = 50) -> Any:
    """The residuals' mean size 1/n Σ |rᵢ|, and u such that the step d = -ηu is

        argmin 1/n Σ |rᵢ + (Jd)ᵢ| + ‖d‖²/2η,    J = ∂r/∂w

    found from its dual, u = Jᵀy with |yᵢ| ≤ 1/n, one coordinate of y after another, ``sweeps`` times at most: exact
    after the first for one residual and where J's rows are orthogonal. J is made row by row: n copies of the weights,
    so the batches are to be small. Needs ``piste.closure(..., residuals=True)`` and whole weights.

    Reference: "Stochastic model-based minimization of weakly convex functions", Damek Davis, Dmitriy Drusvyatskiy,
    2019, https://arxiv.org/abs/1803.06523
    """
    evaluate.refuse_residuals()
    _, grads = evaluate()
    live = [i for i, g in enumerate(grads) if g is not None]
    if not live:
        return torch.zeros(()), grads, None

    def linearized(weights: Sequence[Tensor], _: Any) -> tuple[Tensor, Tensor]:
        r = torch.cat([evaluate.closure.residual(batch).flatten() for batch in evaluate.closure.batches])
        moving = [weights[i] for i in live]
        each = [torch.autograd.grad(one, moving, retain_graph=True, allow_unused=True) for one in r.unbind()]
        rows = [
            torch.cat(
                [
                    torch.zeros_like(p).flatten() if g is None else g.flatten()
                    for g, p in zip(gs, moving, strict=True)
                ]
            )
            for gs in each
        ]
        return r.detach(), torch.stack(rows)

    r, rows = evaluate._differentiated(linearized, ())
    u = rows.mT @ _dual(r.to(rows.dtype), rows @ rows.mT, float(lr), sweeps)
    found: list[Tensor | None] = [None] * len(params)
    for i, part in zip(live, u.split([params[i].numel() for i in live]), strict=True):
        found[i] = part.view_as(params[i])
    return r.abs().mean(), grads, found


def _dual(r: Tensor, gram: Tensor, lr: float, sweeps: int) -> Tensor:
    """argmax ⟨y, r⟩ - η/2 yᵀKy over |yᵢ| ≤ 1/n, by exact steps along coordinates."""
    most = 1 / len(r)
    y, left = torch.zeros_like(r), r.clone()  # left: r - ηKy
    for _ in range(sweeps):
        before = y.clone()
        for i in range(len(r)):
            curve = lr * gram[i, i]
            best = y[i] + left[i] / curve if curve > 0 else left[i].sign() * most
            new = best.clamp(-most, most)
            left = left - lr * gram[:, i] * (new - y[i])
            y[i] = new
        if torch.equal(before, y):
            break
    return y
