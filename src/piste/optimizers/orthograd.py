"""⊥AdamW and ⊥SGD."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, Part, chain
from ..transforms.adaptive import scale_by_adam
from ..transforms.decay import decay_weights, descend
from ..transforms.directions import orthograd, restore_length
from ..transforms.momentum import trace


def _across(restore: bool) -> list[Part]:
    return [orthograd(), restore_length()] if restore else [orthograd()]


@optimizer
def OrthogradAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    restore: bool = True,
) -> Chain:
    """AdamW on gradients without their part along the weights, so that the loss is not lowered by scale alone.

        g ← g - (pᵀg/‖p‖²) p,  then ``restore``: as long as it was
        then AdamW:  p ← p - η (m̂ / (√v̂ + ε) + λp)

    When: a network is trained on, past the point where it has all of its training points right, and should generalize
    (algorithmic tasks); the authors see it do so at once, without a decay (``weight_decay=0.0``). Scale-invariant
    weights have such gradients anyway. Adam's momentum and scaling turn the step a little towards the weights again.

    Reference: "Grokking at the Edge of Numerical Stability", Lucas Prieto, Melih Barsbey, Pedro A.M. Mediano, Tolga
    Birdal, 2025, https://arxiv.org/abs/2501.04697

    Equal to the authors' code (LucasPrietoAl/grokking-at-the-edge-of-numerical-stability at 0cc9e8d) to 1e-15 over 40
    steps in float64, but for their 1e-30 beside squared lengths: here weights of 0 take the gradient as it is.
    ``restore=False`` is the paper's equation.
    """
    return chain(*_across(restore), scale_by_adam(*betas, eps), decay_weights(weight_decay), descend(lr))


@optimizer
def OrthogradSGD(
    lr: float = 1e-3,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    restore: bool = True,
) -> Chain:
    """SGD on gradients without their part along the weights, so that the loss is not lowered by scale alone.

        g ← g - (pᵀg/‖p‖²) p,  then ``restore``: as long as it was
        then SGD:  g ← g + λp;   b ← μb + g;   p ← p - ηb,   Nesterov: p ← p - η (g + μb)

    When: as :class:`OrthogradAdamW`. Without momentum a step is at right angles to the weights and lengthens them in
    second order only.

    Reference: "Grokking at the Edge of Numerical Stability", Lucas Prieto, Melih Barsbey, Pedro A.M. Mediano, Tolga
    Birdal, 2025, https://arxiv.org/abs/2501.04697

    Equal to the authors' code (LucasPrietoAl/grokking-at-the-edge-of-numerical-stability at 0cc9e8d) to 1e-15 over 40
    steps in float64, but for their 1e-30 beside squared lengths: here weights of 0 take the gradient as it is.
    ``restore=False`` is the paper's equation.
    """
    if nesterov and momentum == 0:
        raise ValueError("OrthogradSGD: nesterov=True needs momentum > 0")
    decay = [decay_weights(weight_decay)] if weight_decay else []
    moving = [trace(momentum, nesterov=nesterov)] if momentum else []
    return chain(*_across(restore), *decay, *moving, descend(lr))
