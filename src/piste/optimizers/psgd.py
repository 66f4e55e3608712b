"""PSGD's family."""

from __future__ import annotations

from .._chain import Part
from .._define import optimizer
from .._transform import Chain, chain
from ..schedules import evenly, every
from ..transforms.decay import decay_weights, descend
from ..transforms.psgd import whiten_by_kron, whiten_by_rotated_kron
from ..transforms.psgd_updates import clip_by_amplitude, running_mean

BALANCE = every(100, phase=1, start=2)


def numbers_that_fit(name: str, damping: float, rank: int = 0, **shares: float) -> None:
    """Errors (ValueError) for what the fit cannot bear."""
    if not damping > 0:
        raise ValueError(f"{name}: damping must be positive, since it bounds the preconditioner where the gradient "
                         f"vanishes; got {damping}")  # fmt: skip
    if rank < 0:
        raise ValueError(
            f"{name}: rank_of_approximation must not be negative, and 0 is a diagonal; got {rank}"
        )
    for key, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: {key} must be between 0 and 1; got {value}")


def averages(momentum: float, whiten_grad: bool) -> tuple[Chain, Chain]:
    """What stands in front of the preconditioner, and what it holds: P is fitted to what comes in."""
    average = chain(running_mean(momentum)) if momentum else chain()
    return (chain(), average) if whiten_grad else (average, chain())


def _chain(
    ahead: Chain, whiten: Part, amplitudes: tuple[float, float], weight_decay: float, lr: float
) -> Chain:
    return chain(ahead, whiten, clip_by_amplitude(*amplitudes), decay_weights(weight_decay), descend(lr))


@optimizer
def PSGDKron(
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192,
    preconditioner_max_skew: float = 1.0,
    preconditioner_update_probability: float = 1.0,
    whiten_grad: bool = True,
    cached: bool = False,
    grad_clip_max_amps: tuple[float, float] = (2.0, 10.0),
) -> Chain:
    """The gradient whitened by a Kronecker product, which is fitted by multiplications alone.

        h = g + δv,   v ~ N(0, 1);    A = Q_L h Q_Rᵀ;   B = Q_L⁻ᵀ v Q_R⁻¹
        Q_L ← Q_L - μ/ℓ_L triu(AAᵀ - BBᵀ) Q_L;   Q_R ← Q_R - μ/ℓ_R triu(AᵀA - BᵀB) Q_R
        m ← βm + (1-β)g;   u = Q_LᵀQ_L m Q_RᵀQ_R;   p ← p - η (clip(u) + λp)

    P = QᵀQ tends to (E gg')^-½ of the form P_L ⊗ P_R, so u has entries of size 1, like Adam's; lr and decay are of
    Adam's kind. For nets of matrices where steps matter; no root, inverse or eigenvector is taken, and no ε is tuned.
    Fit at every step at first, then seldom: the authors lower ``preconditioner_update_probability`` to 0.01-0.1, Evan
    Walters' kron_torch holds 1 for 500 steps and goes to 0.03 by 4000 (``opt.schedules`` takes such a function); with
    less than 1, ``cached=True`` halves the products of the steps between, for as much memory as the factors take.
    ``lr_preconditioner`` 0.1 fits fast; the authors go down from 0.5 to 0.01-0.1. ``whiten_grad=False`` fits P to the
    momentum: for sparse gradients; lr is then √((1-μ)/(1+μ)) as large. A ``betaL`` of 0.999 helps where gradients are
    very sparse. The longer side of a matrix that is not square keeps a diagonal; ``preconditioner_max_skew`` s lets it
    have a matrix up to a ratio of s.

    Follows the paper in the triangular group ("EQ" in the authors' code, which today prefers :class:`PSGDPRO`'s). Equal
    to that code (class KronWhiten of lixilinx/psgd_torch at a8616f1) to 2e-16 over 40 steps in float64, given the same
    probes and one bound of the spectral norm. Differs from it: that bound comes from the row with the largest diagonal
    entry and two products, without random vectors; P is fitted in evenly spread steps and the factors are balanced
    every 100 steps, not with these probabilities; an initial scale of 0 (from the first gradient) is each tensor's own,
    and 1 for a zero gradient; a tensor of more than two axes is one matrix [first axis, the others]. The decay is
    decoupled, as in the authors' wrappers.

    Reference: "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners", Omead Pooladzandi, Xi-Lin Li,
    2024, https://arxiv.org/abs/2402.04553
    Reference: "Preconditioned Stochastic Gradient Descent", Xi-Lin Li, 2015, https://arxiv.org/abs/1512.04202
    """
    numbers_that_fit("PSGDKron", damping, betaL=betaL)
    ahead, inner = averages(momentum, whiten_grad)
    whiten = whiten_by_kron(
        inner, lr_preconditioner, betaL, damping, preconditioner_init_scale, preconditioner_max_size,
        preconditioner_max_skew, cached, evenly(preconditioner_update_probability), BALANCE,
    )  # fmt: skip
    return _chain(ahead, whiten, grad_clip_max_amps, weight_decay, lr)


@optimizer
def PSGDPRO(
    lr: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    lr_preconditioner: float = 0.1,
    betaL: float = 0.9,
    damping: float = 1e-9,
    preconditioner_init_scale: float = 0.0,
    preconditioner_max_size: int = 8192,
    preconditioner_max_skew: float = 1.0,
    preconditioner_update_probability: float = 1.0,
    whiten_grad: bool = True,
    cached: bool = False,
    grad_clip_max_amps: tuple[float, float] = (2.0, 10.0),
) -> Chain:
    """:class:`PSGDKron` with factors near symmetric ones, fitted by products alone: what its authors recommend today.

        A = P (g + δv),   v ~ N(0, 1)
        Q_L ← Q_L - μ/ℓ_L (AAᵀ - n) Q_L;   Q_L ← exp(aR) Q_L, R ∝ Q_Lᵀ - Q_L;   Q_R likewise with AᵀA and m
        m ← βm + (1-β)g;   u = Q_LᵀQ_L m Q_RᵀQ_R;   p ← p - η (clip(u) + λp)

    No triangular system is solved, so that it bears bf16 and suits accelerators. The hyperparameters are
    :class:`PSGDKron`'s. The iteration is Newton-Schulz's for an inverse fourth root, on samples of the statistics.

    Equal to the authors' code (class KronWhiten of lixilinx/psgd_torch at a8616f1, dQ="Q0.5EQ1.5") to 2e-16 over 40
    steps in float64, given the same probes and bounds of the spectral norm. Differs from it as :class:`PSGDKron` does.

    Reference: "Stochastic Hessian Fittings with Lie Groups", Xi-Lin Li, 2024, https://arxiv.org/abs/2402.11858
    """
    numbers_that_fit("PSGDPRO", damping, betaL=betaL)
    ahead, inner = averages(momentum, whiten_grad)
    whiten = whiten_by_rotated_kron(
        inner, lr_preconditioner, betaL, damping, preconditioner_init_scale, preconditioner_max_size,
        preconditioner_max_skew, cached, evenly(preconditioner_update_probability), BALANCE,
    )  # fmt: skip
    return _chain(ahead, whiten, grad_clip_max_amps, weight_decay, lr)
