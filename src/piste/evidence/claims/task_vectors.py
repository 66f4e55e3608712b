"""What models learned as vectors: added, taken away, trimmed, dropped and turned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...merging.linear import mixed, slerp, task_arithmetic
from ...merging.running import merge
from ...merging.sparse import dare
from ..claim import at_least, at_most, claim, equal
from .fine_tuned import FINE, run
from .posteriors import averaged, drawn
from .turned_digits import TEST, TURN, error, part, start

EDITING = "Editing Models with Task Arithmetic"
TIES = "TIES-Merging: Resolving Interference When Merging Models"
MARIO = "Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free Lunch"
SHOEMAKE = "Animating Rotation with Quaternion Curves"
Mix = Callable[..., Tensor]


@claim(
    "task_arithmetic",
    EDITING,
    subject=task_arithmetic,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=averaged,
    seeds=4,
    scale=FINE,
)
def negated_task_vectors_forget_their_task_first(method: Mix, seed: int) -> float:
    """Negating a task vector makes a model worse at its task and changes it little elsewhere.

    The rise of the error on upright digits over that on turned ones, when the vector is subtracted.
    """
    base, two = start(seed), run(seed, 0)
    w, b, v, c = (method([t], t0, [-1.0]) for t, t0 in zip(two, base, strict=True))
    here, there = (error((w, b, v, c), *t) - error(base, *t) for t in (part(0.0, TEST), part(TURN, TEST)))
    return here / there if there > 0 else math.inf


def diluted(method: str, models: Sequence[Any], *, base: Any, density: float) -> dict[str, Tensor]:
    """The base and the mean of all moves."""
    return merge("task_arithmetic", models, base=base, scale=1 / len(models))


@claim(
    "ties", TIES, subject=merge, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=diluted, seeds=3
)
def influential_values_survive_redundant_ones_and_other_signs(method: Any, seed: int) -> float:
    """Averaging obscures a model's influential values by others' redundant ones, and by opposite signs; with trimming
    and election each is kept at its own size.

    Four models of 200 weights with 40 influential ones each, of size 1 to 2 (some places are two models', with one
    sign; some three's, of which one disagrees and is the least), and noise of at most 0.1 elsewhere: the largest
    difference, on influential places, from the mean of those that hold the elected sign.
    """
    random = torch.Generator().manual_seed(seed)
    moves = 0.2 * torch.rand(4, 200, generator=random, dtype=torch.float64) - 0.1
    want, base = torch.zeros(200, dtype=torch.float64), drawn(seed + 50, 200)
    places, count = torch.randperm(200, generator=random).tolist(), [0] * 4
    for place in places:
        kind = int(torch.randint(3, (), generator=random))
        who = sorted(range(4), key=lambda i: count[i])[: kind + 1]
        if any(count[i] == 40 for i in who):
            continue
        sign = 1.0 - 2.0 * float(torch.randint(2, (), generator=random))
        sizes = (1 + torch.rand(3, generator=random, dtype=torch.float64)).sort(descending=True).values * sign
        for i, size in zip(who, sizes, strict=False):
            moves[i, place], count[i] = size, count[i] + 1
        if kind == 2:
            moves[who[2], place] *= -1
        want[place] = sizes[: min(kind + 1, 2)].mean()
    found = method("ties", [{"w": base + m} for m in moves], base={"w": base}, density=0.2)["w"] - base
    return float((found - want)[want != 0].abs().max())


def unscaled(
    tensors: Sequence[Tensor], base: Tensor, weights: Sequence[float], generator: torch.Generator, **more: Any
) -> Tensor:
    """What is dropped is not made up for."""
    return base + more["density"] * (dare(tensors, base, weights, generator, **more) - base)


@claim(
    "dare", MARIO, subject=dare, kind="theorem", predicts=at_most(6.0), tolerance=0.0, wrong=unscaled, seeds=3
)
def dropping_and_rescaling_is_right_in_expectation(method: Mix, seed: int) -> float:
    """What a layer answers is kept in expectation when most of what fine-tuning changed is dropped at random and the
    rest rescaled.

    The largest difference over 30 outputs of a 20 × 30 layer between the mean of 4000 draws that keep a tenth and the
    fine-tuned layer, in standard errors as the formula has them.
    """
    base, move, x = drawn(seed, 30, 20), drawn(seed + 50, 30, 20), drawn(seed + 90, 20)
    random, p, n = torch.Generator().manual_seed(seed), 0.1, 4000
    mean = sum(method([base + move], base, [1.0], random, density=p) for _ in range(n)) / n
    spread = ((move * x).square().sum(1) * (1 - p) / (p * n)).sqrt()
    return float((((mean - base - move) @ x).abs() / spread).max())


@claim(
    "dare",
    MARIO,
    subject=dare,
    kind="empirical",
    predicts=at_least(0.95),
    tolerance=0.0,
    wrong=unscaled,
    seeds=4,
    scale=FINE,
)
def nine_tenths_of_what_was_learned_can_be_dropped(method: Mix, seed: int) -> float:
    """Nine of ten changes that fine-tuning made can be dropped and the rest rescaled with hardly any loss of accuracy.

    The share of the gain of accuracy on turned digits by fine-tuning that is left, the mean of 10 draws. The paper says
    it of language models, whose weights change by some thousandths; those here change by a third of their size.
    """
    base, two, test = start(seed), run(seed, 0), part(TURN, TEST)
    random, kept = torch.Generator().manual_seed(seed), 0.0
    for _ in range(10):
        w, b, v, c = (method([t], t0, [1.0], random, density=0.1) for t, t0 in zip(two, base, strict=True))
        kept += (error(base, *test) - error((w, b, v, c), *test)) / 10
    return kept / (error(base, *test) - error(two, *test))


def straight(tensors: Sequence[Tensor], *, t: float = 0.5) -> Tensor:
    return mixed(tensors, [1 - t, t])


@claim(
    "slerp",
    SHOEMAKE,
    subject=slerp,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-9,
    wrong=straight,
    seeds=3,
)
def slerp_turns_about_one_axis_at_one_speed(method: Mix, seed: int) -> float:
    """Between two unit quaternions the arc turns about one axis, by an angle that is proportional to the time.

    The largest difference between a point that the quaternion at time t turns and the point that Rodrigues' formula
    turns by t times the angle from the first; 20 pairs, 11 times each.
    """
    random, worst = torch.Generator().manual_seed(seed), 0.0
    for _ in range(20):
        axis, p = torch.randn(2, 3, generator=random, dtype=torch.float64)
        axis, angle = axis / axis.norm(), 0.2 + 2.8 * float(torch.rand((), generator=random))
        first, last = (_quaternion(axis, a) for a in (0.0, angle))
        for t in torch.linspace(0, 1, 11).tolist():
            a = t * angle
            along = axis * (axis @ p) * (1 - math.cos(a))
            want = p * math.cos(a) + torch.linalg.cross(axis, p) * math.sin(a) + along
            worst = max(worst, float((_turned(method([first, last], t=t), p) - want).abs().max()))
    return worst


def _quaternion(axis: Tensor, angle: float) -> Tensor:
    return torch.cat([torch.tensor([math.cos(angle / 2)], dtype=torch.float64), math.sin(angle / 2) * axis])


def _turned(q: Tensor, p: Tensor) -> Tensor:
    """The point q p q*."""
    s, v = q[0], q[1:]
    return (s * s - v @ v) * p + 2 * (v @ p) * v + 2 * s * torch.linalg.cross(v, p)
