"""AdamP and SGDP."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam, scale_by_adam
from ..transforms.decay import descend
from ..transforms.grafting import divide_by_rms, from_average
from ..transforms.momentum import ema, trace
from ..transforms.scale_invariant import project_scale_invariant


def _checked(name: str, delta: float, wd_ratio: float) -> None:
    for key, value in (("delta", delta), ("wd_ratio", wd_ratio)):
        if value < 0:
            raise ValueError(f"{name}: {key} must not be negative, got {value} (the default is 0.1)")


@optimizer
def AdamP(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    delta: float = 0.1,
    wd_ratio: float = 0.1,
    nesterov: bool = False,
) -> Chain:
    """AdamW whose steps do not lengthen the weights that normalisation makes scale-invariant.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²;   u = m̂ / (√v̂ + ε)
        if |cos(g, p)| < δ/√n, by rows or else by tensors:  u ← u - (p̂ᵀu) p̂,  λ ← ``wd_ratio`` λ
        p ← p - η (u + λp)

    When: networks with BatchNorm or the like behind their layers, trained with momentum: weights that grow there make
    the effective rate decay sooner than one asked for. Weights that are not scale-invariant are not projected, so that
    elsewhere it is AdamW. The authors leave δ and ``wd_ratio`` at 0.1. Nesterov: β₁m + (1-β₁)g in the place of m.

    Reference: "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights", Byeongho Heo,
    Sanghyuk Chun, Seong Joon Oh, Dongyoon Han, Sangdoo Yun, Gyuwan Kim, Youngjung Uh, Jung-Woo Ha, 2021,
    https://arxiv.org/abs/2006.08217

    Equal to the authors' code (clovaai/AdamP at 7f6f038) to 2e-15 over 40 steps in float64, with and without Nesterov.
    A matrix of a single row counts as a vector, which is not projected.
    """
    _checked("AdamP", delta, wd_ratio)
    beta1, beta2 = betas
    rule = chain(scale_by_adam(beta1, beta2, eps))
    if nesterov:
        rule = chain(
            from_average(ema(beta1, nesterov=True), divide_by_rms(beta2, eps)), debias_adam(beta1, 0.0)
        )
    return chain(rule, project_scale_invariant(weight_decay, delta, wd_ratio, eps), descend(lr))


@optimizer
def SGDP(
    lr: float = 0.1,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    delta: float = 0.1,
    wd_ratio: float = 0.1,
) -> Chain:
    """SGD whose steps do not lengthen the weights that normalisation makes scale-invariant.

        b ← μb + (1-τ)g;   u = b,   Nesterov: u = g + μb
        if |cos(g, p)| < δ/√n, by rows or else by tensors:  u ← u - (p̂ᵀu) p̂,  λ ← ``wd_ratio`` λ
        p ← p - η (u + λ/(1-μ) p)

    When, and advice: as :class:`AdamP`. The decay is decoupled, and by 1/(1-μ) as large as momentum SGD's L2 would
    become. The authors' example has lr 0.1, momentum 0.9, Nesterov, weight_decay 1e-5; their code has no default rate.

    Reference: "AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights", Byeongho Heo,
    Sanghyuk Chun, Seong Joon Oh, Dongyoon Han, Sangdoo Yun, Gyuwan Kim, Youngjung Uh, Jung-Woo Ha, 2021,
    https://arxiv.org/abs/2006.08217

    Equal to the authors' code (clovaai/AdamP at 7f6f038) to 1e-15 over 40 steps in float64 with Nesterov; without,
    theirs projects the buffer too, which it writes into (equal once a copy is taken there): here, as in the paper, the
    step alone is projected.
    The first buffer is undampened, as torch's; theirs is (1-τ)g. A matrix of a single row counts as a vector.
    """
    _checked("SGDP", delta, wd_ratio)
    if nesterov and momentum == 0:
        raise ValueError("SGDP: nesterov=True needs momentum > 0")
    moving = [trace(momentum, dampening, nesterov)] if momentum else []
    decay = weight_decay / (1 - momentum)
    return chain(*moving, project_scale_invariant(decay, delta, wd_ratio, eps), descend(lr))
