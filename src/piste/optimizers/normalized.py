"""Normalized descent, for losses whose curvature grows with their slope."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.spider import spider
from ..schedules import every
from ..transforms.decay import decay_weights, descend
from ..transforms.heavy_tails import divide_by_norm_power
from ..transforms.momentum import ema
from ..transforms.norms import normalize_tree


@optimizer
def NormalizedSGD(
    lr: float = 1e-2, momentum: float = 0.9, power: float = 1.0, weight_decay: float = 0.0
) -> Chain:
    """Steps along the averaged gradient whose length does not depend on its size, or less than in proportion.

        m ← μm + (1-μ)g;    p ← p - η (m/‖m‖^β + λp)

    For losses that are steep far from their minima, such as polynomials and exponentials, where the rate that suits the
    valley diverges on the slopes: there β = ``power`` = 1 (each step has the length η, so let it fall), or any β from
    the loss's own α to 1, with which the gradient descent of the first reference has the optimal rate at a constant η.
    With mini-batches take momentum 0.9 and more: without it the direction of noise is taken at full length (the second
    reference). The norm is that of all parameters; for one by layer see the norms of ``Scion``.

    The normalized rule was read in the first paper's abstract; β and the range of it are from memory, not verified. No
    code was published.

    Reference: "Generalized-Smooth Nonconvex Optimization is As Efficient As Smooth Nonconvex Optimization", Ziyi Chen,
    Yi Zhou, Yingbin Liang, Zhaosong Lu, 2023, https://arxiv.org/abs/2303.02854
    Reference: "Momentum Improves Normalized SGD", Ashok Cutkosky, Harsh Mehta, 2020, https://arxiv.org/abs/2002.03305
    """
    if not 0 <= power <= 1:
        raise ValueError(
            f"NormalizedSGD: power must lie in [0, 1] (1: steps of one length, 0: plain gradients), got {power}"
        )
    moving = [ema(momentum)] if momentum else []
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*moving, divide_by_norm_power(power), *decay, descend(lr))


@optimizer
def NormalizedSPIDER(lr: float = 1e-3, period: int = 20, weight_decay: float = 0.0) -> Chain:
    """Steps of one length along SPIDER's recursive estimate of the gradient.

        v ← ∇f(p) on a large batch in the steps 1, 1 + q, 1 + 2q, …;   else v ← v + ∇f(p) - ∇f(p'), p' the last weights
        p ← p - η (v/‖v‖ + λp)

    Needs ``step(closure)``, two evaluations in all steps but the large ones. Since steps are short the differences have
    little noise, and the small batches suffice: to reach ‖∇f‖ ≤ ε takes O(ε⁻³) samples (SGD: O(ε⁻⁴)) on losses whose
    curvature may grow with their slope. In theory η and q are of the order of ε and 1/ε, the large batch 1/ε² and the
    others 1/ε. The closure serves the batches: a large one where the steps that are done are a multiple of q =
    ``period``. What the default q is worth depends on them; it is ours.

    SPIDER itself is well known; that the paper's algorithm has this form was read in its abstract only, the rest is
    from memory, not verified. No code was published.

    Reference: "Generalized-Smooth Nonconvex Optimization is As Efficient As Smooth Nonconvex Optimization", Ziyi Chen,
    Yi Zhou, Yingbin Liang, Zhaosong Lu, 2023, https://arxiv.org/abs/2303.02854
    Reference: "SPIDER: Near-Optimal Non-Convex Optimization via Stochastic Path-Integrated Differential Estimator",
    Cong Fang, Chris Junchi Li, Zhouchen Lin, Tong Zhang, 2018, https://arxiv.org/abs/1807.01695
    """
    if period < 1:
        raise ValueError(f"NormalizedSPIDER: period must be at least 1, got {period}")
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(spider(every(period, phase=1)), normalize_tree(), *decay, descend(lr))
