"""O2NC: the conversion of online learning into optimization without convexity or smoothness.

Source: Cutkosky, Mehta and Orabona, "Optimal Stochastic Non-smooth Non-convex Optimization through
Online-to-Non-convex Conversion" (2023), https://arxiv.org/abs/2302.03775; the learner is projected online gradient
descent over the ball of radius η around 0, of the linear losses ⟨g, Δ⟩

    x ← x + Δ;   w ← x + s Δ                 s uniform on [0, 1], w from the x before
    g = ∇f(w);   Δ ← Δ - κ η g, shortened to ‖Δ‖ ≤ η, with the norm over all parameters

The first gradient is taken at x itself (Δ = 0). The random numbers are those of Python's generator seeded by
"seed/step", which is how the library draws them.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

CASE = dict(
    hyper={"lr": 0.3, "gain": 0.05, "draw_seed": 3}
)  # gain: at first within the ball, later on its rim


def sequences(
    params: list[Tensor], grads: list[list[Tensor]], lr: float = 1e-3, gain: float = 0.1, draw_seed: int = 0
) -> tuple[list[Tensor], list[Tensor]]:
    """The final x and w of every parameter."""
    shapes = [p.shape for p in params]
    x = torch.cat([p.flatten() for p in params])
    delta = torch.zeros_like(x)
    w = x
    for t, row in enumerate(grads, start=1):
        g = torch.cat([part.flatten() for part in row])
        delta = delta - gain * lr * g
        if delta.norm() > lr:
            delta = delta * (lr / delta.norm())
        w = x + random.Random(f"{draw_seed}/{t}").random() * delta
        x = x + delta
    return _parts(x, shapes), _parts(w, shapes)


def _parts(flat: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    pieces = flat.split([s.numel() for s in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes)]


def reference(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    """Where the next gradient is taken: w."""
    return sequences(params, grads, **hyper)[1]  # type: ignore[arg-type]


def reference_eval(params: list[Tensor], grads: list[list[Tensor]], **hyper: float) -> list[Tensor]:
    """The ends of the steps: x."""
    return sequences(params, grads, **hyper)[0]  # type: ignore[arg-type]
