"""Per-coordinate scaling by running statistics of the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, square, total, transform
from ._numbers import debias, inverse, sqrt


@transform(invariant=("sign",), exp_avg=moment, exp_avg_sq=square)
def scale_by_adam(
    g: Tensor, step: Any, exp_avg: Tensor, exp_avg_sq: Tensor, *, beta1: float, beta2: float, eps: float
) -> Any:
    """m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  u = m̂ / (√v̂ + ε), with m̂, v̂ debiased.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    # √v̂ by the root of v: what keeps v in a code of roots takes that root too
    return debias(m, beta1, step) / (v.sqrt() * inverse(sqrt(1 - beta2**step)) + eps), m, v


@transform(invariant=("sign",), exp_avg=moment, exp_avg_sq=square)
def scale_by_raw_adam(
    g: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *, beta1: float, beta2: float, eps: float
) -> Any:
    """Adam without its bias correction: u = m / (√v + ε). With :func:`debias_adam` behind, ε̂ of the paper's section 2.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    return m / (v.sqrt() + eps), m, v


@transform(invariant=("sign",))
def debias_adam(u: Tensor, step: Any, *, beta1: float, beta2: float) -> Tensor:
    """u √(1-β₂ᵗ) / (1-β₁ᵗ): Adam's two corrections as one factor on the step.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    return u * (sqrt(1 - beta2**step) / (1 - beta1**step))


@transform(invariant=("sign",), exp_avg_fast=moment, exp_avg_slow=moment, exp_avg_sq=square)
def scale_by_ademamix(
    g: Tensor, step: Any, exp_avg_fast: Tensor, exp_avg_slow: Tensor, exp_avg_sq: Tensor, *,
    beta1: float, beta2: float, beta3: float, alpha: float, eps: float,
) -> Any:  # fmt: skip
    """Adam with a second, far slower average beside the first: u = (m̂₁ + αm₂) / (√v̂ + ε).

    m₁ ← β₁m₁ + (1-β₁)g;  m₂ ← β₃m₂ + (1-β₃)g;  v ← β₂v + (1-β₂)g². The slow average is not debiased: α and β₃ rise
    from 0 and β₁ instead (``schedules.linear`` and ``schedules.half_life``).

    Reference: "The AdEMAMix Optimizer: Better, Faster, Older", Matteo Pagliardini, Pierre Ablin, David Grangier, 2024,
    https://arxiv.org/abs/2409.03137
    """
    fast, slow = exp_avg_fast.lerp(g, 1 - beta1), exp_avg_slow.lerp(g, 1 - beta3)
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    u = (debias(fast, beta1, step) + alpha * slow) / (v.sqrt() * inverse(sqrt(1 - beta2**step)) + eps)
    return u, fast, slow, v


@transform(invariant=("sign",), exp_avg=moment, exp_avg_sq=square, max_exp_avg_sq=square)
def scale_by_amsgrad(
    g: Tensor, step: Any, exp_avg: Tensor, exp_avg_sq: Tensor, max_exp_avg_sq: Tensor, *,
    beta1: float, beta2: float, eps: float,
) -> Any:  # fmt: skip
    """Adam with the largest v so far: v̄ ← max(v̄, v);  u = m̂ / (√(v̄/(1-β₂ᵗ)) + ε).

    torch's form: the maximum is taken of the biased v and debiased afterwards.

    Reference: "On the Convergence of Adam and Beyond", Sashank J. Reddi, Satyen Kale, Sanjiv Kumar, 2018,
    https://arxiv.org/abs/1904.09237
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    largest = torch.maximum(max_exp_avg_sq, v)
    return debias(m, beta1, step) / (debias(largest, beta2, step).sqrt() + eps), m, v, largest


@transform(invariant=("sign",), exp_avg=moment, exp_avg_sq=square, max_exp_avg_sq=square)
def scale_by_amsgrad_paper(
    g: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    max_exp_avg_sq: Tensor,
    *,
    beta1: float,
    beta2: float,
    eps: float,
) -> Any:
    """AMSGrad as its paper writes it: no debiasing. v̄ ← max(v̄, v);  u = m / (√v̄ + ε).

    Reference: "On the Convergence of Adam and Beyond", Sashank J. Reddi, Satyen Kale, Sanjiv Kumar, 2018,
    https://arxiv.org/abs/1904.09237
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    largest = torch.maximum(max_exp_avg_sq, v)
    return m / (largest.sqrt() + eps), m, v, largest


