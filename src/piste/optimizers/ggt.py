"""GGT."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.windows import scale_by_ggt


@optimizer
def GGT(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 1.0),
    eps: float = 1e-2,
    weight_decay: float = 0.0,
    ngrads: int = 32,
) -> Chain:
    """AdaGrad with the full matrix, of the last gradients only.

        v ← β₁v + (1-β₁)g;   G = [g_t, β₂g_{t-1}, β₂²g_{t-2}, ...], the last r
        p ← p - η [(GGᵀ)^½ + εI]⁻¹ v                          all parameters as one vector

    Keeps ``ngrads`` (r) copies of the weights and one more. What the window does not span is multiplied by 1/ε, far
    more than what it does: ``lr`` and ``eps`` are one choice (0.01 as in ``tf.contrib.opt.GGTOptimizer``, which has
    another form for that part). β₂ < 1 forgets: for losses that are not convex.

    Follows the paper. The code of IST-DASLab/EFCP (at a33a3a5) adds 1e-6 to the diagonal of GᵀG, where here directions
    below its rounding error are left out: equal to 4e-9 over 40 steps in float64 with β₂ = 1, and to 1e-15 without that
    1e-6. With β₂ < 1 it decays the gradients in GᵀG and not in U = GVΣ⁻¹, which is then not orthogonal; not followed.

    Reference: "Efficient Full-Matrix Adaptive Regularization", Naman Agarwal, Brian Bullins, Xinyi Chen, Elad Hazan,
    Karan Singh, Cyril Zhang, Yi Zhang, 2019, https://proceedings.mlr.press/v97/agarwal19b.html
    """
    beta1, beta2 = betas
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, scale_by_ggt(ema(beta1), ngrads, beta2, eps), descend(lr))
