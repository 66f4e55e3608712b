"""D-Adaptation and Prodigy: rates in proportion to an estimate d of the distance to the solution, which only grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, square, transform, weights
from ._numbers import minimum, where

_SHARED = scalar(shared=True)
_DISTANCE = scalar(shared=True, fill="d0")


def held_at_zero(lr: Any, new: Sequence[Any], old: Sequence[Any]) -> tuple[Any, ...]:
    """What is ``new``, and at a rate of 0 what is ``old``: where the rate enters a rule's memory."""
    return tuple(where(lr == 0, b, a) for a, b in zip(new, old, strict=True))


def _quotient(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0: before any gradient nothing is known of the distance."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)


def _grown(d: Tensor, found: Tensor, growth_rate: float) -> Tensor:
    """max(d, min(d̂, κd)): the estimate only grows, by at most a factor κ a step."""
    return torch.maximum(d, torch.minimum(found.to(d), d * _finite(growth_rate)))


def _finite(growth_rate: float) -> Any:
    """Infinity as a number whose product with 0, in a derivative, is 0."""
    return minimum(growth_rate, 1e100)


def _l1(dot: Any, x: Tensor) -> Tensor:
    return dot(x, x.sign())


@transform(
    room="length", scope="tree", initial=weights, s=moment, d=_DISTANCE, numerator=_SHARED, first_norm=_SHARED
)
def descend_dadapt_sgd(
    g: Tensor, param: Tensor, dot: Any, initial: Tensor, s: Tensor, d: Tensor, numerator: Tensor,
    first_norm: Tensor, *, lr: float, momentum: float = 0.0, d0: float = 1e-6, growth_rate: float = math.inf,
) -> Any:  # fmt: skip
    """Dual averaging with D-Adaptation:

        λ = ηd/‖g₀‖;   r ← r + λ⟨g, s⟩;   s ← s + λg;   d ← max(d, min(2r/‖s‖, κd));   p ← μp + (1-μ)(p₀ - s)

    r sums over all parameters; g₀ is the first gradient that is not zero. At η = 0 nothing happens.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    norm = torch.where(first_norm > 0, first_norm, dot(g, g).sqrt())
    rate = _quotient(d * lr, norm)
    r = numerator + rate * dot(g, s)
    new_s = s + rate * g
    found = _quotient(2 * r, dot(new_s, new_s).sqrt())
    delta = (1 - momentum) * (initial - new_s - param)
    delta, *kept = held_at_zero(
        lr, (delta, new_s, _grown(d, found, growth_rate), r, norm), (g * 0.0, s, d, numerator, first_norm)
    )
    return delta, None, *kept


@transform(
    room="length", scope="tree", s=moment, exp_avg=moment, exp_avg_sq=square, d=_DISTANCE, numerator=_SHARED
)
def descend_dadapt_adam(
    g: Tensor, param: Tensor, dot: Any, s: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, d: Tensor,
    numerator: Tensor, *, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0, d0: float = 1e-6, growth_rate: float = math.inf,
) -> Any:  # fmt: skip
    """Adam with D-Adaptation; β = √β₂:

        λ = ηd;   r ← βr + (1-β) λ⟨g, s/(√v + ε)⟩;   s ← βs + (1-β)λg
        m ← β₁m + (1-β₁)λg;   v ← β₂v + (1-β₂)g²;   δ = -m/(√v + ε) - λ·wd·p
        d ← max(d, min(r / (1-β)‖s‖₁, κd))

    Scalar product and norm over all parameters. At η = 0 nothing happens.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    beta, rate = math.sqrt(beta2), d * lr
    along = rate * dot(g, s / (exp_avg_sq.sqrt() + eps))
    new_s = beta * s + (1 - beta) * rate * g
    m = beta1 * exp_avg + (1 - beta1) * rate * g
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    r = beta * numerator + (1 - beta) * along
    found = _quotient(r, (1 - beta) * _l1(dot, new_s))
    delta = -m / (v.sqrt() + eps) - rate * weight_decay * param
    new = delta, new_s, m, v, _grown(d, found, growth_rate), r
    return held_at_zero(lr, new, (g * 0.0, s, exp_avg, exp_avg_sq, d, numerator))


@transform(room="length", scope="tree", s=moment, exp_avg=moment, d=_DISTANCE, numerator=_SHARED)
def descend_dadapt_lion(
    g: Tensor, param: Tensor, dot: Any, s: Tensor, exp_avg: Tensor, d: Tensor, numerator: Tensor, *,
    lr: float, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0, d0: float = 1e-6,
) -> Any:  # fmt: skip
    """Lion with D-Adaptation; β = √β₂:

        λ = ηd;   u = sign(β₁m + (1-β₁)g);   m ← β₂m + (1-β₂)λg;   δ = -λ(u + wd·p)
        r ← βr + (1-β) λ⟨u, s⟩;   s ← βs + (1-β)λu;   d ← max(d, r / (1-β)‖s‖₁)

    At η = 0 nothing happens.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    beta, rate = math.sqrt(beta2), d * lr
    u = exp_avg.lerp(g, 1 - beta1).sign()
    r = beta * numerator + (1 - beta) * rate * dot(u, s)
    new_s = beta * s + (1 - beta) * rate * u
    found = _quotient(r, (1 - beta) * _l1(dot, new_s))
    m = beta2 * exp_avg + (1 - beta2) * rate * g
    new = -rate * (u + weight_decay * param), new_s, m, _grown(d, found, math.inf), r
    return held_at_zero(lr, new, (g * 0.0, s, exp_avg, d, numerator))


@transform(
    room="length", scope="tree", initial=weights, s=moment, exp_avg=moment, exp_avg_sq=square, d=_DISTANCE,
    d_max=_DISTANCE, numerator=_SHARED,
)  # fmt: skip
def descend_prodigy(
    g: Tensor, param: Tensor, dot: Any, initial: Tensor, s: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor,
    d: Tensor, d_max: Tensor, numerator: Tensor, *, lr: float, s_lr: float, beta1: float = 0.9,
    beta2: float = 0.999, beta3: float = 0.999**0.5, eps: float = 1e-8, weight_decay: float = 0.0,
    d0: float = 1e-6, d_coef: float = 1.0, growth_rate: float = math.inf,
) -> Any:  # fmt: skip
    """Adam with Prodigy's rates:

        r ← β₃r + ηd²/d₀ ⟨g, p₀ - p⟩;   s ← β₃s + η_s d²/d₀ g;   d̂ = c r / ‖s‖₁
        m ← β₁m + (1-β₁)dg;   v ← β₂v + (1-β₂)d²g²
        d₊ = max(d, d̂), by at most κ times;   δ = -ηd (m / (√v + d₊ε) + wd·p)

    Scalar product and norm over all parameters. η_s is η, or 1 where a warm-up is not to enter s. Where κ is finite the
    largest d̂ is kept, and d follows it. At η = 0 nothing happens.

    Reference: "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", Konstantin Mishchenko, Aaron Defazio, 2024,
    https://arxiv.org/abs/2306.06101
    """
    seen = d.square() / d0
    r = beta3 * numerator + seen * lr * dot(g, initial - param)
    new_s = beta3 * s + seen * s_lr * g
    m = beta1 * exp_avg + (1 - beta1) * d * g
    v = beta2 * exp_avg_sq + (1 - beta2) * d.square() * g.square()
    found = (d_coef * _quotient(r, _l1(dot, new_s))).to(d)
    most = torch.maximum(d_max, found)
    base = torch.where(
        d == d0, torch.maximum(d, found), d
    )  # the first estimate is taken at once, however large
    grown = torch.minimum(most, base * _finite(growth_rate))
    delta = -lr * d * (m / (v.sqrt() + grown * eps) + weight_decay * param)
    delta, *kept = held_at_zero(
        lr,
        (delta, new_s, m, v, grown, most, r),
        (g * 0.0, s, exp_avg, exp_avg_sq, d, d_max, numerator),
    )
    return delta, None, *kept
