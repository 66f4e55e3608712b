"""Second moments that see something else than today's gradient: its surprise, its last value, its average.

Those that divide stand behind an average, in :func:`from_average`: their ``u`` is the average, their ``grad`` what was
averaged.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .._transform import moment, square, transform
from ._numbers import debias, inverse, sqrt, where


@transform(invariant=("sign",), exp_avg_var=square)
def divide_by_belief(
    u: Tensor, grad: Tensor, step: Any, exp_avg_var: Tensor, *, beta2: float, eps: float
) -> Any:
    """s ← β₂s + (1-β₂)(grad - u)² + ε;  u ← u / (√(s/(1-β₂ᵗ)) + ε): by how far gradients are from their average.

    ε enters s at every step, so that √s ends near √(ε/(1-β₂)) where gradients do not change.

    Reference: "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", Juntang Zhuang, Tommy
    Tang, Yifan Ding, Sekhar Tatikonda, Nicha Dvornek, Xenophon Papademetris, James S. Duncan, 2020,
    https://arxiv.org/abs/2010.07468
    """
    s = exp_avg_var.lerp((grad - u).square(), 1 - beta2) + eps
    return u / (s.sqrt() * inverse(sqrt(1 - beta2**step)) + eps), s


@transform(invariant=("sign",), exp_avg_sq=square(fill="initial_accumulator_value"))
def divide_by_yogi(
    u: Tensor,
    grad: Tensor,
    exp_avg_sq: Tensor,
    *,
    beta2: float,
    eps: float,
    initial_accumulator_value: float = 1e-6,
) -> Any:
    """v ← v - (1-β₂) sign(v - grad²) grad²;  u ← u / (√v + ε): v moves by what comes in, whatever it has come to.

    Adam's v moves by (1-β₂)(grad² - v), so it falls fast once gradients are small.

    Reference: "Adaptive Methods for Nonconvex Optimization", Manzil Zaheer, Sashank J. Reddi, Devendra Sachan, Satyen
    Kale, Sanjiv Kumar, 2018,
    https://proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html
    """
    fresh = grad.square()
    v = exp_avg_sq - (1 - beta2) * ((exp_avg_sq - fresh).sign() * fresh)
    return u / (v.sqrt() + eps), v


@transform(invariant=("sign",), exp_avg_sq=square)
def scale_by_raised_rms(u: Tensor, exp_avg_sq: Tensor, *, beta2: float, eps: float) -> Any:
    """v ← β₂v + (1-β₂)u² + ε;  u ← u / √v: ε within the average, nothing behind the root.

    Reference: "Rethinking Adam: A Twofold Exponential Moving Average Approach", Yizhou Wang, Yue Kang, Can Qin, Huan
    Wang, Yi Xu, Yulun Zhang, Yun Fu, 2021, https://arxiv.org/abs/2106.11514
    """
    v = exp_avg_sq.lerp(u.square(), 1 - beta2) + eps
    return u / v.sqrt(), v


@transform(invariant=("sign",), primes=True, exp_avg_sq=square)
def scale_by_previous_rms(g: Tensor, step: Any, exp_avg_sq: Tensor, *, beta2: float, eps: float) -> Any:
    """u = g / max(√v, ε), then v ← β₂v + (1-β₂)g²: the gradient is not in the second moment that divides it.

    The first gradient only makes v = g²; no step is taken or counted.

    Reference: "ADOPT: Modified Adam Can Converge with Any β_2 with the Optimal Rate", Shohei Taniguchi, Keno Harada,
    Gouki Minegishi, Yuta Oshima, Seong Cheol Jeong, Go Nagahara, Tomoshi Iiyama, Masahiro Suzuki, Yusuke Iwasawa,
    Yutaka Matsuo, 2024, https://arxiv.org/abs/2411.02853
    """
    fresh = g.square()
    v = where(step == 0, fresh, exp_avg_sq.lerp(fresh, 1 - beta2))
    return g / exp_avg_sq.sqrt().clamp(min=eps), v


@transform(invariant=("sign",), exp_avg=moment, exp_avg_sq=square)
def scale_by_exadam(
    g: Tensor, step: Any, exp_avg: Tensor, exp_avg_sq: Tensor, *, beta1: float, beta2: float, eps: float
) -> Any:
    """Adam's moments, each debiased by what the other says, and today's gradient beside its average.

    m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  d₁ = 1 + β₂ᵗ v/(v + ε);  d₂ = 1 + β₁ᵗ m²/(m² + ε)
    u = d₁ (m + g)/(1-β₁ᵗ) / (√(d₂ v/(1-β₂ᵗ)) + ε)

    Reference: "EXAdam: The Power of Adaptive Cross-Moments", Ahmed M. Adly, 2024, https://arxiv.org/abs/2412.20302
    """
    m = exp_avg.lerp(g, 1 - beta1)
    v = exp_avg_sq.lerp(g.square(), 1 - beta2)
    d1 = 1 + v / (v + eps) * beta2**step
    d2 = 1 + m.square() / (m.square() + eps) * beta1**step
    return debias(m + g, beta1, step) * d1 / ((debias(v, beta2, step) * d2).sqrt() + eps), m, v
