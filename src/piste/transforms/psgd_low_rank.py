"""PSGD on all weights as one vector: a diagonal with a change of low rank, moving in its Lie group."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._transform import factor, mean, probe, scalar, transform
from ._numbers import where
from .kron import damped, longest
from .psgd import always, at_first, never


def _has_rank(m: int, n: int, hyper: Any) -> bool:
    return hyper["rank_of_approximation"] > 0


SLOTS: dict[str, Any] = {
    "U": factor("rank_of_approximation m n", when=_has_rank),
    "V": factor("rank_of_approximation m n", when=_has_rank),
    "d": factor("m n", fill=1.0),
    "L_U": scalar,
    "L_V": scalar,
    "L_d": scalar,
}


class LowRank(NamedTuple):
    """Q = (1 + UVᵀ) diag(d), the columns of U and V kept as rows [r, n], and the curvatures of the fit."""

    U: Tensor | None
    V: Tensor | None
    d: Tensor
    L_U: Tensor
    L_V: Tensor
    L_d: Tensor


class Tree(NamedTuple):
    """What reaches over all weights: inner products, and the size of the largest entry."""

    dot: Callable[[Tensor, Tensor], Tensor]
    peak: Callable[[Tensor], Tensor]


def _add(x: Tensor, left: Tensor | None, right: Tensor | None, dot: Any) -> Tensor:
    """(1 + left rightᵀ) x."""
    return x if left is None or right is None else x + dot(right, x) @ left


def precondition(q: LowRank, x: Tensor, dot: Any) -> Tensor:
    """QᵀQ x."""
    return q.d * _add(_add(q.d * x, q.U, q.V, dot), q.V, q.U, dot)


def start(q: LowRank, noise: Tensor, dot: Any) -> LowRank:
    """Random U and V of norm √0.1, out of one random number per weight: k cycles of a cosine and of a sine of where it
    lies among its kind are orthogonal for k = 1 … r."""
    if q.U is None:
        return q
    turns = torch.arange(1, len(q.U) + 1, dtype=noise.dtype, device=noise.device)
    angle = math.pi * (1 + torch.special.erf(noise / math.sqrt(2))) * turns.unsqueeze(-1)
    u, v = (x * (0.1 / dot(x, x).trace()).sqrt() for x in (angle.cos(), angle.sin()))
    return q._replace(U=u, V=v)


def first_size(h: Tensor, v: Tensor | None, damping: Any, scale: Any, dot: Any) -> Any:
    """How large Q begins: ``scale``, or where that is 0 what fits the first pair, (E v²)^¼ (E h⁴)^-⅛ (1 if h = 0)."""
    ones = torch.ones_like(h)
    count, fourth = dot(ones, ones), dot(h.square(), h.square())
    fits = (fourth / count + damping**4) ** (-1 / 8)
    if v is not None:
        fits = fits * (dot(v, v) / count) ** (1 / 4)
    return where(scale > 0, scale, torch.where(fourth > 0, fits, 1.0))


def _balanced(U: Tensor, V: Tensor, dot: Any) -> tuple[Tensor, Tensor]:
    """U and V nearer to UᵀU = VᵀV, their UVᵀ the same to fourth order."""
    uu, vv = dot(U, U), dot(V, V)
    rho = (uu.trace() / vv.trace()) ** (1 / 4)
    uu, vv = uu / rho.square(), vv * rho.square()
    e = 0.1 * (uu - vv) / (uu.trace() + vv.trace())
    half = 0.5 * e @ e
    U, V = U / rho, V * rho
    return U - (e - half).mT @ U, V + (e + half).mT @ V


def fit(q: LowRank, h: Tensor, v: Tensor, tree: Tree, lr: Any, beta: Any, turn_U: bool) -> LowRank:
    """One step in the group from a pair (h, v): of d always, of U where ``turn_U`` holds, else of V.

    a = Qh;   b = Q⁻ᵀv
    d ← d - μ/ℓ_d (h ⊙ Ph - v ⊙ P⁻¹v) ⊙ d,             ℓ_d ≥ max|h ⊙ Ph| + max|v ⊙ P⁻¹v|
    U ← U - μ/ℓ_U (aaᵀ - bbᵀ) V (1 + VᵀU),             ℓ_U ≥ ‖a‖ ‖VVᵀa‖ + ‖b‖ ‖VVᵀb‖
    V ← V - μ/ℓ_V (1 + VUᵀ) (aaᵀ - bbᵀ) U              likewise
    """
    dot, peak = tree
    U, V, d, L_U, L_V, L_d = q
    if U is not None and V is not None:
        U, V = _balanced(U, V, dot)
    a = _add(d * h, U, V, dot)
    ph = d * _add(a, V, U, dot)
    b, small = v / d, None
    if U is not None and V is not None:
        small = torch.eye(len(U), dtype=U.dtype, device=U.device) + dot(V, U)
        b = b - torch.linalg.solve(small.mT, dot(U, b)) @ V
        back = (b - torch.linalg.solve(small, dot(V, b)) @ U) / d
    else:
        back = b / d
    hph, vpv = h * ph, v * back
    L_d = longest(L_d, peak(hph) + peak(vpv), beta)
    d = d - (lr / L_d).to(d.dtype) * (hph - vpv) * d
    if U is None or V is None or small is None:
        return LowRank(U, V, d, L_U, L_V, L_d)
    other = V if turn_U else U
    at, bt, gram = dot(other, a), dot(other, b), dot(other, other)
    ell = (dot(a, a) * (at @ gram @ at)).sqrt() + (dot(b, b) * (bt @ gram @ bt)).sqrt()
    if turn_U:
        L_U = longest(L_U, ell, beta)
        U = U - (lr / L_U).to(d.dtype) * (torch.outer(at @ small, a) - torch.outer(bt @ small, b))
    else:
        L_V = longest(L_V, ell, beta)
        V = V - (lr / L_V).to(d.dtype) * (torch.outer(at, a + at @ V) - torch.outer(bt, b + bt @ V))
    return LowRank(U, V, d, L_U, L_V, L_d)


@transform(scope="tree", holds=("inner",), only={"noise": "refresh"}, **SLOTS)
def whiten_by_low_rank(
    g: Tensor, noise: Tensor | None, inner: Any, dot: Any, peak: Any, U: Tensor | None, V: Tensor | None, d: Tensor,
    L_U: Tensor, L_V: Tensor, L_d: Tensor, *,
    rank_of_approximation: int = 10, lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0, refresh: bool = always, turn_U: bool = never,  # type: ignore[assignment]
    first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """u = P inner(g), P = QᵀQ fitted so that it whitens g, over all weights as one vector: Q = (1 + UVᵀ) diag(d).

        h = g + δv,   v ~ N(0, 1) drawn anew;   a = Qh;   b = Q⁻ᵀv
        d ← d - μ/ℓ_d (h ⊙ Ph - v ⊙ P⁻¹v) ⊙ d
        U ← U - μ/ℓ_U (aaᵀ - bbᵀ) V (1 + VᵀU)   where ``turn_U`` holds, else   V ← V - μ/ℓ_V (1 + VUᵀ) (aaᵀ - bbᵀ) U

    where ``refresh`` holds. Rank 0 leaves the diagonal alone.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    """
    q = LowRank(U, V, d, L_U, L_V, L_d)
    if first and noise is not None:
        q = start(q, noise, dot)._replace(d=d * first_size(g, None, damping, preconditioner_init_scale, dot))
    if refresh and noise is not None:
        q = fit(q, damped(g, noise, damping), noise, Tree(dot, peak), lr_preconditioner, betaL, turn_U)
    return precondition(q, inner(g), dot), *q


@transform(scope="tree", holds=("inner",), **SLOTS)
def newton_by_low_rank(
    g: Tensor, hvp: Tensor | None, vector: Tensor | None, noise: Tensor, inner: Any, dot: Any, peak: Any,
    U: Tensor | None, V: Tensor | None, d: Tensor, L_U: Tensor, L_V: Tensor, L_d: Tensor, *,
    rank_of_approximation: int = 10, lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0, turn_U: bool = never, first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """u = P inner(g), P → |H|⁻¹: the fit of :func:`whiten_by_low_rank` from pairs of a vector and the Hessian's product
    with it in place of (v, g), in the steps in which an oracle gives one.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    """
    q = LowRank(U, V, d, L_U, L_V, L_d)
    if first:
        q = start(q, noise, dot)
    if hvp is not None and vector is not None:
        if first:
            q = q._replace(d=d * first_size(hvp, vector, damping, preconditioner_init_scale, dot))
        q = fit(q, damped(hvp, noise, damping), vector, Tree(dot, peak), lr_preconditioner, betaL, turn_U)
    return precondition(q, inner(g), dot), *q


@transform(
    invariant=("sign",), sums={"mean_sq": mean(lambda u: u.square(), over="tree")}, clips=True, clipped=probe
)
def clip_by_tree_amplitude(
    u: Tensor, mean_sq: Tensor, clipped: Tensor | None, *, max_average: float = 2.0, max_element: float = 10.0
) -> Any:
    """u min(1, a/rms(u)), the mean being over all parameters, its entries then held to [-c, c].

    Reference: "Stochastic Hessian Fittings with Lie Groups", Xi-Lin Li, 2024, https://arxiv.org/abs/2402.11858
    """
    rms = mean_sq.sqrt()
    above = rms > max_average
    u = u * torch.where(above, max_average / torch.where(above, rms, 1.0), 1.0)
    share = None if clipped is None else above.to(torch.float64).mean()
    return torch.where(u.abs() > max_element, u.sign() * max_element, u), share
