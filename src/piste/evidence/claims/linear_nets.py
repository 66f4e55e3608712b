"""Deep linear networks: their dynamics in closed form, and what depth does to a linear model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..claim import at_most, claim, equal
from ..problems.quadratics import rotation
from ..tuning import steps_to, tuned
from .paths import follow, normal
from .wrong import told

EXACT = "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks"
ACCELERATION = "On the Optimization of Deep Networks: Implicit Acceleration by Overparameterization"
STATES = "Towards a theory of learning dynamics in deep state space models"


def _plain() -> Any:
    return get("SGD", "optimizer").target


def _sigmoid(start: float, strength: float, end: float, time: float) -> float:
    """u at that time, of u' = 2u (strength - u · strength/end), u(0) = start: how a product of two balanced factors
    learns."""
    grown = math.exp(2 * strength * time)
    return end * grown / (grown - 1 + end / start)


@claim(
    "SGD",
    EXACT,
    kind="identity",
    predicts=equal(0.0),
    tolerance=0.02,
    wrong=told("SGD", momentum=0.5),
    seeds=2,
)
def modes_of_a_linear_network_are_learned_along_sigmoids(method: Any, seed: int) -> float:
    """In a linear network of two layers that starts small and balanced, with white inputs, every singular mode s of the
    task is learned by itself, along u(t) = s e^{2st} / (e^{2st} - 1 + s/u₀), so the strong ones first.

    The largest difference between the singular modes of W₂W₁ and these curves, as a share of s, over 800 steps of the
    rate 0.005, for modes 3, 2 and 1.
    """
    sizes = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    left, right, hidden = (rotation(n, seed + n)[:, :3] for n in (5, 4, 6))
    goal, tiny, rate, worst = left * sizes @ right.mT, 1e-3, 0.005, 0.0
    start = [tiny**0.5 * hidden @ right.mT, tiny**0.5 * left @ hidden.mT]

    def slopes(parts: list[Tensor]) -> tuple[Tensor, Tensor]:
        off = parts[1] @ parts[0] - goal
        return parts[1].mT @ off, off @ parts[0].mT

    def look(t: int, parts: list[Tensor]) -> None:
        nonlocal worst
        if t % 20 == 0:
            modes = (left.mT @ parts[1] @ parts[0] @ right).diagonal().tolist()
            for u, s in zip(modes, sizes.tolist(), strict=True):
                worst = max(worst, abs(u - _sigmoid(tiny, s, s, rate * t)) / s)

    follow(method, start, slopes, 800, look, lr=rate)
    return worst


@claim(
    "SGD",
    ACCELERATION,
    kind="identity",
    predicts=equal(0.0),
    tolerance=1e-4,
    wrong=told("SGD", weight_decay=0.1),
    seeds=3,
)
def depth_is_a_preconditioner(method: Any, seed: int) -> float:
    """Gradient descent with a small rate on a balanced linear network of N layers and one output moves the product w of
    its layers by -η ‖w‖^{2-2/N} (g + (N - 1) P g), g the gradient at w and P the projection onto w.

    The relative difference from one step of the rate 1e-6 with N = 3, for a gradient drawn at random.
    """
    direction, g = torch.nn.functional.normalize(normal(seed, 6), dim=0), normal(seed + 1, 6)
    inner, outer = (rotation(4, seed + k)[:, 0] for k in (2, 3))
    length, rate = 1.7, 1e-6
    start = [length * inner.outer(direction), length * outer.outer(inner), length * outer.unsqueeze(0)]

    def slopes(p: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        a, b, c = p
        return (c @ b).mT @ g.unsqueeze(0), c.mT @ (a @ g).unsqueeze(0), (b @ a @ g).unsqueeze(0)

    a, b, c = follow(method, start, slopes, 1, lr=rate)
    w = length**3 * direction
    moved = ((c @ b @ a).squeeze(0) - w) / -rate
    said = w.norm() ** (4 / 3) * (g + 2 * direction * (direction @ g))
    return float((moved - said).norm() / said.norm())


@claim(
    "SGD",
    ACCELERATION,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=told("SGD", weight_decay=0.05),
    seeds=3,
    scale="two numbers, p = 4, targets near 4 and 1, both rates tuned on a grid of √2",
)
def a_second_layer_speeds_up_l4_regression(method: Any, seed: int) -> float:
    """With an ℓ4 loss and targets of different sizes, replacing w by a product of a vector and a number reaches a given
    loss in fewer steps than gradient descent on w.

    The ratio of the steps to Σ (wᵢ - yᵢ)⁴/4 = 1e-4, from w of length 0.01 along (1, 1), rates tuned for either, at most
    1,500 steps.
    """
    goal = torch.tensor([4.0, 1.0], dtype=torch.float64) * (1 + 0.1 * normal(seed, 2).tanh())
    w = torch.full((2,), 0.01 / 2**0.5, dtype=torch.float64)
    deep = [w / w.norm() ** 0.5, w.norm().sqrt()]

    def slope(at: Tensor) -> Tensor:
        return (at - goal) ** 3

    def both(p: list[Tensor]) -> tuple[Tensor, Tensor]:
        g = slope(p[0] * p[1])
        return g * p[1], g @ p[0]

    def steps(run: Any, parts: list[Tensor], slopes: Any, lr: float) -> float:
        losses = list[float]()

        def look(_: int, p: list[Tensor]) -> bool:
            off = p[0] * p[1] - goal if len(p) > 1 else p[0] - goal
            losses.append(float(off.square().square().sum() / 4))
            return not losses[-1] > 1e-4 or losses[-1] > 1e6

        follow(run, parts, slopes, 1500, look, lr=lr)
        return steps_to(losses, 1e-4)

    grid = [0.02 * 2 ** (k / 2) for k in range(3)]
    ours = tuned(lambda lr: steps(method, deep, both, lr), grid, 8).score
    plain = tuned(
        lambda lr: steps(_plain(), [w], lambda p: [slope(p[0])], lr), [4 * g for g in grid], 8
    ).score
    return ours / plain


def _sequences(seed: int, decay: float = 0.7, length: int = 32) -> tuple[Tensor, Tensor]:
    """What the state h ← decay · h + input makes of a periodic input, and the outputs of a teacher that decays by 0.3,
    with noise."""
    given = normal(seed, length)

    def states(by: float) -> Tensor:
        seen, h = list[Tensor](), torch.zeros((), dtype=torch.float64)
        for t in range(4 * length):
            h = by * h + given[t % length]
            seen.append(h)
        return torch.stack(seen[-length:])

    return states(decay), 2 * states(0.3) + 0.1 * normal(seed + 1, length)


@claim(
    "SGD",
    STATES,
    kind="identity",
    predicts=equal(0.0),
    tolerance=0.02,
    wrong=told("SGD", momentum=0.5),
    seeds=2,
)
def a_state_space_model_learns_like_a_linear_network(method: Any, seed: int) -> float:
    """In the frequency domain the input and output weights of a linear state space model with one state learn like a
    linear network of two layers, driven by the spectra σ = Σ Re(X̄Y) and η = Σ |X|² of states and targets.

    The largest difference, as a share of the end, between the product of both weights, trained on sequences of 32 steps
    by running the recursion, and the sigmoid with σ and η from Fourier transforms, over 600 steps.
    """
    x, y = _sequences(seed)
    spectrum, goal = torch.fft.fft(x), torch.fft.fft(y)
    power = float(spectrum.abs().square().sum()) / len(x) ** 2
    drive = float((spectrum.conj() * goal).real.sum()) / len(x) ** 2
    tiny, rate, end, worst = 1e-2, 0.005 / drive, drive / power, 0.0

    def slopes(p: list[Tensor]) -> tuple[Tensor, Tensor]:
        off = (x @ (p[0] * p[1] * x - y)) / len(x)
        return p[1] * off, p[0] * off

    def look(t: int, p: list[Tensor]) -> None:
        nonlocal worst
        worst = max(worst, abs(float(p[0] * p[1]) - _sigmoid(tiny, drive, end, rate * t)) / end)

    follow(method, [torch.full((), tiny**0.5, dtype=torch.float64)] * 2, slopes, 600, look, lr=rate)
    return worst


def _divided(params: Any, lr: float) -> Any:
    """Gradient descent with its rate over the square of how many numbers a parameter has."""
    params = list(params)
    return _plain()(params, lr=lr / params[0].numel() ** 2)


@claim(
    "SGD",
    STATES,
    kind="empirical",
    predicts=at_most(1.0),
    tolerance=0.0,
    wrong=_divided,
    seeds=3,
    scale="sequences of 32 steps, 1 and 8 latent states of one decay, weights from 0.1 (1 + N(0, 0.01))",
)
def more_latent_states_learn_faster(method: Any, seed: int) -> float:
    """A linear state space model with more latent states than it needs converges in fewer steps at the same rate.

    The ratio of the steps to 95 % of the final weight, 8 latent states to 1, every state's weights starting alike.
    """
    x, y = _sequences(seed)
    power, drive = float(x @ x) / len(x), float(x @ y) / len(x)

    def steps(states: int) -> float:
        count = math.inf
        start = [0.1 * (1 + 0.1 * normal(seed + k, states)) for k in (2, 3)]

        def look(t: int, p: list[Tensor]) -> bool:
            nonlocal count
            done = float(p[0] @ p[1]) >= 0.95 * drive / power
            count = float(t) if done else count
            return done

        def slopes(p: list[Tensor]) -> tuple[Tensor, Tensor]:
            off = (p[0] @ p[1]) * power - drive
            return off * p[1], off * p[0]

        follow(method, start, slopes, 2000, look, lr=0.02 / drive)
        return min(count, 2000.0)

    return steps(8) / steps(1)
