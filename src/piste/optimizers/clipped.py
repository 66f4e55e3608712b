"""Clipped methods: gradient descent, its acceleration, and extragradient for games."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.extragradient import extragradient
from ..transforms.clipping import clip_by_global_norm
from ..transforms.decay import decay_weights, descend
from ..transforms.heavy_tails import similar_triangles
from ..transforms.momentum import trace


def _bounded(name: str, max_norm: float) -> None:
    if not max_norm > 0:
        raise ValueError(f"{name}: max_norm must be positive (a large one clips nothing), got {max_norm}")


@optimizer
def ClippedSGD(
    lr: float = 1e-2, max_norm: float = 1.0, momentum: float = 0.0, weight_decay: float = 0.0
) -> Chain:
    """SGD whose gradients are cut to a length: clipped-SGD, and on a game's slopes clipped-SGDA.

        b ← μb + g min(1, c/‖g‖);    p ← p - η (b + λp)

    Where the noise has heavy tails: with moments of order α ≤ 2 only, SGD fails as often as the noise is large, and
    clipped SGD with a probability that falls exponentially. In theory the threshold grows with the run's length and the
    rate falls (``opt.schedules["max_norm"]``). Of noise that is not symmetric the descent ends off the minimum, the
    farther the smaller c is. For a game leave in ``p.grad`` each player's slope of what it minimizes.

    Without momentum equal to the authors' code (ClippedStochasticMethods/clipped-SSTM at 81ed0fb, clipping_type="norm")
    to 1e-16 over 40 steps in float64. The theory has no momentum; their code averages unclipped gradients and scales
    the sum by today's factor, here what is summed is clipped. The decay is ours.

    Reference: "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of Unbounded
    Variance", Abdurakhmon Sadiev, Marina Danilova, Eduard Gorbunov, Samuel Horváth, Gauthier Gidel, Pavel Dvurechensky,
    Alexander Gasnikov, Peter Richtárik, 2023, https://arxiv.org/abs/2302.00999
    Reference: "Revisiting Gradient Clipping: Stochastic bias and tight convergence guarantees", Anastasia Koloskova,
    Hadrien Hendrikx, Sebastian U. Stich, 2023, https://arxiv.org/abs/2305.01588
    """
    _bounded("ClippedSGD", max_norm)
    moving = [trace(momentum)] if momentum else []
    decay = [decay_weights(weight_decay)] if weight_decay else []
    return chain(clip_by_global_norm(max_norm), *moving, *decay, descend(lr))


@optimizer
def ClippedSSTM(lr: float = 1e-2, max_norm: float = 1.0) -> Chain:
    """Accelerated gradient descent by similar triangles, with gradients that are cut to lengths that fall as the steps
    grow: clipped-SSTM.

        a_t = (t+1)/2,  A_t = a_1 + … + a_t;    ĝ = g min(1, c/(a_t ‖g‖))
        z ← z - η a_t ĝ;    y ← (A_{t-1} y + a_t z) / A_t;    p = (A_t y + a_{t+1} z) / A_{t+1}

    For smooth convex losses with heavy-tailed noise. Evaluate inside ``with opt.averaged(model):`` (y). No step of z is
    longer than ηc. η stands for the authors' 1/aL, with a ≥ 1 the larger the more noise there is, and c for their B/η.
    Long runs want a small η or large batches, since the lengths of steps grow with t.

    Equal to the authors' code (eduardgorbunov/accelerated_clipping at 3499478, ``clipped_sstm``) to 5e-16 over 40 steps
    in float64. Their class for networks (ClippedStochasticMethods/clipped-SSTM at 81ed0fb) has a_t = t/2 and may bound
    A_{t-1}/A_t. A step at η = 0 moves nothing. The weights are not decayed.

    Reference: "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of Unbounded
    Variance", Abdurakhmon Sadiev, Marina Danilova, Eduard Gorbunov, Samuel Horváth, Gauthier Gidel, Pavel Dvurechensky,
    Alexander Gasnikov, Peter Richtárik, 2023, https://arxiv.org/abs/2302.00999
    Reference: "Stochastic Optimization with Heavy-Tailed Noise via Accelerated Gradient Clipping", Eduard Gorbunov,
    Marina Danilova, Alexander Gasnikov, 2020, https://arxiv.org/abs/2005.10785
    """
    _bounded("ClippedSSTM", max_norm)
    return chain(
        clip_by_global_norm(lambda step: 2 * max_norm / (step + 1)), descend(lr), similar_triangles(lr)
    )


@optimizer
def ClippedSEG(lr: float = 1e-2, max_norm: float = 1.0, ahead: float = 1.0) -> Chain:
    """Extragradient with both slopes cut to a length: clipped-SEG.

        w̃ = w - κη clip(F(w), c);    w ← w - η clip(F(w̃), c),    clip(g, c) = g min(1, c/‖g‖)

    For games and other variational inequalities with heavy-tailed noise, where descent along F itself goes round in
    circles. Needs ``step(closure)``, two evaluations a step. The closure leaves in ``p.grad`` the operator F: the slope
    that each player descends, that of the loss for one and of its negative for the other; what it returns is reported
    only. A closure that draws its batch when it is called gives the two evaluations samples of their own, as the
    theory has it; one that keeps its batch, the same sample twice.

    κ = ``ahead`` is 1 in the reference; its authors' earlier work takes a longer first step (κ > 1) for operators that
    are not monotone. Formula from memory, not verified: of the papers abstracts and introductions were read, and their
    code for GANs was not found.

    Reference: "High-Probability Bounds for Stochastic Optimization and Variational Inequalities: the Case of Unbounded
    Variance", Abdurakhmon Sadiev, Marina Danilova, Eduard Gorbunov, Samuel Horváth, Gauthier Gidel, Pavel Dvurechensky,
    Alexander Gasnikov, Peter Richtárik, 2023, https://arxiv.org/abs/2302.00999
    Reference: "Clipped Stochastic Methods for Variational Inequalities with Heavy-Tailed Noise", Eduard Gorbunov,
    Marina Danilova, David Dobre, Pavel Dvurechensky, Alexander Gasnikov, Gauthier Gidel, 2022,
    https://arxiv.org/abs/2206.01095
    """
    _bounded("ClippedSEG", max_norm)
    return chain(extragradient(ahead * lr, max_norm), clip_by_global_norm(max_norm), descend(lr))
