"""How far from 0 a step leads, and how large it is beside the weights: Muon's companions in the NanoGPT record."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._transform import moment, total, transform, weights


@transform(sums={"param_sq": total(lambda param: param.square()), "along": total(lambda param, u: param * u)})
def brake_radial(
    u: Tensor, param: Tensor, param_sq: Tensor, along: Tensor, *, outward: float = 0.5
) -> Tensor:
    """u with its part along p scaled by ``outward`` where the step, -u, leads away from 0; inwards it is left alone.

        c = ⟨u, p⟩/‖p‖²;   u ← u - (1 - s) min(c, 0) p,   s = ``outward``

    s = 0 is AdamP's projection of steps that lead outwards; the record has 0.5.

    Reference: "Radial brake: 2990-step result for Track 3", nilin, 2026,
    https://github.com/KellerJordan/modded-nanogpt/pull/294
    """
    coefficient = along / torch.where(param_sq > 0, param_sq, 1.0)
    return u - (1 - outward) * coefficient.clamp(max=0) * param


@transform(
    sums={
        "param_sq": total(lambda param: param.square(), over="row"),
        "update_sq": total(lambda u: u.square(), over="row"),
    },
)
def floor_rows(u: Tensor, param_sq: Tensor, update_sq: Tensor, *, ratio: float = 0.3825) -> Tensor:
    """uᵢ ← uᵢ max(1, r‖pᵢ‖/‖uᵢ‖), row by row: no row's step is smaller, beside the row, than ``ratio``.

    It stands behind a normalizing rule; a row without a step stays so.

    Reference: "Track 3: Tail-EMA readout + RowFloor + Cautious Weight Decay -- 2690 steps (n=8)", ypwang61, 2026,
    https://github.com/KellerJordan/modded-nanogpt/pull/328
    """
    moves = update_sq > 0
    lift = ratio * (param_sq / torch.where(moves, update_sq, 1.0)).sqrt()
    return u * torch.where(moves, lift.clamp(min=1), 1.0)


@transform(
    room="delta",
    sums={
        "param_sq": total(lambda param: param.square()),
        "along": total(lambda param, u: param * u),
        "new_sq": total(lambda param, u: (param + u).square()),
    },
)
def hold_radius(u: Tensor, param: Tensor, param_sq: Tensor, along: Tensor, new_sq: Tensor) -> Tensor:
    """The new weights at the length that the step meant to first order: ‖p‖ + ⟨δ, p⟩/‖p‖.

    A step across p makes it longer by δ²/2‖p‖ though it did not mean to; over many steps of one size that is most of
    the growth of normalized layers. Where p is 0 the step is left alone.

    Reference: "Radial brake: 2990-step result for Track 3", nilin, 2026,
    https://github.com/KellerJordan/modded-nanogpt/pull/294
    """
    there = (param_sq > 0) & (new_sq > 0)
    length = torch.where(there, param_sq, 1.0).sqrt()
    meant = (length + along / length).clamp(min=0)
    return torch.where(there, (param + u) * (meant / torch.where(there, new_sq, 1.0).sqrt()) - param, u)


@transform(room="delta")
def decay_shrinking_weights(u: Tensor, param: Tensor, *, lr: float, weight_decay: float) -> Tensor:
    """δ - ηλ(p + δ)[δp < 0]: decoupled decay of the new weights, of those alone that the step shrinks.

    The decay is with the optimizer and never against it, so its minima are those of the loss (and not of the loss with
    a penalty).

    Reference: "Cautious Weight Decay", Lizhang Chen, Jonathan Li, Kaizhao Liang, Baiyu Su, Cong Xie, Nuo Wang
    Pierse, Chen Liang, Ni Lao, Qiang Liu, 2025, https://arxiv.org/abs/2510.12402

    There the mask is u ∘ p ≥ 0 and the old weights decay; here, as in the record, the new ones.
    """
    return u - torch.where(u * param < 0, lr * weight_decay * (param + u), 0.0)


@transform(room="delta", trend=moment, behind=weights)
def ema_nesterov(
    u: Tensor, param: Tensor, trend: Tensor, behind: Tensor, *, lookahead: float = 0.3, decay: float = 0.99
) -> Any:
    """Nesterov's look ahead along the path's own trend: gradients are taken at y = x + βd, d an average of steps.

        x' = y + δ;   d ← γd + (1-γ)(x' - x);   y ← x' + βd          β = ``lookahead``, γ = ``decay``

    The weights that the model holds are y, the view is x. Over any rule; β = 0 is the rule itself. In the record β is
    0.3 times the rate over its largest, from step 300 on, and 0 for the last third: a schedule of ``lookahead``.

    Reference: "EMA-Nesterov: Stabilizing Nesterov's Lookahead for Accelerated Deep Learning Optimization", Chung-Yiu
    Yau, Dawei Li, Athanasios Glentis, Valentyn Boreiko, Hoi-To Wai, Mingyi Hong, 2026,
    https://arxiv.org/abs/2605.25395
    """
    reached = param + u
    d = trend.lerp(reached - behind, 1 - decay)
    return reached + lookahead * d - param, d, reached


@ema_nesterov.view
def without_lookahead(behind: Tensor) -> Tensor:
    """x, where the rule's steps have led, without the look ahead."""
    return behind
