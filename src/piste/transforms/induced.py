"""The metric that a loss surface has from the space it is drawn in: clipping without a corner."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, scalar, square, total, transform
from ._numbers import debias

_norm = {"norm_sq": total(lambda grad: grad.square(), over="tree")}


def _smooth(metric: Tensor, norm_sq: Tensor, step: Any, xi: Any, beta: Any) -> tuple[Tensor, Tensor]:
    """The average of ξ‖g‖², debiased, and as it is kept."""
    kept = metric * beta + (1 - beta) * xi * norm_sq.to(metric.dtype)
    return debias(kept, beta, step).abs(), kept


@transform(sums=_norm, metric_ema=scalar)
def scale_by_induced_metric(
    u: Tensor, step: Any, norm_sq: Tensor, metric_ema: Tensor, *, xi: float = 0.1, beta: float = 0.8
) -> Any:
    """u / (1 + ξ‖g‖²), ‖g‖² over all parameters and averaged over time with β.

    What the metric I + ξggᵀ of the surface (w, √ξ f(w)) makes of the gradient (Sherman and Morrison).

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    size, kept = _smooth(metric_ema, norm_sq, step, xi, beta)
    return u * (1 / (1 + size)).to(u.dtype), kept


@transform(sums=_norm, metric_ema=scalar)
def scale_by_induced_log_metric(
    u: Tensor,
    loss: Tensor,
    step: Any,
    norm_sq: Tensor,
    metric_ema: Tensor,
    *,
    xi: float = 0.1,
    beta: float = 0.8,
) -> Any:
    """u f / (f² + ξ‖g‖²): the gradient of log f in the metric that the surface (w, √ξ log f(w)) has.

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    size, kept = _smooth(metric_ema, norm_sq, step, xi, beta)
    f = loss.to(size.dtype)
    return u * (f / (f.square() + size)).to(u.dtype), kept


@transform(
    sums={"norm_sq": total(lambda u, grad: u * grad.square(), over="tree")}, exp_avg=moment, metric_ema=scalar
)
def step_in_induced_metric(
    w: Tensor, grad: Tensor, step: Any, norm_sq: Tensor, exp_avg: Tensor, metric_ema: Tensor, *,
    momentum: float = 0.9, xi: float = 0.1, beta: float = 0.8,
) -> Any:  # fmt: skip
    """m ← μm + (1-μ)g;  u = W m̂ / (1 + ξ gᵀWg), W the diagonal that comes in: a preconditioner's inverse.

    Of the metric W⁻¹ + ξggᵀ; gᵀWg is averaged over time with β.

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    m = exp_avg.lerp(grad, 1 - momentum)
    size, kept = _smooth(metric_ema, norm_sq, step, xi, beta)
    return w * debias(m, momentum, step) * (1 / (1 + size)).to(w.dtype), m, kept


@transform(exp_avg_sq=square)
def inverse_rms(g: Tensor, step: Any, exp_avg_sq: Tensor, *, beta2: float = 0.99, eps: float = 1e-8) -> Any:
    """v ← β₂v + (1-β₂)g²;  u = 1 / (√v̂ + ε): the diagonal by which RMSProp multiplies, for a rule behind it.

    Reference: "The Optimiser Hidden in Plain Sight: Training with the Loss Landscape's Induced Metric",
    Thomas R. Harvey, 2025, https://arxiv.org/abs/2509.03594
    """
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    return 1 / (debias(v, beta2, step).sqrt() + eps), v
