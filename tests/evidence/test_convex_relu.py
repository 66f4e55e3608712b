"""The convex program of small ReLU networks: its patterns are all there are, and its bound is one."""

from __future__ import annotations

import pytest
import torch

from piste.evidence import problems
from piste.evidence.convex_relu import admm, certificate, network, objective, patterns, program, sampled, task


@pytest.mark.parametrize("seed", range(3))
def test_every_sampled_pattern_is_among_those_counted(seed):
    x, _ = task(7, seed)
    known = {tuple(row.tolist()) for row in patterns(x)[0]}
    found = {tuple(row.tolist()) for row in sampled(x, 3000, torch.Generator().manual_seed(seed))}
    assert found <= known and len(known) == 14 and len(found) > 10


def test_directions_between_two_ends_have_the_pattern():
    x, _ = task(7, 0)
    active, ends = patterns(x)
    for share in (0.01, 0.5, 0.99):
        angle = ends[:, 0] + share * (ends[:, 1] - ends[:, 0])
        assert torch.equal((x @ torch.stack([angle.cos(), angle.sin()]) >= 0).mT.to(x.dtype), active)


@pytest.mark.parametrize("seed", range(3))
def test_no_network_goes_below_the_certificate(seed):
    x, y = task(6, seed)
    random = torch.Generator().manual_seed(seed)
    first, second = network(admm(x, y, patterns(x)[0], 0.1, 0.03).weights)
    residual = y - (first @ x.mT).clamp(min=0).mT @ second
    tight, loose = certificate(residual, x, y, 0.1), certificate(y, x, y, 0.1)
    best = float(objective(first, second, x, y, 0.1))
    assert loose < tight <= best * (1 + 1e-12) and tight == pytest.approx(best, rel=1e-4)
    near = first + 0.01 * torch.randn(500, *first.shape, generator=random, dtype=x.dtype)
    assert objective(near, second, x, y, 0.1).min() >= tight


def test_programs_are_solved_side_by_side_as_alone():
    tasks = [task(5, seed) for seed in range(3)]
    x, y = torch.stack([t[0] for t in tasks]), torch.stack([t[1] for t in tasks])
    active = torch.stack([patterns(one)[0] for one in x])
    together = program(admm(x, y, active, 0.1, 0.1, steps=300).weights, x, y, active, 0.1)
    for i in range(3):
        alone = admm(x[i], y[i], active[i], 0.1, 0.1, steps=300).weights
        assert float(program(alone, x[i], y[i], active[i], 0.1)) == pytest.approx(
            float(together[i]), rel=1e-9
        )


def test_a_problem_too_narrow_for_the_optimum_does_not_say_it():
    assert (
        problems.relu_network(width=2).minimum is None and problems.relu_network(width=32).minimum is not None
    )
