"""What activations keep of their input for the backward pass, and what is enough."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...memory.activations import EDGE, Levels, _levels, _made, few_bit
from ...memory.measure import measure
from ...optimizers import SGD, AdamW
from ..claim import at_most, claim
from ..tuning import tuned
from .digit_runs import KNOWN, NEW, shuffled

FEW_BIT = "Few-Bit Backward: Quantized Gradients of Activation Functions for Memory Footprint Reduction"
RATES = (5e-3, 1.5e-2, 4.5e-2)

Change = Callable[[nn.Module], nn.Module]


def slopes(act: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(act(x).sum(), x)[0]


def programmed(act: nn.Module, bits: int) -> Levels:
    return _levels(_made(act), bits)


def evenly(act: nn.Module, bits: int) -> Levels:
    """Borders at equal distances, the best levels between them."""
    grid = torch.linspace(-EDGE, EDGE, 2**bits + 1, dtype=torch.float64)
    values = act(grid).diff() / grid.diff()
    return Levels(tuple(grid[1:-1].tolist()), tuple(values.tolist()), 0.0)


def searched(act: nn.Module, bits: int, random: torch.Generator, rounds: int = 100) -> Levels:
    """Lloyd's alternation from random borders: levels are means, borders where the derivative is halfway."""
    borders = (1.5 * torch.randn(2**bits - 1, generator=random, dtype=torch.float64)).sort().values
    for _ in range(rounds):
        ends = torch.cat([borders.new_tensor([-EDGE]), borders, borders.new_tensor([EDGE])])
        values = act(ends).diff() / ends.diff().clamp(min=1e-9)
        halfway = slopes(act, borders) - (values[1:] + values[:-1]) / 2
        borders = (borders - 2 * values.diff() * halfway).clamp(-EDGE, EDGE).sort().values
    return Levels(tuple(borders.tolist()), tuple(values.tolist()), 0.0)


def missed(act: nn.Module, levels: Levels) -> float:
    """∫ (f′ - q)² over the range."""
    x = torch.linspace(-EDGE, EDGE, 40_001, dtype=torch.float64)
    q = torch.tensor(levels.values, dtype=torch.float64)[torch.bucketize(x, x.new_tensor(levels.borders))]
    return float((slopes(act, x) - q).square().mean()) * 2 * EDGE


@claim(
    "FewBit",
    FEW_BIT,
    kind="theorem",
    predicts=at_most(1.0),
    tolerance=2e-3,
    wrong=evenly,
    subject=programmed,
    seeds=3,
)
def no_random_start_finds_better_levels_than_dynamic_programming(method: Any, seed: int) -> float:
    """Dynamic programming finds the piecewise constant function of 2^b levels that is closest in L² to an activation's
    derivative.

    The largest ratio of its squared distance to the least of 8 alternating searches from random borders, over GELU and
    ELU in 2 and 3 bits.
    """
    random, ratios = torch.Generator().manual_seed(seed), []
    for act in (nn.GELU(), nn.ELU()):
        for bits in (2, 3):
            least = min(missed(act, searched(act, bits, random)) for _ in range(8))
            ratios.append(missed(act, method(act, bits)) / least)
    return max(ratios)


@claim(
    "FewBit",
    FEW_BIT,
    kind="identity",
    predicts=at_most(3 / 64),
    tolerance=1e-3,
    wrong=copy.deepcopy,
    subject=few_bit,
    seeds=1,
)
def three_bits_take_the_place_of_sixty_four(method: Any, seed: int) -> float:
    """Of the input of a pointwise function b bits are kept for each element, whatever its own precision.

    Bytes saved for the backward pass of 16 GELU and SiLU in a row, over those of torch's, in float64 and three bits.
    """
    plain = nn.Sequential(*[nn.GELU() if k % 2 else nn.SiLU() for k in range(16)])
    x = torch.zeros(256, 256, dtype=torch.float64, requires_grad=True)

    def saved(model: nn.Module) -> int:
        return measure(model, SGD([nn.Parameter(torch.zeros(1))]), lambda: model(x).sum()).saved

    return saved(method(copy.deepcopy(plain))) / saved(plain)


class _Passing(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return F.gelu(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Straight(nn.Module):
    """GELU that hands gradients on as they are: no bit of its input is kept."""

    def forward(self, x: Tensor) -> Tensor:
        return _Passing.apply(x)  # type: ignore[return-value]


def straight(model: nn.Module) -> nn.Module:
    return nn.Sequential(*[Straight() if isinstance(m, nn.GELU) else m for m in model.children()])


def learned(change: Change, seed: int, lr: float, steps: int = 100) -> float:
    """The loss on new digits of two hidden layers of 64 after so many steps of AdamW on batches of 100, the rate
    falling to 0."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10)]
    torch.set_rng_state(state)
    model, (x, labels) = change(nn.Sequential(*layers).double()), shuffled()
    params = [p for p in model.parameters() if p.requires_grad]
    opt, random = AdamW(params, lr=lr, weight_decay=0.0), torch.Generator().manual_seed(seed)
    for t in range(steps):
        opt.param_groups[0]["lr"] = lr * (1 - t / steps)
        rows = torch.randint(len(x[KNOWN]), (100,), generator=random)
        opt.zero_grad()
        F.cross_entropy(model(x[KNOWN][rows]), labels[KNOWN][rows]).backward()
        opt.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(x[NEW]), labels[NEW]))


def beside_exact(change: Change, seed: int) -> float:
    """The mean loss in the end of three starts over that of torch's own layers, each at the best of three rates."""

    def best(how: Change) -> float:
        return tuned(lambda lr: sum(learned(how, 3 * seed + k, lr) for k in range(3)), RATES).score

    return best(change) / best(lambda model: model)


@claim(
    "FewBit",
    FEW_BIT,
    kind="empirical",
    predicts=at_most(1.05),
    tolerance=0.0,
    wrong=straight,
    subject=few_bit,
    seeds=5,
    cost="full",
    scale="a network of two hidden layers of 64 on 1,000 digits of 8 × 8, 100 steps of 100, three starts",
)
def three_bits_of_an_activation_are_enough_to_learn_digits(method: Any, seed: int) -> float:
    """Training with derivatives of three bits ends where training with exact ones does.

    The loss on new digits over that with torch's GELU, AdamW at the best of the same rates for both.
    """
    return beside_exact(method, seed)
