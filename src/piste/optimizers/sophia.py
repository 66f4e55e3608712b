"""Sophia."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..oracles.hutchinson import hutchinson, sampled_fisher
from ..schedules import every
from ..transforms.curvature import scale_by_sophia
from ..transforms.decay import decay_weights, descend


@optimizer
def SophiaH(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.96, 0.99),
    rho: float = 0.01,
    eps: float = 1e-12,
    weight_decay: float = 0.1,
    update_each: int = 10,
    exact: bool = False,
) -> Chain:
    """A momentum over the Hessian's diagonal, every entry held to one: for language models.

        m ← β₁m + (1-β₁)g;    every k steps: h ← β₂h + (1-β₂) z ⊙ ∇²f z, z random signs
        p ← (1-ηλ)p - η clip(m / max(ρh, ε), 1)

    Needs ``step(closure)``; two more evaluations every ``update_each`` steps (k), or a double backward with ``exact``.
    The authors take an lr about that of AdamW or Lion (3 to 5 times smaller than AdamW's is safe), betas (0.96, 0.99),
    ρ = 0.01 (their γ), and choose ρ so that between 50 and 90 per cent of the entries are clipped:
    ``opt.metrics()["clipped"]`` shows the share.

    The authors draw z from a normal distribution; signs have the same mean and less variance. They published no code
    of this variant.

    Reference: "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training", Hong Liu,
    Zhiyuan Li, David Hall, Percy Liang, Tengyu Ma, 2023, https://arxiv.org/abs/2305.14342
    """
    probes = hutchinson(every(update_each, 1, 1), exact)
    return chain(probes, scale_by_sophia(*betas, rho, eps), decay_weights(weight_decay), descend(lr))


@optimizer(needs=("closure", "sampled labels"))
def SophiaG(
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.965, 0.99),
    rho: float = 0.04,
    eps: float = 1e-15,
    weight_decay: float = 0.1,
    update_each: int = 10,
    bs: float = 5120.0,
) -> Chain:
    """Sophia on the Gauss-Newton diagonal, from labels that the model draws: for language models.

        m ← β₁m + (1-β₁)g;    every k steps: h ← β₂h + (1-β₂) ĝ², ĝ the gradient at drawn labels
        p ← (1-ηλ)p - η clip(m / max(ρ B h, ε), 1)

    Needs ``step(piste.closure(forward, batches, model, sampled=...))``; one more evaluation every ``update_each`` steps
    (k). ``bs`` is B, how many labels the mean is over (of a language model: tokens in the step). The authors take
    betas (0.965, 0.99), ρ from 0.03 to 0.08, and an lr about that of Lion.

    Equal to the authors' code (Liuhong99/Sophia at a7e1572) to 5e-13 over 40 steps in float64, h being renewed where
    the paper's algorithm does: in front of the step, on its own batch (their training script does so behind every tenth
    step, on the next batch). max(ρBh, ε) is the paper's, the code has ρBh + 1e-15.

    Reference: "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training", Hong Liu,
    Zhiyuan Li, David Hall, Percy Liang, Tengyu Ma, 2023, https://arxiv.org/abs/2305.14342
    """
    probes = sampled_fisher(every(update_each, 1, 1))
    return chain(probes, scale_by_sophia(*betas, rho * bs, eps), decay_weights(weight_decay), descend(lr))
