"""Proximal, extrapolated, mirror and dual averaging steps against what defines them."""

from __future__ import annotations

import torch

from piste import chain, functional
from piste.transforms import (
    descend,
    dual_average,
    exponentiate,
    extrapolate,
    project_box,
    prox_l1,
)


def path(rule, start: torch.Tensor, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    params = {"x": start}
    state, points = functional.init(rule, params), [start]
    for g in gradients:
        params, state = functional.step(rule, {"x": g}, state, params)
        points.append(params["x"])
    return points


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_a_proximal_step_minimizes_what_it_says():
    x, g, lr, weight = normal(7), normal(7), 0.3, 0.8
    (_, seen) = path(chain(descend(lr), prox_l1(lr, weight)), x, [g])

    def cost(y: torch.Tensor) -> torch.Tensor:
        return 0.5 * (y - (x - lr * g)).square() + lr * weight * y.abs()

    grid = torch.linspace(-4, 4, 8001, dtype=torch.float64).unsqueeze(1)
    assert bool((cost(seen) <= cost(grid).min(0).values + 1e-12).all())


def test_what_the_threshold_reaches_is_zero_exactly():
    (_, seen) = path(chain(descend(0.1), prox_l1(0.1, 100.0)), normal(50), [normal(50)])
    assert seen.eq(0).all()


def test_extrapolation_is_nesterovs_scheme_in_two_sequences():
    start, gradients = normal(5), [normal(5) for _ in range(6)]
    seen = path(chain(descend(0.1), extrapolate()), start, gradients)
    x, y = start, start
    for t, g in enumerate(gradients, 1):
        x, before = y - 0.1 * g, x
        y = x + (t - 1) / (t + 2) * (x - before)
        assert torch.allclose(seen[t], y, atol=1e-14)


def test_exponentiated_steps_stay_on_the_simplex_and_multiply():
    start = torch.softmax(normal(6), 0)
    g, h = normal(6), normal(6)
    seen = path(chain(descend(0.5), exponentiate()), start, [g, h])[-1]
    assert torch.allclose(seen, torch.softmax(start.log() - 0.5 * (g + h), 0), atol=1e-14)


def test_dual_averages_forget_projections_and_projected_steps_do_not():
    start, out, back = (
        torch.zeros(1, dtype=torch.float64),
        torch.tensor([-3.0]).double(),
        torch.tensor([2.5]).double(),
    )
    lazy = path(chain(descend(1.0), dual_average(), project_box(-1.0, 1.0)), start, [out, back])
    eager = path(chain(descend(1.0), project_box(-1.0, 1.0)), start, [out, back])
    assert [float(x) for x in lazy] == [0.0, 1.0, 0.5]
    assert [float(x) for x in eager] == [0.0, 1.0, -1.0]
