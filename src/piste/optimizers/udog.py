"""U-DoG: acceleration without parameters."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights
from ..transforms.distances import descend_udog
from .dog import _starts


@optimizer
def UDoG(lr: float = 1.0, reps_rel: float = 1e-6, weight_decay: float = 0.0) -> Chain:
    """Accelerated descent by extra-gradients whose lengths are distances over gradients: UniXGrad without its diameter.

        m, at (ω_t y_t + Σ_{k<t} ω_k x_{k+1}) / Σ_{k≤t} ω_k:   x_{t+1} = y_t - α_t η r̄_t/√G_x m
        g, at x̂_{t+1} = Σ_{k≤t} ω_k x_{k+1} / Σ_{k≤t} ω_k:      y_{t+1} = y_t - α_t η r̄_t/√G_y g
        r̄_t = max_{k≤t} {‖x_k - x₀‖, ‖y_k - x₀‖, r_ε};   ω_t = Σ_{k≤t} r̄_k;   α_t = ω_t/r̄_t

    Two steps of this optimizer, with a gradient each, make one of the method, on different batches as the paper has
    them. Evaluate inside ``with opt.averaged(model):`` (x̂). For smooth convex problems with nothing to tune (``lr`` 1,
    no schedule, large batches); on networks the authors' own results are mixed. r_ε = ``reps_rel`` (1 + ‖x₀‖).

    What is read from the paper's summaries and UniXGrad are the points, the weights and r̄ (no authors' code was found).
    From memory, and not verified, are the sums: G_x = max_k α_k² max(‖m_k‖², ‖g_k‖²) + Σ_{k<t} α_k²‖g_k - m_k‖², and
    G_y with g_t, m_t in it; the paper's theorem has constants and logarithms that bound them for the worst case.
    ``weight_decay`` (L2) is an addition.

    Reference: "Accelerated Parameter-Free Stochastic Optimization", Itai Kreisler, Maor Ivgi, Oliver Hinder, Yair
    Carmon, 2024, https://arxiv.org/abs/2404.00666
    """
    _starts("UDoG", reps_rel)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, descend_udog(lr, reps_rel))
