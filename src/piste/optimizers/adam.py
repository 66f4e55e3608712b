"""Adam and its near relatives."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import (
    scale_by_adam,
    scale_by_adamax,
    scale_by_adamax_paper,
    scale_by_amsgrad,
    scale_by_amsgrad_paper,
)
from ..transforms.decay import decay_weights, descend

Betas = tuple[float, float]


@optimizer
def Adam(
    lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
) -> Chain:
    """Adaptive moments: a debiased average of gradients over the root of a debiased average of their squares.

        g ← g + λp                            (L2: the decay passes through the scaling)
        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²
        p ← p - η m̂ / (√v̂ + ε),   m̂ = m/(1-β₁ᵗ),  v̂ = v/(1-β₂ᵗ)

    With weight decay prefer :class:`AdamW`. Equal to ``torch.optim.Adam``.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, scale_by_adam(*betas, eps), descend(lr))


@optimizer
def AdamW(
    lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2
) -> Chain:
    """Adam with decoupled weight decay: the default of the field.

        m ← β₁m + (1-β₁)g;   v ← β₂v + (1-β₂)g²
        p ← p - η (m̂ / (√v̂ + ε) + λp)

    Equal to ``torch.optim.AdamW``: the decay is multiplied by lr, where the paper has a schedule multiplier of its own.

    Reference: "Decoupled Weight Decay Regularization", Ilya Loshchilov, Frank Hutter, 2019,
    https://arxiv.org/abs/1711.05101
    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    return chain(scale_by_adam(*betas, eps), decay_weights(weight_decay), descend(lr))


@optimizer
def AMSGrad(
    lr: float = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    paper: bool = False,
) -> Chain:
    """Adam that never forgets a large gradient: v is replaced by its running maximum.

        v̄ ← max(v̄, v);   p ← p - η m̂ / (√(v̄/(1-β₂ᵗ)) + ε)

    Default: equal to ``torch.optim.Adam(amsgrad=True)``, debiased and with L2 decay. ``paper=True``: no debiasing, as
    the paper's algorithm 2.

    Reference: "On the Convergence of Adam and Beyond", Sashank J. Reddi, Satyen Kale, Sanjiv Kumar, 2018,
    https://arxiv.org/abs/1904.09237
    """
    rule = scale_by_amsgrad_paper if paper else scale_by_amsgrad
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, rule(*betas, eps), descend(lr))


@optimizer
def AdaMax(
    lr: float = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    paper: bool = False,
) -> Chain:
    """Adam with a decayed maximum in place of the second moment.

        n ← max(β₂n, |g| + ε);   p ← p - η m̂ / n

    Default: equal to ``torch.optim.Adamax``. ``paper=True``: without ε, and no step where n is 0.

    Reference: "Adam: A Method for Stochastic Optimization", Diederik P. Kingma, Jimmy Ba, 2015,
    https://arxiv.org/abs/1412.6980
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    rule = scale_by_adamax_paper(*betas) if paper else scale_by_adamax(*betas, eps)
    return chain(*decay, rule, descend(lr))
