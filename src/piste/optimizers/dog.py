"""Distance over gradients."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.distances import average_polynomially, scale_by_dog, scale_by_layerwise_dog


def _starts(name: str, reps_rel: float) -> None:
    if not reps_rel > 0:
        raise ValueError(
            f"{name}: reps_rel must be positive, not {reps_rel}: the first step is that long, relative to the "
            "weights (1e-6 is the default, 1e-4 with batch normalization)"
        )


@optimizer
def DoG(
    lr: float = 1.0, reps_rel: float = 1e-6, eps: float = 1e-8, weight_decay: float = 0.0, gamma: float = 8.0
) -> Chain:
    """SGD whose rate is the farthest it has been from its start, over the root of the squared gradients so far.

        g ← g + λp;   r̄ = max ‖p_i - p₀‖, r_ε (1 + ‖p₀‖) at first;   G = ε + Σ‖g_i‖²;   p ← p - η r̄/√G g
        a ← a + (1+γ)/(t+γ) (p - a)

    Evaluate inside ``with opt.averaged(model):`` (a): the rate does not decay, and the authors insist on the average.
    Leave ``lr`` at 1 and without a schedule. r_ε is ``reps_rel``, and hardly matters: 1e-6; with batch normalization
    1e-4 (should the rate not rise within some hundred steps, 100 times more; should it diverge early, 100 times less).
    Norms are over all parameters.

    Equal to the authors' code (formll/dog at 8d45cf5) to 2e-16 over 40 steps in float64, LDoG too and
    the average to 1e-12, with one group of parameters; it takes every group's norms apart. ``init_eta`` is left out.

    Reference: "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", Maor Ivgi, Oliver Hinder, Yair
    Carmon, 2023, https://arxiv.org/abs/2302.12022
    """
    _starts("DoG", reps_rel)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, scale_by_dog(reps_rel, eps), descend(lr), average_polynomially(gamma))


@optimizer
def LDoG(
    lr: float = 1.0, reps_rel: float = 1e-6, eps: float = 1e-8, weight_decay: float = 0.0, gamma: float = 8.0
) -> Chain:
    """DoG for every tensor by itself: a distance, a sum of gradients and a rate of its own.

        r̄ = max ‖p_i - p₀‖, r_ε (1 + ‖p₀‖) at first;   G = ε + Σ‖g_i‖²;   p ← p - η r̄/√G g,   by tensor

    For fine-tuning Transformers, where the authors find it near Adam. Average and hyperparameters as in DoG; with large
    pre-trained weights (T5) they take ``reps_rel=1e-8``. A weight with a view has a rate for each of its matrices.

    Reference: "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", Maor Ivgi, Oliver Hinder, Yair
    Carmon, 2023, https://arxiv.org/abs/2302.12022
    """
    _starts("LDoG", reps_rel)
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(*decay, scale_by_layerwise_dog(reps_rel, eps), descend(lr), average_polynomially(gamma))
