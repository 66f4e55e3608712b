"""ASGO and its diagonal form."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import every
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.onesided import scale_by_asgo, scale_by_dasgo, set_rms
from .adam import AdamW


@optimizer(rest=AdamW)
def ASGO(
    lr: float = 1e-2,
    momentum: float = 0.9,
    beta2: float = 0.8,
    eps: float = 1e-10,
    weight_decay: float = 0.1,
    precondition_frequency: int = 1,
    max_precond_dim: int = 8192,
) -> Chain:
    """Shampoo on the shorter side only, with the whole root there.

        m ← μm + (1-μ)g;   V ← β₂V + (1-β₂)ggᵀ                      (an m × n matrix with m < n; else gᵀg, on the right)
        u = (V + εI)^(-1/2) m;   u ← 0.2 √(mn) u / ‖u‖
        p ← (1-ηλ)p - ηu

    For hidden matrices whose gradients have low rank: one factor, of the shorter side, where Shampoo keeps two. Given a
    module, everything else goes to ``rest``. The step has AdamW's size, so its rates are a start. Without ``momentum``
    and averages (β₂ = 0) it is Muon's exact step. The paper's algorithm 1, with sums, is the transform
    ``scale_by_asgo`` with beta2 = 1.

    Equal to the authors' code (infinity-stars/ASGO at d3ef14b, its root by singular values) to 3e-12 over 40 steps in
    float64. By default their root is ten steps of Polar Express; here it is exact, and every
    ``precondition_frequency`` steps (there every step). They assert matrices of two axes; here more are one matrix
    [first axis, the others]. Where their root is not finite they take the identity, here the last good root.

    Reference: "ASGO: Adaptive Structured Gradient Optimization", Kang An, Yuxing Liu, Rui Pan, Yi Ren, Shiqian Ma,
    Donald Goldfarb, Tong Zhang, 2025, https://arxiv.org/abs/2503.20762
    """
    inner = chain(ema(momentum)) if momentum else chain()
    rule = scale_by_asgo(inner, beta2, eps, max_precond_dim, every(precondition_frequency, phase=1))
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(rule, set_rms(), *decay, descend(lr))


@optimizer(rest=AdamW)
def DASGO(
    lr: float = 1e-3,
    momentum: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-8,
    weight_decay: float = 0.1,
) -> Chain:
    """ASGO's diagonal: one rate for each column of a matrix.

        m ← μm + (1-μ)g;   v ← β₂v + (1-β₂) Σᵢ gᵢⱼ²
        u = m / √(v + ε);   u ← 0.2 √(mn) u / ‖u‖
        p ← (1-ηλ)p - ηu

    Where ASGO's factor is too large or its root too slow: the state is the momentum and a row. Given a module, what is
    not a hidden matrix goes to ``rest``.

    Equal to the authors' code (infinity-stars/ASGO at d3ef14b) to 2e-15 over 40 steps in float64.

    Reference: "ASGO: Adaptive Structured Gradient Optimization", Kang An, Yuxing Liu, Rui Pan, Yi Ren, Shiqian Ma,
    Donald Goldfarb, Tong Zhang, 2025, https://arxiv.org/abs/2503.20762
    """
    inner = chain(ema(momentum)) if momentum else chain()
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(scale_by_dasgo(inner, beta2, eps), set_rms(), *decay, descend(lr))
