"""Per-coordinate scaling by the diagonal of the Hessian, as an oracle's probes show it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, probe, scalar, square, transform
from ._numbers import debias, inverse, sqrt, wide


@transform(exp_avg=moment, exp_hessian_diag_sq=square, hessian_step=scalar)
def scale_by_adahessian(
    g: Tensor, step: Any, hvp: Tensor | None, vector: Tensor | None, exp_avg: Tensor, exp_hessian_diag_sq: Tensor,
    hessian_step: Tensor, *, beta1: float, beta2: float, eps: float, hessian_power: float = 1.0,
) -> Any:  # fmt: skip
    """Adam whose second moment is of the Hessian's diagonal, seen through probes z:

        m ← β₁m + (1-β₁)g;    v ← β₂v + (1-β₂)(z ⊙ ∇²f z)², in the steps that have a probe
        u = m̂ / ((√v̂)ᵏ + ε),  k = ``hessian_power``

    Reference: "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning", Zhewei Yao, Amir Gholami,
    Sheng Shen, Mustafa Mustafa, Kurt Keutzer, Michael W. Mahoney, 2021, https://arxiv.org/abs/2006.00719
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v, count = exp_hessian_diag_sq, hessian_step
    if hvp is not None and vector is not None:
        v, count = v.lerp((hvp * vector).square(), 1 - beta2), count + 1
    root = v.sqrt() * inverse(sqrt(1 - beta2**count))
    return debias(m, beta1, step) / (root.pow(hessian_power) + eps), m, v, count


@transform(exp_avg=moment, hessian=moment, clipped=probe)
def scale_by_sophia(
    g: Tensor, hvp: Tensor | None, vector: Tensor | None, exp_avg: Tensor, hessian: Tensor, clipped: Any, *,
    beta1: float, beta2: float, rho: float, eps: float = 1e-12,
) -> Any:  # fmt: skip
    """A momentum over an average of the Hessian's diagonal, and no entry above 1:

        m ← β₁m + (1-β₁)g;    h ← β₂h + (1-β₂) z ⊙ ∇²f z, in the steps that have a probe
        u = clip(m / max(ρh, ε), 1)

    Where h is not positive the entry is the momentum's sign. The probe ``clipped`` shows the share of entries at the
    bound (the authors choose ρ so that it is between 0.5 and 0.9).

    Reference: "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training", Hong Liu,
    Zhiyuan Li, David Hall, Percy Liang, Tengyu Ma, 2023, https://arxiv.org/abs/2305.14342
    """
    m = exp_avg.lerp(g, 1 - beta1)
    h = hessian if hvp is None or vector is None else hessian.lerp(hvp * vector, 1 - beta2)
    size = m.abs() / (rho * h).clamp(min=eps)
    share = None if clipped is None else (size >= 1.0).to(torch.float64).mean()
    return m.sign() * size.clamp(max=1.0), m, h, share


@transform(
    scope="tree",
    hessian=moment,
    eta=scalar(shared=True, fill="eta0"),
    theta=scalar(shared=True, fill=1e30),
)
def scale_by_oasis(
    g: Tensor, step: Any, hvp: Tensor, vector: Tensor, secant: Tensor | None, dot: Any, hessian: Tensor, eta: Tensor,
    theta: Tensor, *, beta2: float, alpha: float, eta0: float,
) -> Any:  # fmt: skip
    """A gradient over the size of the Hessian's diagonal, at a rate from the local smoothness in that metric:

        D ← β₂D + (1-β₂) z ⊙ ∇²f z;    D̂ = max(|D| / (1-β₂ᵗ), α)
        η ← min(√(1+θ) η, ½ ‖Δw‖_D̂ / ‖Δ∇f‖_D̂⁻¹);    θ ← η / (the last η)
        u = η g / D̂

    with Δ the change since the last point, on the same batch, and ‖x‖²_D = Σ D x². At the first step η = ``eta0``.

    Reference: "Doubly Adaptive Scaled Algorithm for Machine Learning Using Second-Order Information", Majid Jahani,
    Sergey Rusakov, Zheng Shi, Peter Richtárik, Michael W. Mahoney, Martin Takáč, 2022,
    https://arxiv.org/abs/2109.05198
    """
    D = hessian.lerp(hvp * vector, 1 - beta2)
    metric = debias(D, beta2, step).abs().clamp(min=alpha)
    if secant is None:
        return eta.to(g) * g / metric, D, eta, theta
    path, change = secant
    far, bent = dot(wide(path), wide(metric * path)), dot(wide(change), wide(change / metric))
    grown = (1 + theta).sqrt() * eta
    smooth = torch.where(bent > 0, 0.5 * (far / torch.where(bent > 0, bent, 1.0)).sqrt(), grown)
    rate = torch.where(far > 0, torch.minimum(grown, smooth), eta)  # a step that went nowhere says nothing
    ratio = torch.where(far > 0, rate / eta, theta)
    return rate.to(g) * g / metric, D, rate, ratio
