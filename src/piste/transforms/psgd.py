"""PSGD on matrices: what a chain makes of the gradient, multiplied by a preconditioner that is fitted as it goes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import transform
from .kron import SLOTS, SYMMETRIC, TRIANGULAR, Group, advance, first_size, load, precondition, save


def at_first(step: int) -> bool:
    return step == 1


def always(step: int) -> bool:
    return True


def never(step: int) -> bool:
    return False


def _whiten(
    group: Group, g: Tensor, x: Tensor, noise: Tensor | None, slots: tuple[Tensor | None, ...], lr: Any, beta: Any,
    damping: Any, scale: Any, refresh: bool, balance: bool, first: bool,
) -> Any:  # fmt: skip
    size = first_size(g, None, damping, scale) if first else None
    h = g if refresh else None
    kron = advance(load(*slots), group, h, None, noise, lr, beta, damping, size, balance)
    return precondition(kron, x, group), *save(kron)


@transform(scope="tensor", holds=("inner",), only={"noise": "refresh"}, **SLOTS)
def whiten_by_kron(
    g: Tensor, noise: Tensor | None, inner: Any, Q_L: Tensor | None, Q_R: Tensor | None, q_L: Tensor | None,
    q_R: Tensor | None, P_L: Tensor | None, P_R: Tensor | None, L_L: Tensor | None, L_R: Tensor | None, *,
    lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9, preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192, preconditioner_max_skew: float = 1.0, cached: bool = False,
    refresh: bool = always, balance: bool = never, first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """u = P inner(g), P = (Q_LᵀQ_L) ⊗ (Q_RᵀQ_R) fitted so that it whitens g, P E[gg'] P = 1, by triangular factors:

        h = g + δv,   v ~ N(0, 1) drawn anew
        A = Q_L h Q_Rᵀ;   B = Q_L⁻ᵀ v Q_R⁻¹
        Q_L ← Q_L - μ/ℓ_L triu(AAᵀ - BBᵀ) Q_L,   ℓ_L ≥ ‖AAᵀ + BBᵀ‖;   Q_R likewise with AᵀA, BᵀB
        u = Q_LᵀQ_L inner(g) Q_RᵀQ_R

    where ``refresh`` holds, from Q = scale · 1. An axis longer than ``preconditioner_max_size``, or whose square is
    more than ``preconditioner_max_skew`` times the matrix's size, has a diagonal factor. Both factors are balanced
    where ``balance`` holds. ``cached`` keeps the products QᵀQ as well: worth it when they are renewed in few steps.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    """
    slots = Q_L, Q_R, q_L, q_R, P_L, P_R, L_L, L_R
    return _whiten(
        TRIANGULAR, g, inner(g), noise, slots, lr_preconditioner, betaL, damping, preconditioner_init_scale, refresh,
        balance, first,
    )  # fmt: skip


@transform(scope="tensor", holds=("inner",), only={"noise": "refresh"}, **SLOTS)
def whiten_by_rotated_kron(
    g: Tensor, noise: Tensor | None, inner: Any, Q_L: Tensor | None, Q_R: Tensor | None, q_L: Tensor | None,
    q_R: Tensor | None, P_L: Tensor | None, P_R: Tensor | None, L_L: Tensor | None, L_R: Tensor | None, *,
    lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9, preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192, preconditioner_max_skew: float = 1.0, cached: bool = False,
    refresh: bool = always, balance: bool = never, first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """As :func:`whiten_by_kron`, by products alone: dQ = Q^½ E Q^1½, the factors kept near symmetric ones.

        A = P h,   h = g + δv
        Q_L ← Q_L - μ/ℓ_L (AAᵀ - n) Q_L,   ℓ_L ≥ ‖AAᵀ‖ + n;   Q_L ← exp(aR) Q_L, R ∝ Q_Lᵀ - Q_L

    the rotation towards a symmetric matrix by the a ≤ 1/8 that serves best. For one factor this is Newton-Schulz's
    iteration for (E gg')^-¼, taken on samples.

    Reference: "Stochastic Hessian Fittings with Lie Groups", Xi-Lin Li, 2024, https://arxiv.org/abs/2402.11858
    """
    slots = Q_L, Q_R, q_L, q_R, P_L, P_R, L_L, L_R
    return _whiten(
        SYMMETRIC, g, inner(g), noise, slots, lr_preconditioner, betaL, damping, preconditioner_init_scale, refresh,
        balance, first,
    )  # fmt: skip


@transform(scope="tensor", holds=("inner",), **SLOTS)
def newton_by_kron(
    g: Tensor, hvp: Tensor | None, vector: Tensor | None, noise: Tensor, inner: Any, Q_L: Tensor | None,
    Q_R: Tensor | None, q_L: Tensor | None, q_R: Tensor | None, P_L: Tensor | None, P_R: Tensor | None,
    L_L: Tensor | None, L_R: Tensor | None, *,
    lr_preconditioner: float = 0.1, betaL: float = 0.9, damping: float = 1e-9, preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192, preconditioner_max_skew: float = 1.0, cached: bool = False,
    balance: bool = never, first: bool = at_first,  # type: ignore[assignment]
) -> Any:  # fmt: skip
    """u = P inner(g), P → |H|⁻¹: the triangular fit of :func:`whiten_by_kron` from pairs of a vector and the Hessian's
    product with it in place of (v, g), in the steps in which an oracle gives one.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    """
    size = first_size(hvp, vector, damping, preconditioner_init_scale) if first and hvp is not None else None
    kron = load(Q_L, Q_R, q_L, q_R, P_L, P_R, L_L, L_R)
    kron = advance(kron, TRIANGULAR, hvp, vector, noise, lr_preconditioner, betaL, damping, size, balance)
    return precondition(kron, inner(g), TRIANGULAR), *save(kron)
