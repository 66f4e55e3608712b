"""The slope where the neighbourhood is worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._transform import oracle


@oracle
def sam(evaluate: Any, params: Sequence[Tensor], *, rho: float = 0.05, adaptive: bool = False) -> Any:
    """The gradient at w + e, where e climbs by ρ:

        e = ρ T²g / (‖Tg‖ + 1e-12),  g = ∇f(w);    T = 1, or |w| if ``adaptive``

    with the norm over all parameters. Two evaluations a step; the loss reported is the one at w, and both see the same
    dropout masks. The authors search ρ from 0.01 to 0.5 and take 0.05 for most tasks; the adaptive form wants ten times
    as much and more. In that form T = |w| for every parameter, as in the popular code (davda54/sam); its authors add
    0.01 and leave biases unscaled.

    Reference: "Sharpness-Aware Minimization for Efficiently Improving Generalization", Pierre Foret, Ariel Kleiner,
    Hossein Mobahi, Behnam Neyshabur, 2021, https://arxiv.org/abs/2010.01412
    Reference: "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks",
    Jungmin Kwon, Jeongseop Kim, Hyunseo Park, In Kwon Choi, 2021, https://arxiv.org/abs/2102.11600
    """
    loss, grads = evaluate()
    scale = [p.abs() if adaptive else 1.0 for p in params]
    found = [g for g in grads if g is not None]
    if not found:
        return loss, grads
    norms = [
        torch.linalg.vector_norm(t * g).to(found[0].device)
        for t, g in zip(scale, grads, strict=True)
        if g is not None
    ]
    length = rho / (torch.linalg.vector_norm(torch.stack(norms)) + 1e-12)
    point = [
        p if g is None else p + length.to(p.device) * t * t * g
        for p, t, g in zip(params, scale, grads, strict=True)
    ]
    return loss, evaluate(point)[1]
