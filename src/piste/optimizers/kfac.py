"""K-FAC and EKFAC."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, Part, chain
from ..oracles.fisher import drawn_labels
from ..schedules import every
from ..transforms.kfac import (
    clip_by_kl,
    divide_by_square,
    in_kronecker_eigenbasis,
    layer_covariances,
    scale_by_kfac,
)
from .adam import AdamW
from .sgd import SGD


def _natural(
    precondition: Part, lr: float, momentum: float, kl_clip: float, weight_decay: float, TCov: int,
    max_precond_dim: int, sampled: bool,
) -> Chain:  # fmt: skip
    """Statistics, preconditioner, clipping, and SGD behind it."""
    gather = every(TCov, phase=1)
    drawn = [drawn_labels(gather)] if sampled else []
    clip = [clip_by_kl(lr, kl_clip)] if kl_clip else []
    moving = SGD.chain(lr, momentum, 0.0, False, weight_decay)
    return chain(layer_covariances(max_precond_dim, gather), *drawn, precondition, *clip, moving)


@optimizer(rest=AdamW)
def KFAC(
    lr: float = 0.1,
    momentum: float = 0.9,
    stat_decay: float = 0.95,
    damping: float = 1e-3,
    kl_clip: float = 1e-3,
    weight_decay: float = 0.0,
    TCov: int = 1,
    TInv: int = 20,
    max_precond_dim: int = 10000,
    sampled: bool = False,
) -> Chain:
    """The natural gradient, with each layer's Fisher matrix taken for a Kronecker product of two small ones.

        every TCov steps:  A ← εA + (1-ε) E aaᵀ;   G ← εG + (1-ε) E ggᵀ        ε = min(1 - 1/k, stat_decay)
        every TInv steps:  invert A + π√λ I and G + √λ/π I                      π² = (tr A/n) / (tr G/m)
        u = (G + √λ/π I)⁻¹ ∇W (A + π√λ I)⁻¹;   u ← u min(1, √(κ / (η² Σ ⟨u, ∇W⟩)))
        b ← μb + u + weight_decay W;   W ← W - ηb

    with a a layer's inputs and g the gradients at its outputs, which are gathered by hooks: it takes the model, not its
    parameters. Weights and biases of Linear and Conv layers; everything else (embeddings, norms, grouped convolutions)
    goes to ``rest``. For networks where a step is worth more than its price, with batches large enough to estimate the
    curvature; as invariant as natural gradient is, so badly scaled inputs or layers cost nothing. λ is the number that
    wants tuning (1e-4 to 1), with η, ``kl_clip`` (κ) and λ moving together.

    ``sampled``: the Fisher matrix of the paper, from labels drawn from the model, which costs another evaluation and
    needs ``step(piste.closure(forward, batches, model, sampled=...))``. Without it the gradients at the true labels
    stand in for them (the empirical Fisher matrix), as in most code.

    Differs from the paper: weight and bias are two blocks (there one, the inputs with a 1 behind them); λ is constant
    and the step's length comes from η and κ (Ba, Grosse and Martens, 2017), not from the exact Fisher-vector product;
    momentum is SGD's. Only the block-diagonal form. A side longer than ``max_precond_dim`` is left as it is.

    Reference: "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", James Martens, Roger Grosse,
    2015, https://arxiv.org/abs/1503.05671
    Reference: "A Kronecker-factored approximate Fisher matrix for convolution layers", Roger Grosse, James Martens,
    2016, https://arxiv.org/abs/1602.01407
    """
    precondition = scale_by_kfac(stat_decay, damping, max_precond_dim, every(TInv, phase=1))
    return _natural(precondition, lr, momentum, kl_clip, weight_decay, TCov, max_precond_dim, sampled)


@optimizer(rest=AdamW)
def EKFAC(
    lr: float = 0.1,
    momentum: float = 0.9,
    stat_decay: float = 0.95,
    damping: float = 1e-3,
    kl_clip: float = 1e-3,
    weight_decay: float = 0.0,
    TCov: int = 1,
    TInv: int = 20,
    max_precond_dim: int = 10000,
    sampled: bool = False,
) -> Chain:
    """K-FAC's eigenbasis, with the variances along its axes followed at every step.

        every TCov steps:  A ← εA + (1-ε) E aaᵀ;   G ← εG + (1-ε) E ggᵀ        ε = min(1 - 1/k, stat_decay)
        every TInv steps:  A = Q_A Λ_A Q_Aᵀ,   G = Q_G Λ_G Q_Gᵀ
        d = Q_Gᵀ ∇W Q_A;   s ← βs + (1-β)d²;   u = Q_G [d / (ŝ + λ)] Q_Aᵀ       β = stat_decay
        then clipping by κ, decay and momentum as in :class:`KFAC`

    As :class:`KFAC` (see there for what it takes, and ``sampled``), with TInv that can be larger: the scales do not
    wait for the bases. s is the nearest diagonal (in the Frobenius norm) to the curvature in that basis, so it is never
    a worse picture than K-FAC's product of eigenvalues.

    This is the authors' EKFAC-ra: s averages the squares of mini-batch gradients, whose noise is that of one example
    divided by the batch; their other form takes each example's own. When the bases turn s is carried along as a
    diagonal matrix would be. Differs from the paper as :class:`KFAC` does: weight and bias are two blocks. Differs from
    a published code of an author (Thrandis/EKFAC-pytorch at 2de112a), so that the two cannot be compared step by step:
    there A and G are of the last batch alone, s starts from Λ_G Λ_Aᵀ again at every refresh (here from 0, debiased) and
    averages d² times the size of the batch.

    Reference: "Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis", Thomas George, César
    Laurent, Xavier Bouthillier, Nicolas Ballas, Pascal Vincent, 2018, https://arxiv.org/abs/1806.03884
    """
    rule = divide_by_square(stat_decay, damping)
    precondition = in_kronecker_eigenbasis(rule, stat_decay, max_precond_dim, every(TInv, phase=1))
    return _natural(precondition, lr, momentum, kl_clip, weight_decay, TCov, max_precond_dim, sampled)
