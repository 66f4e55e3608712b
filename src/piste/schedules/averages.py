"""Decays β of exponential averages a ← βa + (1-β)p that are short at first, or a share of the past."""

from __future__ import annotations

from ._schedule import schedule


@schedule(
    most_is_in_0_to_1=lambda most: 0 <= most < 1,
    gamma_and_power_must_be_positive=lambda gamma, power: gamma > 0 and power > 0,
)
def ema_warmup(t: int, most: float, gamma: float = 1.0, power: float = 2 / 3) -> float:
    """β = min(most, 1 - (1 + t/γ)^(-power)): short at first, so that the start is forgotten.

    As timm's ``ModelEmaV3`` and diffusers' ``EMAModel`` have it: power 2/3 reaches 0.999 after 31.6 thousand steps, 3/4
    after 10 thousand; power 1 with γ = 1 is the plain mean of all points. The first is a copy.

    Reference: "Acceleration of Stochastic Approximation by Averaging", B. T. Polyak, A. B. Juditsky, 1992,
    https://doi.org/10.1137/0330046 (the plain mean; the powers are from the libraries' practice).
    """
    return min(most, 1 - (1 + t / gamma) ** -power)


@schedule(share_must_be_over_0_and_at_most_1=lambda share: 0 < share <= 1)
def share_of_the_past(t: int, share: float = 0.04) -> float:
    """β = ½^(1 / (share · s)), s = t + 1 steps: an average whose half-life is a share of the time that has passed.

    It needs no horizon. Nearly the average whose weights grow with a power of time (``power_ema``): γ + 1 = log 2 /
    share.

    Reference: "Anytime Pretraining: Horizon-Free Learning-Rate Schedules with Weight Averaging", Alexandru Meterez,
    Pranav Ajit Nair, Depen Morwani, Cengiz Pehlevan, Sham Kakade, 2026, https://arxiv.org/abs/2602.03702
    """
    return 0.5 ** (1 / (share * (t + 1)))
