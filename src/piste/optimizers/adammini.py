"""Adam-mini."""

from __future__ import annotations

from .._define import optimizer
from .._transform import Chain, chain
from ..transforms.decay import decay_weights, descend
from ..transforms.subset_norm import scale_by_row_adam


@optimizer
def AdamMini(
    lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0
) -> Chain:
    """AdamW with one second moment for every neuron, token or head, half the state.

        m ← β₁m + (1-β₁)g;   v_i ← β₂v_i + (1-β₂) mean_j g²       (i: the rows of a parameter's matrix)
        p ← p - η (m̂ / (√v̂ + ε) + λp),   m̂ = m/(1-β₁ᵗ),  v̂ = v/(1-β₂ᵗ)

    For transformers whose AdamW state is too large: all hyperparameters are AdamW's. What shares a second moment is a
    row of the parameter's view (see docs/routing.md): an output neuron of a matrix, a token of an embedding or a head,
    a filter of a convolution, the whole of a vector, as the authors' partition has it, with fused projections cut into
    their blocks. Queries and keys, where theirs is by attention head, are told by a view whose rows are heads:
    ``overrides={"*.q_proj.weight": "(h d) i -> h (d i) | h=12"}``, for fused ones
    ``"(three h d) i -> three h (d i) | three=3 h=12"``. In runs of under 20,000 steps the authors give the values
    one second moment in all (``"o i -> 1 (o i)"``).

    Equal to the authors' code (zyushun/Adam-mini at 402aadf, version 1.1.1) to 2e-15 over 40 steps in float64 on
    matrices, a fused view and norms. Deviations: roles in place of substrings of names; biases have one second moment
    each (there all); norms and biases decay like the rest unless their group says otherwise (there never).

    Reference: "Adam-mini: Use Fewer Learning Rates To Gain More", Yushun Zhang, Congliang Chen, Ziniu Li, Tian Ding,
    Chenwei Wu, Diederik P. Kingma, Yinyu Ye, Zhi-Quan Luo, Ruoyu Sun, 2024, https://arxiv.org/abs/2406.16793
    """
    return chain(scale_by_row_adam(*betas, eps), decay_weights(weight_decay), descend(lr))
