"""Lion-𝒦."""

from __future__ import annotations

from collections.abc import Callable

from .._define import optimizer
from .._registry import unknown
from .._transform import Chain, Part, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.kappa import (
    clip_to_sign,
    scale_by_lion_kappa,
    sign_beyond,
    soften_sign,
    take_unit,
    take_unit_rows,
)
from ..transforms.norms import take_sign
from ..transforms.spectral import orthogonalize_by_polar_express

POLAR_STEPS = 8  # reach the polar factor to rounding
KAPPAS: dict[str, Callable[[float], Part]] = {
    "sign": lambda width: take_sign(),
    "sparse": sign_beyond,
    "huber": clip_to_sign,
    "entropy": soften_sign,
    "l2": lambda width: take_unit(),
    "group": lambda width: take_unit_rows(),
    "spectral": lambda width: orthogonalize_by_polar_express(POLAR_STEPS),
}


@optimizer
def LionK(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    kappa: str = "sign",
    width: float = 1e-3,
) -> Chain:
    """Lion with another convex function K in the place of ‖·‖₁, and so another set that decay keeps the weights in.

        p ← p - η (∇K(β₁m + (1-β₁)g) + λp);   m ← β₂m + (1-β₂)g

    It solves min f(p) + K*(λp)/λ, K* the conjugate: a constraint that 1/λ sets the size of, and with some κ a cost in
    it. The weights come within it by a factor 1 - ηλ a step, whatever the gradients. With e = ``width``:

        kappa       ∇K(m)               constraint, by tensor         cost K*(λp)
        "sign"      sign m              |p_ij| ≤ 1/λ                  0             (Lion)
        "sparse"    sign m [|m| > e]    |p_ij| ≤ 1/λ                  e ‖λp‖₁
        "huber"     clamp(m/e, ±1)      |p_ij| ≤ 1/λ                  e/2 ‖λp‖²
        "entropy"   tanh(m/e)           |p_ij| ≤ 1/λ                  e Σ ½[(1+y) ln(1+y) + (1-y) ln(1-y)], y = λp
        "l2"        m/‖m‖               ‖p‖₂ ≤ 1/λ                    0
        "group"     mᵢ/‖mᵢ‖, by rows    ‖pᵢ‖₂ ≤ 1/λ for every row     0
        "spectral"  UVᵀ, m = USVᵀ       σ_max(p) ≤ 1/λ                0             (Muon, "Nesterov" with β₁ ≠ β₂)

    When: where the constraint is what one wants of the weights. Rates: "sign", "sparse", "huber" and "entropy" as
    Lion's; "l2" moves a tensor of d weights by η in all, so that it wants √d times the rate, "group" √n times for rows
    of n, "spectral" Muon's. ``width`` is in units of the gradient.

    Reference: "Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts", Lizhang Chen, Bo Liu, Kaizhao
    Liang, Qiang Liu, 2023, https://arxiv.org/abs/2310.05898

    With "sign" equal to :class:`Lion`. No code of the authors for other κ was found; the paper's table of them was not
    read: these are subgradients of the functions that its text names, and "entropy" and "sparse" are from memory. The
    polar factor is that of 8 steps of Polar Express (bf16 on a GPU). A vector is one row.
    """
    if kappa not in KAPPAS:
        raise ValueError(f"LionK: {unknown('kappa', kappa, KAPPAS)}")
    if not width > 0:
        raise ValueError(f"LionK: width must be positive, got {width}; for a hard sign take kappa='sign'")
    return chain(scale_by_lion_kappa(KAPPAS[kappa](width), *betas), decay_weights(weight_decay), descend(lr))
