"""Scion: a norm for every role, and the weights kept in its ball."""

from __future__ import annotations

from typing import Any

from .._define import optimizer
from .._transform import Chain, Part, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.layerwise import normalize_rms
from ..transforms.momentum import ema
from ..transforms.norms import (
    divide_by_width,
    normalize_columns,
    normalize_rows,
    scale_by_radius,
    take_sign,
)
from ..transforms.spectral import orthogonalize, rms_to_rms


def _scion(lr: float, momentum: float, scale: float, unconstrained: bool, *lmo: Part) -> Chain:
    """p ← p - η(ρd + p), d = -lmo of the averaged gradient; without the p if ``unconstrained``."""
    average = [ema(momentum)] if momentum else []
    inward = [] if unconstrained else [decay_weights(1.0)]
    return chain(*average, *lmo, scale_by_radius(scale), *inward, descend(lr))


@optimizer
def ScionSign(
    lr: float = 2**-12, momentum: float = 0.9, scale: float = 3000.0, normalized: bool = True,
    unconstrained: bool = False,
) -> Chain:  # fmt: skip
    """Scion's rule where entries are bounded, for output layers and tied embeddings.

        m ← μm + (1-μ)g;   p ← (1-η)p - ηρ sign(m)/n        the 1/n of an m × n matrix only if ``normalized``

    The authors' radius for the head of GPT is 60 times that of its hidden matrices (3000 and 50). Their ``momentum`` is
    1 - μ. Equal to the authors' code (LIONS-EPFL/scion at f58a393, norm "Sign") to 1e-15 over 40 steps in float64.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    narrow = [divide_by_width()] if normalized else []
    return _scion(lr, momentum, scale, unconstrained, take_sign(), *narrow)


@optimizer
def ScionRows(
    lr: float = 2**-12, momentum: float = 0.9, scale: float = 50.0, unconstrained: bool = False
) -> Chain:
    """Scion's rule for embeddings: every row, a token's vector, moves by the same root mean square.

        m ← μm + (1-μ)g;   pᵢ ← (1-η)pᵢ - ηρ √n mᵢ/‖mᵢ‖      row by row of an m × n matrix

    A vector is one row. With the radius ρ/n it is the authors' RowNorm. Equal to the authors' code (LIONS-EPFL/scion at
    f58a393, norm "ColNorm" with ``transpose``) to 1e-7 over 40 steps in float64, which is its 1e-8 in the denominator.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return _scion(lr, momentum, scale, unconstrained, normalize_rows())


@optimizer
def ScionColumns(
    lr: float = 2**-12, momentum: float = 0.9, scale: float = 50.0, unconstrained: bool = False
) -> Chain:
    """Scion's rule for a layer that looks inputs up: every column of its weight moves by the same root mean square.

        m ← μm + (1-μ)g;   pⱼ ← (1-η)pⱼ - ηρ √m mⱼ/‖mⱼ‖      column by column of an m × n matrix

    For a table stored [tokens, width], as ``nn.Embedding``'s, take :class:`ScionRows`. Equal to the authors' code
    (LIONS-EPFL/scion at f58a393, norm "ColNorm") to 1e-7 over 40 steps in float64, which is its 1e-8 in the
    denominator.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return _scion(lr, momentum, scale, unconstrained, normalize_columns())


@optimizer
def ScionRMS(
    lr: float = 2**-12, momentum: float = 0.9, scale: float = 50.0, unconstrained: bool = False
) -> Chain:
    """Scion's rule for biases and gains: the whole tensor moves by one root mean square.

        m ← μm + (1-μ)g;   p ← (1-η)p - ηρ m/rms(m)

    For vectors equal to the authors' code (LIONS-EPFL/scion at f58a393, norm "BiasRMS") to 9e-8 over 40 steps in
    float64, which is its 1e-8 in the denominator; a matrix is one tensor here and taken column by column there.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return _scion(lr, momentum, scale, unconstrained, normalize_rms())


def _rest() -> dict[str, Any]:
    head, rows = ScionSign.group(), ScionRows.group()
    first = {"optimizer": "Scion"}
    return {
        "embedding": rows, "position": rows, "head": head, "tied": head, "stem": first, "*": ScionRMS.group()
    }  # fmt: skip


@optimizer(rest=_rest)
def Scion(
    lr: float = 2**-12,
    momentum: float = 0.9,
    scale: float = 50.0,
    unconstrained: bool = False,
    ns_steps: int = 5,
) -> Chain:
    """Conditional gradients with a norm for every role: hidden matrices move, and stay, in a ball of the operator norm.

        m ← μm + (1-μ)g;   p ← (1-η)p - ηρ √(m/n) UVᵀ,  m = USVᵀ      for a hidden matrix m × n
        embeddings: ScionRows;   output layers: ScionSign;   biases and gains: ScionRMS

    Every step goes from p towards the point of the ball of radius ρ that is best for a linear model of the loss, so no
    weight ever leaves its ball (once in it); ``unconstrained`` leaves the (1-η) out. That is Muon with the decoupled
    decay 1 at the rate η and steps of length ηρ: weight decay is what keeps the weights in the ball. The bounds do not
    depend on width, so that η carries over from small models.

    lr 2⁻¹² and ρ of 50 (hidden) and 3000 (head) are the authors' for GPT of 124 million weights; for CNNs they take 8
    and more. Their ``momentum`` is 1 - μ. The groups of the rest have a ``lr`` and a ``scale`` of their own: to set
    them, ``rest={"head": piste.ScionSign.group(lr=..., scale=...)}``.

    Equal to the authors' code (LIONS-EPFL/scion at f58a393, norm "Spectral", its bf16 replaced by float64) to 7e-16
    over 40 steps. Differs from it: convolutions are matrices [out, in · window] in the ball √(m/n) of that matrix
    (there √(out/in) / window, with the window's area); orthogonalization is ``orthogonalize``, whose bf16 is float64
    for float64 weights. Theirs is also an initialization, at the boundary of the ball, which is the model's business
    here.

    Reference: "Training Deep Learning Models with Norm-Constrained LMOs", Thomas Pethick, Wanyun Xie, Kimon
    Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher, 2025, https://arxiv.org/abs/2502.07529
    """
    return _scion(lr, momentum, scale, unconstrained, orthogonalize(ns_steps), rms_to_rms())
