"""Random pairs of columns: one rate for rotations and for projections."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...linalg.jacobi import jacobi, pairwise_gram_schmidt
from ..claim import claim, equal
from .matrices import matrix

PAIRS = "A Unified Perspective on Orthogonalization and Diagonalization"


def left_by_jacobi(a: Tensor, seed: int) -> float:
    """The share of the squares off the diagonal that one sweep of random pairs leaves."""
    _, v = jacobi(a, 1, seed)
    return off(v.mT @ a @ v) / off(a)


def left_by_gram_schmidt(a: Tensor, seed: int) -> float:
    """The same of the columns' Gram matrix, columns being nearly orthogonal."""
    e = torch.linalg.qr(a)[0] + 1e-4 * a
    e = e / e.norm(dim=0)
    q = pairwise_gram_schmidt(e, 1, seed)
    return off(q.mT @ q) / off(e.mT @ e)


def off(a: Tensor) -> float:
    return float((a - torch.diag(a.diagonal())).square().sum())


def the_same_pairs(a: Tensor, seed: int) -> float:
    """What is left when the pairs (1, 2), (3, 4) … are turned again and again."""
    v = torch.block_diag(*(torch.linalg.eigh(a[i : i + 2, i : i + 2])[1] for i in range(0, len(a), 2)))
    return off(v.T @ a @ v) / off(a)


def share(method: Callable[[Tensor, int], float], seed: int) -> float:
    """The mean share that a sweep leaves of an 8 × 8 matrix, over what is predicted: (1 - 1/(n-1))^(n-1)."""
    a = matrix(seed, 8, 8)
    a = a + a.mT
    left = [method(a, 1000 * seed + i) for i in range(100)]
    return math.fsum(left) / len(left) / (1 - 1 / 7) ** 7


@claim(
    "randomised-pivot Jacobi / Gram-Schmidt",
    PAIRS,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.1,
    wrong=the_same_pairs,
    subject=left_by_jacobi,
    seeds=5,
    in_mean=True,
)
def random_rotations_converge_linearly_in_the_mean(method: Any, seed: int) -> float:
    """A rotation of a uniformly random pair takes 2/n(n-1) of the squares off the diagonal in the mean, whatever the
    matrix.

    What a sweep of n - 1 rounds of random matchings leaves, over (1 - 1/(n-1))^(n-1): the mean of 100 draws of the
    pairs on an 8 × 8 matrix.
    """
    return share(method, seed)


@claim(
    "randomised-pivot Jacobi / Gram-Schmidt",
    PAIRS,
    kind="theorem",
    predicts=equal(1.0),
    tolerance=0.1,
    wrong=the_same_pairs,
    subject=left_by_gram_schmidt,
    seeds=5,
    in_mean=True,
)
def random_gram_schmidt_has_jacobis_rate(method: Any, seed: int) -> float:
    """The random rule gives the Gram-Schmidt procedure the rate that it gives Jacobi's method.

    As there, of the squares of the columns' scalar products, for columns that are orthogonal to about 1e-3.
    """
    return share(method, seed)
