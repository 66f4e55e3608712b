"""Eigenbases of symmetric matrices `[..., n, n]`: computed afresh, or followed by one cheap step.

A preconditioner's eigenbasis moves slowly, so one step of orthogonal iteration from the last basis `Q`,

    λ̂ = diag(Qᵀ A Q),    Q ← the orthogonal factor of (A Q)[:, argsort λ̂ descending],

follows it at the price of one product and one QR. Columns are kept in descending order, because orthogonal
iteration converges column by column from the left; whatever was stored in the old basis must be permuted by
the same order.

Sources: Golub and Van Loan, "Matrix Computations" (4th ed. 2013), section 8.2; Vyas et al., "SOAP: Improving
and Stabilizing Shampoo using Adam" (2024), https://arxiv.org/abs/2409.11321, algorithm 4, and the authors'
code, https://github.com/nikhilvyas/SOAP, which adds the reordering.
"""

from __future__ import annotations

import torch
from torch import Tensor


def eigenbasis(a: Tensor) -> Tensor:
    """Orthonormal eigenvectors of each symmetric matrix as columns, the largest eigenvalue first.

    Signs, and the choice inside an eigenspace, are the decomposition's own. In float64: in float32 LAPACK fails to
    converge on the statistics of an embedding, most rows of which are zero.
    """
    return torch.linalg.eigh(a.double()).eigenvectors.flip(-1).to(a.dtype)


def orthogonal_iteration(a: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """One step from the orthonormal basis `q` towards the eigenbasis of `a`: `(new basis, order)`.

    `order [..., n]` says which old column stands behind each new one: with it, a statistic `v` kept along
    that axis becomes `v.index_select(axis, order)`.
    """
    wide = torch.promote_types(a.dtype, torch.float32)
    turned = a.to(wide) @ q.to(wide)
    estimates = (q.to(wide) * turned).sum(-2)
    order = estimates.argsort(dim=-1, descending=True, stable=True)
    sorted_columns = torch.take_along_dim(turned, order.unsqueeze(-2), dim=-1)
    return torch.linalg.qr(sorted_columns).Q.to(q.dtype), order
