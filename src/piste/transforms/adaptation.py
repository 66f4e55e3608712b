"""D-Adaptation and Prodigy: rates in proportion to an estimate d of the distance to the solution, which only grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import moment, scalar, square, total, transform, weights
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


def _averaged(s: Tensor, g: Tensor, rate: Any, beta2: float) -> Tensor:
    """βs + (1-β)λg, β = √β₂."""
    beta = beta2**0.5
    return beta * s + (1 - beta) * rate * g


@transform(
    room="length",
    sums={
        "size": total(lambda u: u.square(), over="tree"),
        "along": total(lambda u, s: u * s, over="tree"),
        "reach": total(lambda s: s.square(), over="tree"),
    },
    initial=weights,
    s=moment,
    d=_DISTANCE,
    numerator=_SHARED,
    first_norm=_SHARED,
)
def descend_dadapt_sgd(
    g: Tensor, param: Tensor, size: Tensor, along: Tensor, reach: Tensor, initial: Tensor, s: Tensor, d: Tensor,
    numerator: Tensor, first_norm: Tensor, *, lr: float, momentum: float = 0.0, d0: float = 1e-6,
    growth_rate: float = math.inf,
) -> Any:  # fmt: skip
    """Dual averaging with D-Adaptation:

        λ = ηd/‖g₀‖;   r ← r + λ⟨g, s⟩;   s ← s + λg;   d ← max(d, min(2r/‖s‖, κd));   p ← μp + (1-μ)(p₀ - s)

    r sums over all parameters; g₀ is the first gradient that is not zero. At η = 0 nothing happens.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    norm = torch.where(first_norm > 0, first_norm, size.sqrt().to(first_norm))
    rate = _quotient(d * lr, norm)
    r = numerator + rate * along
    new_s = s + rate.to(g.dtype) * g
    new_reach = (
        reach + 2 * rate * along + rate.square() * size
    )  # of the new s, whose rate follows from a sum itself
    found = _quotient(2 * r, new_reach.clamp(min=0.0).sqrt())
    delta = (1 - momentum) * (initial - new_s - param)
    delta, *kept = held_at_zero(
        lr, (delta, new_s, _grown(d, found, growth_rate), r, norm), (g * 0.0, s, d, numerator, first_norm)
    )
    return delta, None, *kept


@transform(
    room="length",
    sums={
        "along": total(lambda u, s, exp_avg_sq, eps: u * s / (exp_avg_sq.sqrt() + eps), over="tree"),
        "reach": total(lambda u, s, d, lr, beta2: _averaged(s, u, d * lr, beta2).abs(), over="tree"),
    },
    s=moment,
    exp_avg=moment,
    exp_avg_sq=square,
    d=_DISTANCE,
    numerator=_SHARED,
)
def descend_dadapt_adam(
    g: Tensor, param: Tensor, along: Tensor, reach: Tensor, s: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor,
    d: Tensor, numerator: Tensor, *, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
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
    beta, rate = beta2**0.5, d * lr
    new_s = _averaged(s, g, rate, beta2)
    m = beta1 * exp_avg + (1 - beta1) * rate * g
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    r = beta * numerator + (1 - beta) * rate * along
    found = _quotient(r, (1 - beta) * reach)
    delta = -m / (v.sqrt() + eps) - rate * weight_decay * param
    new = delta, new_s, m, v, _grown(d, found, growth_rate), r
    return held_at_zero(lr, new, (g * 0.0, s, exp_avg, exp_avg_sq, d, numerator))


def _lions(u: Tensor, exp_avg: Tensor, beta1: float) -> Tensor:
    return exp_avg.lerp(u, 1 - beta1).sign()


@transform(
    room="length",
    sums={
        "along": total(lambda u, s, exp_avg, beta1: _lions(u, exp_avg, beta1) * s, over="tree"),
        "reach": total(
            lambda u, s, exp_avg, d, lr, beta1, beta2: _averaged(
                s, _lions(u, exp_avg, beta1), d * lr, beta2
            ).abs(),
            over="tree",
        ),
    },
    s=moment,
    exp_avg=moment,
    d=_DISTANCE,
    numerator=_SHARED,
)
def descend_dadapt_lion(
    g: Tensor, param: Tensor, along: Tensor, reach: Tensor, s: Tensor, exp_avg: Tensor, d: Tensor,
    numerator: Tensor, *, lr: float, beta1: float = 0.9, beta2: float = 0.99, weight_decay: float = 0.0,
    d0: float = 1e-6,
) -> Any:  # fmt: skip
    """Lion with D-Adaptation; β = √β₂:

        λ = ηd;   u = sign(β₁m + (1-β₁)g);   m ← β₂m + (1-β₂)λg;   δ = -λ(u + wd·p)
        r ← βr + (1-β) λ⟨u, s⟩;   s ← βs + (1-β)λu;   d ← max(d, r / (1-β)‖s‖₁)

    At η = 0 nothing happens.

    Reference: "Learning-Rate-Free Learning by D-Adaptation", Aaron Defazio, Konstantin Mishchenko, 2023,
    https://arxiv.org/abs/2301.07733
    """
    beta, rate = beta2**0.5, d * lr
    u = _lions(g, exp_avg, beta1)
    r = beta * numerator + (1 - beta) * rate * along
    new_s = _averaged(s, u, rate, beta2)
    found = _quotient(r, (1 - beta) * reach)
    m = beta2 * exp_avg + (1 - beta2) * rate * g
    new = -rate * (u + weight_decay * param), new_s, m, _grown(d, found, math.inf), r
    return held_at_zero(lr, new, (g * 0.0, s, exp_avg, d, numerator))


def _weighed(s: Tensor, u: Tensor, d: Tensor, d0: float, s_lr: float, beta3: float) -> Tensor:
    """β₃s + η_s d²/d₀ g."""
    return beta3 * s + d.square() / d0 * s_lr * u


@transform(
    room="length",
    sums={
        "along": total(lambda u, param, initial: u * (initial - param), over="tree"),
        "reach": total(
            lambda u, s, d, d0, s_lr, beta3: _weighed(s, u, d, d0, s_lr, beta3).abs(), over="tree"
        ),
    },
    initial=weights,
    s=moment,
    exp_avg=moment,
    exp_avg_sq=square,
    d=_DISTANCE,
    d_max=_DISTANCE,
    numerator=_SHARED,
)
def descend_prodigy(
    g: Tensor, param: Tensor, along: Tensor, reach: Tensor, s: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor,
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
    r = beta3 * numerator + d.square() / d0 * lr * along
    new_s = _weighed(s, g, d, d0, s_lr, beta3)
    m = beta1 * exp_avg + (1 - beta1) * d * g
    v = beta2 * exp_avg_sq + (1 - beta2) * d.square() * g.square()
    found = (d_coef * _quotient(r, reach)).to(d)
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
