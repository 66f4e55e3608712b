"""Shampoo and bases: what the textbooks do not reach."""

from __future__ import annotations

import itertools

import pytest
import torch

import piste
from optimizers.trajectories import FULL_RANK, distance, follow, problem, start
from piste import chain
from piste.schedules import every
from piste.transforms import descend, ema, ema_weights, in_eigenbasis, scale_by_adam, scale_by_lion
from reference import soap

# a vector's statistics gain one rank a step: its first turn must wait until they are full
OPTIONS = itertools.product([(1, False), (3, False), (3, True)], [False, True], [True, False])


@pytest.mark.parametrize("turns, even, corrected", OPTIONS)
def test_soap_with_every_option(turns, even, corrected):
    frequency, vectors = turns
    hyper = dict(
        precondition_frequency=frequency, normalize_grads=even, correct_bias=corrected, precondition_1d=vectors,
        shampoo_beta=0.9, max_precond_dim=5, weight_decay=0.1,
    )  # fmt: skip
    params, grads = problem(FULL_RANK, steps=20)
    live = start(params)
    assert (
        distance(follow(piste.SOAP(live, **hyper), live, grads), soap.reference(params, grads, **hyper))
        < 1e-10
    )


def test_stacked_matrices_are_as_good_as_single_ones():
    """Six equal matrices go through one batched call."""
    params, grads = problem([(5, 5)] * 6, steps=15)
    together, alone = start(params), start(params)
    a = follow(piste.SOAP(together, precondition_frequency=2), together, grads)
    optimizers = [piste.SOAP([p], precondition_frequency=2) for p in alone]
    for row in grads:
        for optimizer, p, g in zip(optimizers, alone, row, strict=True):
            follow(optimizer, [p], [[g]])
    assert distance(a, [p.detach() for p in alone]) < 1e-12


@piste.optimizer
def PrimedEma(lr=0.1, momentum=0.9, decay=0.9):
    """A part in front of the priming one and one behind the step."""
    rule = in_eigenbasis(scale_by_adam(0.9, 0.99, 1e-8), 0.9, refresh=every(2, start=1))
    return chain(ema(momentum), rule, descend(lr), ema_weights(decay))


def test_the_first_gradient_only_sets_the_priming_part_up():
    params, grads = problem([(4, 4), (3,)], steps=2)
    live = start(params)
    optimizer = PrimedEma(live)
    before = {k: v.clone() for k, v in optimizer.state[live[0]].items() if k != "step"}
    end = follow(optimizer, live, grads[:1])
    after = optimizer.state[live[0]]
    changed = {k for k, v in before.items() if not torch.equal(v, after[k]) and k != "average"}
    assert changed == {"L", "R", "Q_L", "Q_R"}
    assert distance(end, params) == 0
    assert after["step"] == 0
    follow(optimizer, live, grads[1:])
    assert after["step"] == 1
    assert not torch.equal(after["momentum_buffer"], before["momentum_buffer"])


def test_priming_survives_a_checkpoint(tmp_path):
    params, grads = problem(FULL_RANK, steps=8)
    whole = start(params)
    end = follow(piste.SOAP(whole, precondition_frequency=3), whole, grads)
    live = start(params)
    first = piste.SOAP(live, precondition_frequency=3)
    follow(first, live, grads[:1])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = piste.SOAP(live, precondition_frequency=3)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert distance(follow(second, live, grads[1:]), end) == 0


@piste.optimizer
def SoapLion(lr=0.01, betas=(0.9, 0.99), beta=0.95, k=1):
    """Another rule in the same basis: one line."""
    return chain(in_eigenbasis(scale_by_lion(*betas), beta, refresh=every(int(k), start=1)), descend(lr))


def test_lion_in_a_basis_takes_orthogonal_steps_of_one_length():
    """A sign matrix turned by orthogonal bases keeps its Frobenius norm √(mn), and is a sign matrix in them."""
    params, grads = problem([(6, 6)], steps=9)
    live = start(params)
    optimizer = SoapLion(live, k=100)
    follow(optimizer, live, grads[:-1])
    before, state = live[0].detach().clone(), optimizer.state[live[0]]
    follow(optimizer, live, grads[-1:])
    step = (before - live[0].detach()) / 0.01
    turned = state["Q_L"].T @ step @ state["Q_R"]
    assert torch.allclose(turned.abs(), torch.ones_like(turned), atol=1e-10)


def test_a_turning_basis_carries_the_moment_along():
    """The moment seen from outside the basis is the plain average of the gradients, however often the basis turned."""
    params, grads = problem([(6, 6)], steps=12)
    live = start(params)
    optimizer = piste.SOAP(live, precondition_frequency=2)
    follow(optimizer, live, grads)
    state = optimizer.state[live[0]]
    want = torch.zeros(6, 6, dtype=torch.float64)
    for row in grads[1:]:
        want = 0.95 * want + 0.05 * row[0]
    assert torch.allclose(state["Q_L"] @ state["exp_avg"] @ state["Q_R"].T, want, atol=1e-12)


def test_long_axes_and_vectors_keep_no_square():
    shapes = [(4, 9), (9, 4), (7,), (1,)]
    live = start(problem(shapes, 1)[0])
    shampoo = piste.Shampoo(live, max_precond_dim=6)
    assert [sorted(k for k in shampoo.state[p] if k[0] in "LR" and "root" not in k) for p in live] == [
        ["L", "R_diagonal"], ["L_diagonal", "R"], ["R_diagonal"], ["R"]
    ]  # fmt: skip
    soapy = piste.SOAP(live, max_precond_dim=6)
    assert [sorted(k for k in soapy.state[p] if k[0] in "LRQ") for p in live] == [
        ["L", "Q_L"],
        ["Q_R", "R"],
        [],
        [],
    ]


def test_diagonal_shampoo_is_the_full_one_where_statistics_are_diagonal():
    """Gradients with one entry in each row and column have diagonal statistics."""
    params, _ = problem([(5, 5)], 1)
    grads = [[torch.diag(torch.linspace(1, 2, 5, dtype=torch.float64) * (k + 1))] for k in range(4)]
    full, thin = start(params), start(params)
    a = follow(piste.Shampoo(full), full, grads)
    b = follow(piste.Shampoo(thin, max_precond_dim=1), thin, grads)
    assert distance(a, b) < 1e-12


def test_roots_are_taken_in_the_first_step_and_every_kth_after():
    params, grads = problem([(5, 5)], steps=7)
    live = start(params)
    optimizer = piste.Shampoo(live, precondition_frequency=3)
    seen = []
    for row in grads:
        follow(optimizer, live, [row])
        seen.append(optimizer.state[live[0]]["L_root"].clone())
    fresh = [True] + [not torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    assert fresh == [True, False, False, True, False, False, True]


def test_kernels_are_matrices_of_their_first_axis():
    params, grads = problem([(4, 3, 2, 2)], steps=6)
    flat = [p.reshape(4, 12) for p in params]
    a, b = start(params), start(flat)
    got = follow(piste.SOAP(a), a, grads)
    want = follow(piste.SOAP(b), b, [[g.reshape(4, 12) for g in row] for row in grads])
    assert distance(got, [w.reshape(4, 3, 2, 2) for w in want]) < 1e-12
