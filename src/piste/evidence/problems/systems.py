"""Linear dynamical systems, to be learned from what they answer."""

from __future__ import annotations

import torch
from torch import Tensor

from ..problem import Problem, problem


def response(x: Tensor, states: int, steps: int) -> Tensor:
    """d, and C A^k B for k = 0 … steps - 2, of the system with the last row a of a companion matrix A, B its last unit
    vector, and the output C: x = (a, C, d)."""
    a, c, d = x[:states], x[states : 2 * states], x[-1]
    h = torch.cat([torch.zeros_like(a[1:]), torch.ones_like(a[:1])])
    found = [d]
    for _ in range(steps - 1):
        found.append(c @ h)
        h = torch.cat([h[1:], (a @ h).unsqueeze(0)])
    return torch.stack(found)


@problem
def linear_system(states: int = 4, steps: int = 24, seed: int = 0, noise: float = 0.1) -> Problem:
    """f(a, C, d) = Σ (r_k - r*_k)², r the impulse response over so many steps: the risk on white noise of a system of
    companion form. The poles of the truth lie within radius 0.8; the start is the truth but for random changes of the
    relative size ``noise`` of each part. A draw is the mean squared error on one white input, taken around.

    Quasi-convex around the truth where the poles are apart. Source: "Gradient Descent Learns Linear Dynamical Systems",
    Moritz Hardt, Tengyu Ma, Benjamin Recht, 2018.
    """
    random = torch.Generator().manual_seed(seed)
    poly = torch.ones(1, dtype=torch.float64)
    for _ in range(states // 2):
        size, phase = torch.rand(2, generator=random, dtype=torch.float64) * torch.tensor([0.8, torch.pi])
        pair = torch.stack([size**2, -2 * size * phase.cos(), torch.ones((), dtype=torch.float64)])
        grown = torch.zeros(len(poly) + 2, dtype=torch.float64)
        for i in range(3):
            grown[i : i + len(poly)] += pair[i] * poly
        poly = grown
    truth = torch.cat([-poly[:-1], torch.randn(states + 1, generator=random, dtype=torch.float64)])
    away = [
        part.norm()
        * noise
        * torch.nn.functional.normalize(torch.randn(len(part), generator=random).double(), dim=0)
        for part in truth.split([states, states, 1])
    ]
    answers = response(truth, states, steps)

    def loss(x: Tensor) -> Tensor:
        return (response(x, states, steps) - answers).square().sum()

    def draw(x: Tensor, random: torch.Generator) -> Tensor:
        u = torch.randn(steps, generator=random, dtype=torch.float64)
        off = response(x, states, steps) - answers
        around = torch.stack([u.roll(k) for k in range(steps)])
        return (off @ around).square().mean()

    return Problem(
        "a linear dynamical system", loss, truth + torch.cat(away), 0.0, truth, radius=0.05, draw=draw,
        noise="one white input",
    )  # fmt: skip
