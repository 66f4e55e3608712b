"""Addition modulo d, learned by two-layer networks of squares."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem

Network = tuple[
    Tensor, Tensor, Tensor
]  # w_a, w_b and w_c: a row for every hidden unit, a column for every residue


def answers(net: Network) -> Tensor:
    """Σ_j w_c,j (w_a,j[a] + w_b,j[b])² for all a and b, less its mean over the residues: [a, b, c]."""
    a, b, c = net
    hidden = (a[:, :, None] + b[:, None, :]).square()
    return torch.einsum("jab,jc->abc", hidden, c - c.mean(1, keepdim=True))


def truth(d: int) -> Tensor:
    """1 - 1/d where c = a + b modulo d, and -1/d elsewhere."""
    residues = torch.arange(d)
    sums = (residues[:, None] + residues) % d
    return torch.nn.functional.one_hot(sums, d).double() - 1 / d


@problem
def modular_addition(d: int = 5, units: int = 24, weight: float = 0.0, seed: int = 0) -> Problem:
    """f = Σ (answers - truth)² + λ/2 Σ w² over all pairs of residues modulo an odd d. Without λ the minimum is 0 for 3
    (d - 1) units or more: 6 for every frequency, of products of a unit of order 2 and one of order 3. The start is
    Gaussian with the deviation 0.05.

    Source: "Composing Global Optimizers to Reasoning Tasks via Algebraic Objects in Neural Nets", Yuandong Tian, 2024.
    """
    target, random = truth(d), torch.Generator().manual_seed(seed)

    def loss(x: Tensor) -> Tensor:
        a, b, c = x.view(3, units, d).unbind()
        return (answers((a, b, c)) - target).square().sum() + 0.5 * weight * x.square().sum()

    known = weight == 0 and units >= 3 * (d - 1)
    return Problem(
        f"addition modulo {d}", loss, 0.05 * torch.randn(3 * units * d, generator=random, dtype=torch.float64),
        0.0 if known else None, symmetries={"order of units": lambda x: x.view(3, units, d).roll(1, 1).flatten()},
        shapes={"a": (units, d), "b": (units, d), "c": (units, d)},
    )  # fmt: skip
