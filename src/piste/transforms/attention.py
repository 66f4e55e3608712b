"""What attention asks of its weights: logits that stay in bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from .._transform import signal, transform


@transform(
    room="delta",
    signals={"max_logit": signal("m", how="max"), "max_logit_alone": signal("m", how="max")},
)
def qk_clip(
    u: Tensor, param: Tensor, max_logit: Tensor | None, max_logit_alone: Tensor | None, *, tau: float = 100.0
) -> Tensor:
    """The weights that the step leads to, shrunk where the attention logits they made exceeded τ; by head.

        γ_h = min(1, τ / S_h);   p + δ ← √γ_h (p + δ)   on the rows of head h,

    S_h the largest logit of head h (after the division by √d, over queries, keys and batch). Query and key each take
    the root, so that the same input gives logits of at most τ. Report it in the forward pass, on both projections:

        piste.report(self.query, max_logit=scores.amax((0, 2, 3)))     # scores: [batch, head, query, key]
        piste.report(self.key, max_logit=scores.amax((0, 2, 3)))

    What is reported as ``max_logit_alone`` is corrected in this weight alone, by γ: for queries whose keys serve other
    heads as well (the rotary part of multi-head latent attention; grouped queries). A fused projection reports one
    number for each block of its rows, 0 for the values. Nothing reported, or nothing finite: nothing happens. Biases of
    the projections are not touched: they should have none. For sharding, accumulation and replicas see `piste.report`.

    Reference: "Kimi K2: Open Agentic Intelligence", Kimi Team, 2025, https://arxiv.org/abs/2507.20534
    """
    kept = 1.0
    if max_logit is not None:
        kept = kept * _share(max_logit, tau).sqrt()
    if max_logit_alone is not None:
        kept = kept * _share(max_logit_alone, tau)
    return u if isinstance(kept, float) else u + (kept - 1) * (param + u)


def _share(largest: Tensor, tau: float) -> Tensor:
    """γ; of an overflow, which tells nothing, 1."""
    return torch.where(largest.isfinite(), tau / largest.clamp(min=tau), 1.0)
