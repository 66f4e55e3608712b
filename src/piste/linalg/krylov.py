"""Lanczos: what a symmetric matrix does to one vector, from its products alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis V [k, n] of span(b, Ab, …), T = V A Vᵀ [k, k] in float64 on the host, and ‖b‖."""

    basis: Tensor
    projected: Tensor
    length: float

    def apply(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """f(A) b, for f of the eigenvalues: exact for polynomials of a degree below k, and where Krylov's space is
        exhausted."""
        values, vectors = torch.linalg.eigh(self.projected)
        first = vectors @ (function(values) * vectors[0])
        return self.length * (first.to(self.basis) @ self.basis)

    def ritz(self) -> tuple[Tensor, Tensor]:
        """Approximate eigenvalues of A, ascending, on the host, and unit eigenvectors as rows [k, n]."""
        values, vectors = torch.linalg.eigh(self.projected)
        return values, vectors.mT.to(self.basis) @ self.basis


def lanczos(
    product: Callable[[Tensor], Tensor], b: Tensor, dots: Callable[[Tensor, Tensor], Tensor], size: int,
    tolerance: float = 0.0,
) -> Krylov:  # fmt: skip
    """At most ``size`` products of A with vectors [n], every new one made orthogonal to all before it, twice.

    ``dots(rows [k, n], x [n])``: scalar products, on the host in float64 (a vector may be a part of one that lives on
    several ranks). It ends where the next basis vector is shorter than rounding allows, or where A x = b is solved to
    ‖Ax - b‖ ≤ ``tolerance`` ‖b‖ in the space.
    """
    length = float(dots(b.unsqueeze(0), b)) ** 0.5
    if length == 0 or not length < float("inf"):
        return Krylov(b.unsqueeze(0), torch.zeros(1, 1, dtype=torch.float64), length)
    rows, diagonal, beside = [b / length], [], []
    floor = 16 * torch.finfo(b.dtype).eps
    while True:
        basis = torch.stack(rows)
        w = product(rows[-1])
        size_of_w = float(dots(w.unsqueeze(0), w)) ** 0.5
        along = torch.zeros(len(rows), dtype=torch.float64)
        for _ in range(2):
            part = dots(basis, w)
            along, w = along + part, w - part.to(w) @ basis
        diagonal.append(float(along[-1]))
        rest = float(dots(w.unsqueeze(0), w)) ** 0.5
        projected = _tridiagonal(diagonal, beside)
        if len(rows) == size or not rest > floor * size_of_w or _solved(projected, rest, tolerance):
            return Krylov(basis, projected, length)
        beside.append(rest)
        rows.append(w / rest)


def _tridiagonal(diagonal: list[float], beside: list[float]) -> Tensor:
    t = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if beside:
        off = torch.tensor(beside, dtype=torch.float64)
        t = t + torch.diag(off, 1) + torch.diag(off, -1)
    return t


def _solved(projected: Tensor, rest: float, tolerance: float) -> bool:
    """Whether the residual of A x = b, which is rest · |last entry of T⁻¹e₁|, is small enough."""
    if tolerance <= 0:
        return False
    first = torch.zeros(len(projected), dtype=torch.float64)
    first[0] = 1.0
    solution = torch.linalg.lstsq(projected, first.unsqueeze(1)).solution
    return rest * abs(float(solution[-1])) <= tolerance
