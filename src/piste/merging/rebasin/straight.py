"""Learning a permutation by descent on the loss half way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..._registry import register
from .matching import match_weights
from .symmetry import Symmetries


def match_straight_through(
    found: Symmetries, model: nn.Module, a: Mapping[str, Tensor], b: Mapping[str, Tensor],
    loss: Callable[..., Tensor], batches: Iterable[Any], lr: float = 0.01, momentum: float = 0.9,
    generator: torch.Generator | None = None,
) -> list[Tensor]:  # fmt: skip
    """Orders of b's units that make the loss of the mean of a and π(b) small, found by descent.

        π = match_weights(θ̃, b);   L(½(a + π(b))) is evaluated, and its gradient given to θ̃ as if π(b) were θ̃

    θ̃ starts at a; the orders of the batch with the smallest loss are returned. ``loss(outputs, *targets)`` of
    ``model``'s outputs on each of ``batches``, (inputs, *targets).

    Reference: "Git Re-Basin: Merging Models modulo Permutation Symmetries", Samuel K. Ainsworth, Jonathan Hayase,
    Siddhartha Srinivasa, 2022, https://arxiv.org/abs/2209.04836, section 3.3
    """
    trained = {n for n, _ in model.named_parameters()}
    fixed_a, fixed_b = ({n: t.detach() for n, t in m.items()} for m in (a, b))
    theta = {n: t.clone().requires_grad_() for n, t in fixed_a.items() if n in trained}
    optimizer = torch.optim.SGD([*theta.values()], lr=lr, momentum=momentum)
    orders, best, least = found.identity(), found.identity(), torch.inf
    for inputs, *targets in batches:
        now = {**fixed_a, **{n: t.detach() for n, t in theta.items()}}
        orders = match_weights(found, now, fixed_b, generator, start=orders)
        projected = found.apply(fixed_b, orders)
        half = {
            n: 0.5 * (t + (projected[n] + theta[n] - theta[n].detach() if n in theta else projected[n]))
            if t.is_floating_point() else t
            for n, t in fixed_a.items()
        }  # fmt: skip
        value = loss(functional_call(model, half, (inputs,)), *targets)
        if float(value.detach()) < least:
            best, least = orders, float(value.detach())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    if least == torch.inf:
        raise ValueError("match_straight_through: no batch gave a finite loss")
    return best


register("merge", "match_straight_through", match_straight_through)
