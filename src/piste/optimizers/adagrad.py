"""Adagrad."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import scale_by_adagrad
from ..transforms.decay import decay_weights, descend


@optimizer
def Adagrad(
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
) -> Chain:
    """The gradient over the root of the sum of all its squares: rates that only ever fall, each at its own pace.

        g ← g + λp;    s ← s + g²
        p ← p - η / (1 + (t-1)ρ) · g / (√s + ε)

    For convex problems and rare features (embeddings, click data); on long runs of deep networks its rate dies out.
    The first step has length η in every coordinate whatever the gradient; an initial_accumulator_value (TensorFlow:
    0.1) tempers it.

    Equal to ``torch.optim.Adagrad``. The rate's decay ρ (``lr_decay``) is torch's; the paper has none.

    Reference: "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", John Duchi,
    Elad Hazan, Yoram Singer, 2011, https://jmlr.org/papers/v12/duchi11a.html
    """
    decay = [decay_weights(weight_decay)] if weight_decay else []
    rate = (lambda step: lr / (1 + (step - 1) * lr_decay)) if lr_decay else lr
    return chain(*decay, scale_by_adagrad(eps, initial_accumulator_value), descend(rate))
