"""Mechanic around the usual rules. Around any other: ``chain(rule, descend(lr), mechanic(lr))``."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import scale_by_adam
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import trace
from ..transforms.sign import scale_by_lion
from ..transforms.tuners import mechanic

Betas = tuple[float, ...]
BETAS: Betas = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def _valid(name: str, mechanic_betas: Betas, s_init: float) -> None:
    if not mechanic_betas or not all(0 < beta <= 1 for beta in mechanic_betas):
        raise ValueError(
            f"{name}: mechanic_betas must be numbers in (0, 1], at least one; got {mechanic_betas}"
        )
    if not s_init > 0:
        raise ValueError(f"{name}: s_init, the first scale, must be positive (1e-8), not {s_init}")


@optimizer
def MechanicSGD(
    lr: float = 1.0,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    mechanic_betas: Betas = BETAS,
    s_decay: float = 0.01,
    s_init: float = 1e-8,
    mechanic_eps: float = 1e-8,
) -> Chain:
    """SGD with momentum whose rate, whatever it is, is scaled by what pays: by a bet on the sum of its steps.

        Δ: the sum of SGD's steps;   h = ⟨Δ, g + λS‖g‖ p/‖p‖⟩;   p ← p₀ + SΔ,   S = Σ s
        m ← max(βm, |h|);   v ← β²v + h²;   r ← max(0, βr - sh);   s ← (s_init m/n + r) / (√v + ε),   for n βs

    For a base rule whose schedule is known and whose peak rate is not: ``lr`` may be anything (1 is usual), its
    schedule counts. λ = ``s_decay`` 0.01 helps on small data, 0 is as good on large; s_init must be below the right
    scale and not 0. Costs a copy of the weights and Δ. Not for LARS or LAMB (optax).

    Equal to the authors' code (optimizedlearning/mechanic at 4a037bc, with ``store_delta=True``) to 2e-16 over
    40 steps in float64 without ``s_decay``; with it their h takes p after the base rule's step, here it is the p at
    which g was taken, as in the paper's pseudocode and in optax (which also clips h).

    Reference: "Mechanic: A Learning Rate Tuner", Ashok Cutkosky, Aaron Defazio, Harsh Mehta, 2023,
    https://arxiv.org/abs/2306.00144
    """
    _valid("MechanicSGD", mechanic_betas, s_init)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    rule = [trace(momentum)] if momentum else []
    return chain(
        *decay, *rule, descend(lr), mechanic(lr, tuple(mechanic_betas), s_decay, s_init, mechanic_eps)
    )


@optimizer
def MechanicAdamW(
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    mechanic_betas: Betas = BETAS,
    s_decay: float = 0.01,
    s_init: float = 1e-8,
    mechanic_eps: float = 1e-8,
) -> Chain:
    """AdamW with Mechanic on its rate: see :class:`MechanicSGD`.

        Δ: the sum of AdamW's steps;   p ← p₀ + SΔ,   S by Mechanic

    AdamW's own decay is scaled with its steps.

    Reference: "Mechanic: A Learning Rate Tuner", Ashok Cutkosky, Aaron Defazio, Harsh Mehta, 2023,
    https://arxiv.org/abs/2306.00144
    """
    _valid("MechanicAdamW", mechanic_betas, s_init)
    return chain(
        scale_by_adam(*betas, eps), decay_weights(weight_decay), descend(lr),
        mechanic(lr, tuple(mechanic_betas), s_decay, s_init, mechanic_eps),
    )  # fmt: skip


@optimizer
def MechanicLion(
    lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    mechanic_betas: Betas = BETAS,
    s_decay: float = 0.01,
    s_init: float = 1e-8,
    mechanic_eps: float = 1e-8,
) -> Chain:
    """Lion with Mechanic on its rate: see :class:`MechanicSGD`.

        Δ: the sum of Lion's steps;   p ← p₀ + SΔ,   S by Mechanic

    Reference: "Mechanic: A Learning Rate Tuner", Ashok Cutkosky, Aaron Defazio, Harsh Mehta, 2023,
    https://arxiv.org/abs/2306.00144
    """
    _valid("MechanicLion", mechanic_betas, s_init)
    return chain(
        scale_by_lion(*betas), decay_weights(weight_decay), descend(lr),
        mechanic(lr, tuple(mechanic_betas), s_decay, s_init, mechanic_eps),
    )  # fmt: skip
