"""StableMax: a softmax that large logits do not collapse, and how far a softmax has collapsed.

In floating point softmax's sum over exp(z - max z) is exactly 1 once the largest logit stands far enough above the
others: they are absorbed, and the loss of a sample that is right is exactly 0, and so is its gradient (*Softmax
Collapse*: a distance of 17 suffices in float32 with two classes, 37 in float64, 8 in float16). StableMax grows linearly
where softmax grows exponentially:

    s(z) = z + 1 for z ≥ 0, 1 / (1 - z) below;    StableMax(z)_i = s(z_i) / Σ_j s(z_j)

Reference: "Grokking at the Edge of Numerical Stability", Lucas Prieto, Melih Barsbey, Pedro A.M. Mediano, Tolga Birdal,
2025, https://arxiv.org/abs/2501.04697

The authors' code (LucasPrietoAl/grokking-at-the-edge-of-numerical-stability at 0cc9e8d) takes the logarithm of s(z) and
casts to float64; log s(z) = sign(z) log(1 + |z|) needs neither. Its derivative at 0 is 1 from both sides. For the other
cure, gradients without their part along the weights, see :class:`piste.OrthogradAdamW`, and the transform
``watch_alignment`` for how far the gradient points along the weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

REDUCTIONS = ("mean", "sum", "none")


def log_stablemax(logits: Tensor, dim: int = -1) -> Tensor:
    """log s(z_i) - log Σ_j s(z_j), in at least float32."""
    logits = _wide(logits)
    up, down = logits.clamp(min=0), (-logits).clamp(min=0)
    size = torch.where(logits >= 0, up + 1, 1 / (1 + down))
    return torch.where(logits >= 0, up.log1p(), -down.log1p()) - size.sum(dim, keepdim=True).log()


def stablemax(logits: Tensor, dim: int = -1) -> Tensor:
    """s(z_i) / Σ_j s(z_j): positive numbers that add up to 1."""
    return log_stablemax(logits, dim).exp()


def stablemax_cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """-log StableMax(z)_y over the last axis of ``logits``, in the place of ``torch.nn.functional.cross_entropy``.

    ``labels``: whole numbers of the shape before that axis. ``reduction``: "mean", "sum" or "none". Errors: ValueError
    for another reduction, or for labels of another shape.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels are one number for each row of logits, of shape {tuple(logits.shape[:-1])}; "
            f"got {tuple(labels.shape)}"
        )
    each = -log_stablemax(logits).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return each if reduction == "none" else each.mean() if reduction == "mean" else each.sum()


def softmax_collapse(logits: Tensor, dtype: torch.dtype | None = None) -> float:
    """The share of samples (rows over the last axis) whose Σ exp(z - max z) is exactly 1 in ``dtype``, that of the
    logits unless given: of those that are right among them softmax's cross-entropy and its gradient are exactly 0."""
    with torch.no_grad():
        logits = logits if dtype is None else logits.to(dtype)
        shifted = logits - logits.amax(-1, keepdim=True)
        return float((shifted.exp().sum(-1) == 1).double().mean())


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
