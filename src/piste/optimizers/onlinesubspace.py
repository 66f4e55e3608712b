"""Online Subspace Descent."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.adaptive import debias_adam, scale_by_raw_adam
from ..transforms.decay import decay_new_weights, descend
from ..transforms.norms import take_sign
from ..transforms.subspaces import in_tracked_subspace, interpolated_momentum
from .adam import AdamW
from .lion import Lion


def _rest() -> dict[str, object]:
    return AdamW.group(lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0)


def _rest_of_lion() -> dict[str, object]:
    return Lion.group(lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)


def _checked(name: str, rank: int, projection_lr: float) -> None:
    if rank < 1 or not projection_lr >= 0:
        raise ValueError(
            f"{name}: rank is at least 1 and projection_lr at least 0, got {rank} and {projection_lr}"
        )


@optimizer(rest=_rest)
def OnlineSubspaceAdamW(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    rank: int = 128,
    scale: float = 0.25,
    projection_lr: float = 0.005,
    projection_decay: float = 0.01,
    correct_bias: bool = True,
) -> Chain:
    """GaLore whose subspace follows the gradients by a step of online PCA each time, with no singular vectors after the
    first.

        g' = Pᵀg;   m ← β₁m + (1-β₁)g';   v ← β₂v + (1-β₂)g'²                (m < n; else gᵀ for g)
        p ← p - η s √(1-β₂ᵗ)/(1-β₁ᵗ) P [m / (√v + ε)];   p ← (1-ηλ)p
        P ← AdamW(P, ∇‖ĝ - PPᵀĝ‖²),  ĝ = g/‖g‖;  at the first step P are g's leading left singular vectors instead

    For what GaLore is for, where its decompositions cost too much or its subspace is stale between them: an m × n
    matrix (m < n) keeps r(3m + 2n) numbers, P and its AdamW's moments among them. Hyperparameters as GaLore's;
    ``projection_lr`` is theirs, 1 over an update_proj_gap of 200. For hidden matrices: given a module, embeddings,
    heads, norms and biases go to ``rest`` (AdamW).

    Follows the authors' code, in which the step uses the P of before; its loss has no term that keeps P orthonormal.
    Differs: there ``projection_lr`` rises and falls with lr, here it has a schedule of its own
    (``opt.schedules["projection_lr"]``); vectors are never projected. Equal to that code
    (kyleliang919/Online-Subspace-Descent at e694775) to 2e-15 over 40 steps in float64.

    Reference: "Memory-Efficient LLM Training with Online Subspace Descent", Kaizhao Liang, Bo Liu, Lizhang Chen, Qiang
    Liu, 2024, https://arxiv.org/abs/2408.12857
    """
    _checked("OnlineSubspaceAdamW", rank, projection_lr)
    beta1, beta2 = betas
    rule = scale_by_raw_adam(beta1, beta2, eps)
    debiased = [debias_adam(beta1, beta2)] if correct_bias else []
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    subspace = in_tracked_subspace(rule, rank, scale, projection_lr, projection_decay)
    return chain(subspace, *debiased, descend(lr), *decay)


@optimizer(rest=_rest_of_lion)
def OnlineSubspaceLion(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    rank: int = 128,
    projection_lr: float = 0.005,
    projection_decay: float = 0.01,
) -> Chain:
    """Lion with its momentum in a subspace that follows the gradients by online PCA.

        g' = Pᵀg;   p ← p - η sign(P [β₁m + (1-β₁)g']);   m ← β₂m + (1-β₂)g';   p ← (1-ηλ)p       (m < n; else gᵀ)
        P as in OnlineSubspaceAdamW

    The sign is taken of what comes back from the subspace, so that every weight moves by η. An m × n matrix (m < n)
    keeps r(3m + n) numbers. lr and weight_decay as Lion's.

    Follows the authors' code, with the differences of OnlineSubspaceAdamW. Equal to it
    (kyleliang919/Online-Subspace-Descent at e694775) to 4e-15 over 40 steps in float64.

    Reference: "Memory-Efficient LLM Training with Online Subspace Descent", Kaizhao Liang, Bo Liu, Lizhang Chen, Qiang
    Liu, 2024, https://arxiv.org/abs/2408.12857
    """
    _checked("OnlineSubspaceLion", rank, projection_lr)
    decay = [decay_new_weights(lr, weight_decay)] if weight_decay else []
    subspace = in_tracked_subspace(interpolated_momentum(*betas), rank, 1.0, projection_lr, projection_decay)
    return chain(subspace, take_sign(), descend(lr), *decay)
