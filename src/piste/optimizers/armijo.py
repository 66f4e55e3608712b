"""SGD that finds its own step."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..searches import armijo


@optimizer
def ArmijoSGD(
    lr: float = 10.0,
    init_step_size: float = 1.0,
    c: float = 0.1,
    beta: float = 0.9,
    gamma: float = 2.0,
    n_batches_per_epoch: int = 500,
) -> Chain:
    """SGD whose every step is as long as the mini-batch's own loss allows.

        η ← the largest of η₀, βη₀, β²η₀, ... with f(w - ηg) ≤ f(w) - c η ‖g‖²
        w ← w - ηg;   next η₀ = η γ^(1 / batches per epoch), at most lr

    Needs ``step(closure)``, and about two evaluations a step. For models that fit their data exactly (interpolation),
    where it needs no tuning; without dropout, or any noise that differs between two evaluations of one batch (here they
    see the same random numbers). ``lr`` is the longest step ever taken, the paper's η_max. A search of your own is a
    function under ``@piste.search``, at the end of a chain where ``descend`` would stand.

    As the authors' code with ``reset_option=1`` (its defaults: c = 0.1, β = 0.9, γ = 2, 500 batches an epoch), which
    has no upper bound.

    Reference: "Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates", Sharan Vaswani,
    Aaron Mishkin, Issam Laradji, Mark Schmidt, Gauthier Gidel, Simon Lacoste-Julien, 2019,
    https://arxiv.org/abs/1905.09997
    """
    return chain(armijo(lr, init_step_size, c, beta, gamma, n_batches_per_epoch))
