"""MicroAdam."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.microadam import LONGEST, scale_by_microadam


@optimizer
def MicroAdam(
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    ngrads: int = 10,
    density: float = 0.01,
    topk_block_size: int = 16384,
    quant_block_size: int = 64,
) -> Chain:
    """Adam from a window of sparse gradients, what they leave out kept in four bits: a byte a weight, not eight.

        a = g + Q⁻¹(ξ);   c = the largest ⌈ρB⌉ entries of every B of a;   ξ ← Q(a - c)
        m̂ = (1-β₁)/(1-β₁ᵗ) Σ β₁^r c_r;   v̂ = (1-β₂)/(1-β₂ᵗ) Σ β₂^r c_r²       (the last m gradients, r steps back)
        p ← p - η (m̂ / (√v̂ + ε) + λp)

    For fine-tuning in little memory: with ``storage="bf16"``, as the authors keep it, ½ + 4mρ + 4/q bytes a weight (m =
    ``ngrads``, ρ = ``density``, q = ``quant_block_size``), 0.96 by default; without, ½ + 6mρ + 8/q. A step moves the
    weights that the window holds, at most 10 %. The authors take m = 10, ρ = 1 % and lr 4e-5 for language models of 0.1
    to 7 billion weights (1e-3 for a ResNet); q = 64 for the largest, 100,000 for the others. The window forgets all
    older squares, so that v̂ falls behind Adam's in the long run and steps grow.

    Follows the authors' code (IST-DASLab/ISTA-DASLab-Optimizers at 4c98e6e, with kernels of ISTA-DASLab-Optimizers-CUDA
    at e4a6147: read, not run, they need a GPU). Deviations: blocks have a given length B, there what the GPU's shared
    memory holds; gradients are not rounded to bf16, and values and bounds only with ``storage="bf16"``; codes are held
    to 0 … 15. Its denser variants (``alpha``) are not here.

    Reference: "MicroAdam: Accurate Adaptive Optimization with Low Space Overhead and Provable Convergence", Ionut-Vlad
    Modoranu, Mher Safaryan, Grigory Malinovsky, Eldar Kurtic, Thomas Robert, Peter Richtarik, Dan Alistarh, 2024,
    https://arxiv.org/abs/2405.15593
    """
    beta1, beta2 = betas
    if not 0 < density <= 1:
        raise ValueError(
            f"MicroAdam: density is the share of entries that are kept, in (0, 1], got {density}"
        )
    if ngrads < 1 or quant_block_size < 1:
        raise ValueError(
            f"MicroAdam: ngrads and quant_block_size are at least 1, got {ngrads} and {quant_block_size}"
        )
    if not 1 <= topk_block_size <= LONGEST:
        raise ValueError(
            f"MicroAdam: topk_block_size is 1 to {LONGEST}, of which 16 bits tell the places, got {topk_block_size}"
        )
    rule = scale_by_microadam(beta1, beta2, eps, ngrads, density, topk_block_size, quant_block_size)
    return chain(rule, decay_weights(weight_decay), descend(lr))
