"""What must not change as a network gets wider."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...scaling import mup
from ..claim import at_most, claim

WIDTH = "On the Parameterization of Second-Order Optimization Effective Towards the Infinite Width"


def mlp(width: int) -> nn.Sequential:
    layers = nn.Linear(8, width, bias=False), nn.Tanh(), nn.Linear(width, width, bias=False), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(width, 1, bias=False)).double()


def with_widths(model: nn.Module, narrow: nn.Module) -> Any:
    """Shampoo with the paper's scales."""
    from ...optimizers import Shampoo

    mup.init_(model, narrow)
    return Shampoo(mup.shampoo_groups(model, narrow, lr=0.3, eps=1e-6))


def without_widths(model: nn.Module, narrow: nn.Module) -> Any:
    """Shampoo with the same rate and damping at every width, in torch's initial weights."""
    from ...optimizers import Shampoo

    return Shampoo(model.parameters(), lr=0.3, eps=1e-6)


@claim(
    "Shampoo",
    WIDTH,
    kind="empirical",
    predicts=at_most(1.25),
    tolerance=0.0,
    wrong=without_widths,
    subject=with_widths,
    seeds=8,
    scale="tanh networks of two hidden layers, 32 and 128 wide, 16 samples of 8 inputs",
)
def one_step_moves_features_alike_at_every_width(method: Any, seed: int) -> float:
    """With rate, damping and initial weights scaled with the width as the paper has it, one step of Shampoo changes the
    features of every layer, and the output, by amounts that do not depend on the width.

    The root mean square change after one step, 128 wide over 32 wide or the other way round, whichever is larger, each
    the mean over four draws: that of the layer where it is largest.
    """
    narrow = mlp(32)

    def changes(width: int, start: int) -> Tensor:
        torch.manual_seed(start)
        x, y = torch.randn(16, 8, dtype=torch.float64), torch.randn(16, 1, dtype=torch.float64)
        model = mlp(width)
        opt = method(model, narrow)

        def features() -> list[Tensor]:
            found = [x]
            for layer in model:
                found.append(layer(found[-1]))
            return [found[2], found[4], found[5]]

        before = features()
        (before[-1] - y).square().mean().backward()
        opt.step()
        after = features()
        return torch.stack(
            [(b - a).detach().square().mean().sqrt() for a, b in zip(before, after, strict=True)]
        )

    wide, slim = (torch.stack([changes(w, 10 * seed + k) for k in range(4)]).sum(0) for w in (128, 32))
    return max(max(r, 1 / r) for r in (wide / slim).tolist())
