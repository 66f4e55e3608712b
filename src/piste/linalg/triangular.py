"""Products of upper triangular matrices, which have zeros to skip, and a bound on the norm of a sum of Gram matrices.

No product of triangular matrices is at hand in torch, so large ones are taken in strips of which the zero blocks are
left out: in four strips 5/8 of the flops for a triangular matrix times a full one and 5/16 for two triangular ones.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from .products import symmetric

BLOCK = 64  # rows of a triangular system whose block on the diagonal is inverted


def upper_times(q: Tensor, x: Tensor) -> Tensor:
    """`q x` for an upper triangular q `[..., m, m]`."""
    ends = _ends(q)
    if len(ends) == 2:
        return q @ x
    return torch.cat([q[..., i:j, i:] @ x[..., i:, :] for i, j in itertools.pairwise(ends)], dim=-2)


def lower_times(q: Tensor, x: Tensor) -> Tensor:
    """`qᵀ x` for an upper triangular q."""
    ends = _ends(q)
    if len(ends) == 2:
        return q.mT @ x
    return torch.cat([q[..., :j, i:j].mT @ x[..., :j, :] for i, j in itertools.pairwise(ends)], dim=-2)


def upper_times_upper(a: Tensor, b: Tensor) -> Tensor:
    """`a b` for two upper triangular matrices."""
    ends = _ends(a)
    if len(ends) == 2:
        return a @ b
    made = torch.zeros_like(b)
    for i, j in itertools.pairwise(ends):
        for k, end in itertools.pairwise(ends):
            if end > i:
                made[..., i:j, k:end] = a[..., i:j, i:end] @ b[..., i:end, k:end]
    return made


def upper_gram(q: Tensor) -> Tensor:
    """`qᵀ q` for an upper triangular q."""
    ends = _ends(q)
    if len(ends) == 2:
        return symmetric(q.mT, q)
    made = torch.empty_like(q)
    for i, j in itertools.pairwise(ends):
        for k, end in itertools.pairwise(ends):
            if k <= i:
                block = q[..., :end, i:j].mT @ q[..., :end, k:end]
                made[..., i:j, k:end] = block
                if k < i:
                    made[..., k:end, i:j] = block.mT
    return made


def solve_lower(q: Tensor, x: Tensor) -> Tensor:
    """`q⁻ᵀ x` for an upper triangular q.

    Large systems block by block, with the inverses of the blocks on the diagonal: all is products then.
    """
    m = q.shape[-1]
    if m < 512 or torch.is_grad_enabled():  # blocks are written in place
        return torch.linalg.solve_triangular(q.mT, x, upper=False)
    eye = torch.eye(BLOCK, dtype=q.dtype, device=q.device)
    solved = x.new_empty(x.shape)
    for i, j in itertools.pairwise([*range(0, m, BLOCK), m]):
        inverse = torch.linalg.solve_triangular(q[..., i:j, i:j].mT, eye[: j - i, : j - i], upper=False)
        rest = x[..., i:j, :]
        if i:
            rest = rest - q[..., :i, i:j].mT @ solved[..., :i, :]
        solved[..., i:j, :] = inverse @ rest
    return solved


def gram_norm(*parts: Tensor, rounds: int = 2) -> Tensor:
    """A lower bound `[..., 1, 1]` of the spectral norm of `S = Σ x xᵀ`, which is not formed: ‖S s‖ / ‖s‖ for the s that
    ``rounds`` products with S make of its row with the largest diagonal entry. 0 for S = 0."""

    def product(s: Tensor) -> Tensor:
        return sum((x @ (x.mT @ s) for x in parts), torch.zeros_like(s))

    squares = sum((x.square().sum(-1) for x in parts), torch.zeros_like(parts[0][..., 0]))
    row = squares.argmax(-1, keepdim=True).unsqueeze(-1)
    s = sum(
        (x @ x.gather(-2, row.expand(*row.shape[:-1], x.shape[-1])).mT for x in parts),
        torch.zeros_like(squares.unsqueeze(-1)),
    )
    for _ in range(rounds):
        norm = torch.linalg.vector_norm(s, dim=(-2, -1), keepdim=True)
        s = product(s / torch.where(norm > 0, norm, 1.0))
    return torch.linalg.vector_norm(s, dim=(-2, -1), keepdim=True)


def _ends(q: Tensor) -> list[int]:
    """Where the strips end, from 0."""
    m = q.shape[-1]
    count = 1 if m < 512 else 4
    return [m * i // count for i in range(count + 1)]
