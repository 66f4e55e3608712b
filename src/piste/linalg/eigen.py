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
from torch.autograd import forward_ad

_SMALL = 256  # rows below which float64 is used whatever comes in


def eigh(a: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors of each symmetric matrix; of a float32 one with at least 256 rows in
    float32, at half the time. Smaller ones cost little in float64, which keeps the digits of roots of ill-conditioned
    statistics (those of a vector's first gradients are singular but for ε).

    LAPACK's float32 routine does not converge on the statistics of an embedding, most rows of which are zero. Raising
    the diagonal by its own rounding error, which is taken off the eigenvalues again, cures it where it was seen; if it
    fails all the same, the matrix goes to float64. Values are then good to a few units of rounding of the largest one.
    Both come in the dtype that was worked in.
    """
    wide = torch.promote_types(a.dtype, torch.float32)
    if wide == torch.float64 or a.shape[-1] < _SMALL:
        return torch.linalg.eigh(a.double())
    a = a.to(wide)
    diagonal = a.diagonal(dim1=-2, dim2=-1)
    raised = torch.finfo(wide).eps * diagonal.abs().amax(-1, keepdim=True)
    try:
        values, vectors = torch.linalg.eigh(torch.diagonal_scatter(a, diagonal + raised, dim1=-2, dim2=-1))
    except torch.linalg.LinAlgError:
        return torch.linalg.eigh(a.double())
    return values - raised, vectors


def eigenbasis(a: Tensor) -> Tensor:
    """Orthonormal eigenvectors of each symmetric matrix as columns, the largest eigenvalue first.

    Signs, and the choice inside an eigenspace, are the decomposition's own.
    """
    return eigh(a)[1].flip(-1).to(a.dtype)


def orthogonal_iteration(a: Tensor, q: Tensor, sort: bool = True) -> tuple[Tensor, Tensor]:
    """One step from the orthonormal basis `q` towards the eigenbasis of `a`: `(new basis, order)`.

    `order [..., n]` says which old column stands behind each new one: with it, a statistic `v` kept along
    that axis becomes `v.index_select(axis, order)`. Without `sort` the columns stay where they are, which is right
    where statistics of them are kept in their old order.
    """
    wide = torch.promote_types(a.dtype, torch.float32)
    rows = q.mT.to(wide) @ a.to(wide)  # (A Q)ᵀ, whose rows lie as LAPACK wants the columns of A Q
    if not sort:
        order = torch.arange(q.shape[-1], device=q.device).expand(q.shape[:-1])
        return orthogonal_factor(rows.mT).to(q.dtype), order
    estimates = (q.to(wide) * rows.mT).sum(-2)
    order = estimates.argsort(dim=-1, descending=True, stable=True)
    return orthogonal_factor(rows.gather(-2, order.unsqueeze(-1).expand_as(rows)).mT).to(q.dtype), order


def orthogonal_factor(a: Tensor) -> Tensor:
    """Q of A = QR for tall or square A. `torch.linalg.qr` clears the part of R below the diagonal as well, which takes
    a sixth of its time at 2048 x 2048; it runs where `torch.geqrf` does not: without data, or where a derivative is
    wanted."""
    differentiated = a.requires_grad or forward_ad.unpack_dual(a).tangent is not None
    if differentiated or a.device.type == "meta" or torch.compiler.is_compiling():
        return torch.linalg.qr(a).Q
    return torch.linalg.householder_product(*torch.geqrf(a))
