"""Muon's kin: other ways to the polar factor, other lengths, other bounds."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.attention import qk_clip
from ..transforms.decay import decay_weights, descend
from ..transforms.momentum import ema
from ..transforms.spectral import (
    match_rms,
    normalize_neurons,
    orthogonalize,
    orthogonalize_rescaled,
    spectral_scale,
)
from .muon import _rest


@optimizer(rest=_rest)
def TurboMuon(
    lr: float = 0.02,
    momentum: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 4,
    weight_decay: float = 0.0,
) -> Chain:
    """Muon with rows rescaled before the Newton-Schulz iteration, which then needs four steps in place of five.

        m ← μm + (1-μ)g;   u = (1-μ)g + μm   (Nesterov);   s_i = (Σ_j |uuᵀ|_ij)^(-1/2)
        p ← p - η (√max(1, m/n) · UVᵀ + λp),   diag(s) u = USVᵀ

    When: as Muon, with Muon's rates, where orthogonalization is a good part of the step. Wide or square weights are
    rescaled by rows, tall ones by columns.

    Reference: "Turbo-Muon: Accelerating Orthogonality-Based Optimization with Pre-Conditioning", Thibaut Boissin,
    Thomas Massena, Franck Mamalet, Mathieu Serrurier, 2025, https://arxiv.org/abs/2512.04632

    Equal to the authors' code (turbo_muon_torch.py, in the fork jy-user-coder/flash-newton-schulz at 10b6c36) to 2e-15
    over 40 steps in float64 on square matrices, with its iteration in float64, too. Deviations: the sums that scale the
    rows are bounded below by 1e-14 in place of 1e-6, so that small gradients are rescaled like large ones; a
    convolution's length is that of its flattened matrix.
    """
    return chain(
        ema(momentum, nesterov),
        orthogonalize_rescaled(ns_steps),
        spectral_scale(),
        decay_weights(weight_decay),
        descend(lr),
    )


@optimizer(rest=_rest)
def NorMuon(
    lr: float = 0.02,
    momentum: float = 0.95,
    beta2: float = 0.95,
    nesterov: bool = True,
    ns_steps: int = 5,
    weight_decay: float = 0.0,
) -> Chain:
    """Muon whose neurons move by like amounts: rows of the orthogonalized update divided by their running size.

        m ← μm + (1-μ)g;   o = UVᵀ of (1-μ)g + μm = USVᵀ   (Nesterov)
        v ← β₂v + (1-β₂) mean_j o_ij²;   û = o / √v
        p ← p - η (√max(1, m/n) · û ‖o‖/‖û‖ + λp)

    When: as Muon, with Muon's rates; the one number a row that it keeps costs nothing. Rows are outputs, as in
    ``nn.Linear``: weights kept the other way round want a view.

    Reference: "NorMuon: Making Muon more efficient and scalable", Zichong Li, Liming Liu, Chen Liang, Weizhu Chen,
    Tuo Zhao, 2025, https://arxiv.org/abs/2510.05491

    Equal to the authors' code (zichongli5/NorMuon at d45c9a4) to 2e-15 over 40 steps in float64 on square matrices,
    with its iteration in float64, too. Deviation: a convolution's rows are those of its flattened matrix, where theirs
    are the rows of each kernel. The paper scales the step to a root mean square of 0.2, the code as here.
    """
    return chain(
        ema(momentum, nesterov),
        orthogonalize(ns_steps),
        normalize_neurons(beta2),
        spectral_scale(),
        decay_weights(weight_decay),
        descend(lr),
    )


@optimizer(rest=_rest)
def MuonClip(
    lr: float = 2e-4,
    momentum: float = 0.95,
    nesterov: bool = False,
    ns_steps: int = 5,
    weight_decay: float = 0.1,
    tau: float = 100.0,
) -> Chain:
    """Muon at AdamW's step length, and queries and keys shrunk by head where attention logits have grown beyond τ.

        m ← μm + (1-μ)g;   p ← p - η (0.2 √max(m, n) · UVᵀ + λp),   m = USVᵀ
        p ← √min(1, τ / S_h) p   on the rows of each head h of a query or key projection

    When: large transformers, whose logits Muon lets grow. The model must tell S_h, its largest logit by head, which is
    one line in the forward pass (``piste.report``, see the transform ``qk_clip``); without it this is Moonshot's Muon.
    lr and weight_decay are those of the report's training, to be used as AdamW's.

    Reference: "Kimi K2: Open Agentic Intelligence", Kimi Team, 2025, https://arxiv.org/abs/2507.20534

    Reference: "Muon is Scalable for LLM Training", Jingyuan Liu et al., 2025, https://arxiv.org/abs/2502.16982

    Deviations: the report's momentum is a sum, m ← μm + g, which orthogonalization cannot tell from this average. No
    code was published with it.
    """
    return chain(
        ema(momentum, nesterov),
        orthogonalize(ns_steps),
        match_rms(0.2),
        decay_weights(weight_decay),
        descend(lr),
        qk_clip(tau),
    )