@transform(invariant=("sign",), exp_avg=moment, exp_inf=square)
def scale_by_adamax(
    g: Tensor, step: Any, exp_avg: Tensor, exp_inf: Tensor, *, beta1: float, beta2: float, eps: float
) -> Any:
    """m ← β₁m + (1-β₁)g;  n ← max(β₂n, |g| + ε);  u = m̂ / n.

    torch's form: ε is added inside the maximum.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    m = exp_avg.lerp(g, 1 - beta1)
    n = torch.maximum(beta2 * exp_inf, g.abs() + eps)
    return debias(m, beta1, step) / n, m, n


@transform(invariant=("sign", "scale"), exp_avg=moment, exp_inf=square)
def scale_by_adamax_paper(
    g: Tensor, step: Any, exp_avg: Tensor, exp_inf: Tensor, *, beta1: float, beta2: float
) -> Any:
    """AdaMax as its paper writes it: no ε. n ← max(β₂n, |g|);  u = m̂ / n, and 0 where n is 0.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    m = exp_avg.lerp(g, 1 - beta1)
    n = torch.maximum(beta2 * exp_inf, g.abs())
    return torch.where(n > 0, debias(m, beta1, step) / torch.where(n > 0, n, 1.0), 0.0), m, n


@transform(invariant=("sign",), square_avg=square)
def scale_by_rms(g: Tensor, square_avg: Tensor, *, alpha: float, eps: float) -> Any:
    """v ← αv + (1-α)g²;  u = g / (√v + ε).

    Reference: "Lecture 6.5 - rmsprop: Divide the gradient by a running average of its recent magnitude",
    Tijmen Tieleman, Geoffrey Hinton, 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """
    v = square_avg.lerp(g.square(), 1 - alpha)
    return g / (v.sqrt() + eps), v


@transform(invariant=("sign",), square_avg=square, grad_avg=moment)
def scale_by_centered_rms(
    g: Tensor, square_avg: Tensor, grad_avg: Tensor, *, alpha: float, eps: float
) -> Any:
    """v ← αv + (1-α)g²;  μ ← αμ + (1-α)g;  u = g / (√(v - μ²) + ε): divides by the deviation, not the size.

    Reference: "Generating Sequences With Recurrent Neural Networks", Alex Graves, 2013,
    https://arxiv.org/abs/1308.0850
    """
    v = square_avg.lerp(g.square(), 1 - alpha)
    mu = grad_avg.lerp(g, 1 - alpha)
    return g / ((v - mu.square()).clamp(min=0).sqrt() + eps), v, mu


@transform(invariant=("sign",), sum=square(fill="initial_accumulator_value"))
def scale_by_adagrad(g: Tensor, sum: Tensor, *, eps: float, initial_accumulator_value: float = 0.0) -> Any:
    """s ← s + g²;  u = g / (√s + ε).

    Reference: "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", John Duchi,
    Elad Hazan, Yoram Singer, 2011, https://jmlr.org/papers/v12/duchi11a.html
    """
    s = sum + g.square()
    return g / (s.sqrt() + eps), s


@transform(
    invariant=("sign",),
    sums={"norm_sq": total(lambda u: u.square(), over="tree")},
    sum=scalar(fill="initial_sum"),
)
def scale_by_adagrad_norm(
    u: Tensor, norm_sq: Tensor, sum: Tensor, *, eps: float, initial_sum: float = 0.0
) -> Any:
    """b² ← b² + ‖g‖²;  u = g / (b + ε): AdaGrad with one rate for all, the norm taken over all parameters.

    Reference: "SGD with AdaGrad Stepsizes: Full Adaptivity with High Probability to Unknown Parameters, Unbounded
    Gradients and Affine Variance", Amit Attia, Tomer Koren, 2023, https://arxiv.org/abs/2302.08783
    """
    s = sum + norm_sq
    return u / (s.sqrt() + eps), s


@transform(invariant=("sign",), exp_avg_sq=square)
def scale_by_debiased_rms(g: Tensor, step: Any, exp_avg_sq: Tensor, *, beta2: float, eps: float) -> Any:
    """v ← β₂v + (1-β₂)g²;  u = g / (√v̂ + ε): Adam without its momentum.

    Reference: "The Road Less Scheduled", Aaron Defazio, Xingyu (Alice) Yang, Harsh Mehta, Konstantin Mishchenko,
    Ahmed Khaled, Ashok Cutkosky, 2024, https://arxiv.org/abs/2405.15682
    """
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    return g / (debias(v, beta2, step).sqrt() + eps), v
