"""Adam's relatives: torch's two, the options that textbooks have beside the defaults, and what they share."""

from __future__ import annotations

import importlib

import pytest
import torch

import piste
from optimizers.trajectories import SHAPES, distance, follow, problem, start

NADAM = [
    {},
    {"momentum_decay": 0.5},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
]
RADAM = [
    {},
    {"betas": (0.8, 0.9), "eps": 1e-3},  # the second moment is trusted from step 9 on
    {"betas": (0.9, 0.6)},  # never
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
]
CASES = [
    *((piste.NAdam, torch.optim.NAdam, o) for o in NADAM),
    *((piste.RAdam, torch.optim.RAdam, o) for o in RADAM),
]


@pytest.fixture
def double():
    """torch keeps NAdam's product of momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("ours, theirs, hyper", CASES)
def test_equal_to_torch(ours, theirs, hyper, double):
    params, grads = problem(SHAPES, steps=30)
    a, b = start(params), start(params)
    got, want = follow(ours(a, **hyper), a, grads), follow(theirs(b, **hyper), b, grads)
    assert distance(got, want) < 1e-12


OPTIONS = [
    ("AdaBelief", {"rectify_steps": False, "eps": 1e-4}),
    ("AdaBelief", {"weight_decay": 0.1, "decoupled_weight_decay": False}),
    ("AdaMomentum", {"weight_decay": 0.1, "decoupled_weight_decay": False, "eps": 1e-4}),
    ("Adan", {"weight_decay": 0.1, "no_prox": True}),
    ("ADOPT", {"clip": False}),
    ("ADOPT", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdEMAMix", {"alpha": 5.0, "betas": (0.0, 0.9, 0.99)}),
    ("EXAdam", {"growing": True, "eps": 1e-3}),
    ("QHAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("QHM", {"weight_decay": 0.1, "decoupled_weight_decay": True, "lr": 0.1}),
    ("Yogi", {"correct_bias": False, "initial_accumulator_value": 0.1}),
]


@pytest.mark.parametrize("name, hyper", OPTIONS)
def test_options_are_the_textbooks(name, hyper):
    book = importlib.import_module(f"reference.{name.lower()}")
    params, grads = problem(SHAPES, steps=25)
    usual, live = {**getattr(piste, name).factory.defaults, **hyper}, start(params)
    got = follow(getattr(piste, name)(live, **hyper), live, grads)
    assert distance(got, book.reference(params, grads, **usual)) < 1e-12
    plain = getattr(piste, name).factory.defaults
    assert distance(got, book.reference(params, grads, **plain)) > 1e-6  # the option does something


@pytest.mark.parametrize(
    "name, hyper, message",
    [
        ("ADOPT", {"eps": 0.0}, "ADOPT: eps must be positive.*1e-6"),
        ("AdaMomentum", {"eps": 0.0}, "AdaMomentum: eps must be positive"),
        ("EXAdam", {"eps": 0.0}, "EXAdam: eps must be positive"),
        ("Yogi", {"initial_accumulator_value": -1.0}, "initial_accumulator_value must not be negative"),
        ("QHAdam", {"nus": (0.7,)}, "nus must be 2 numbers"),
        ("Adan", {"betas": (0.98, 0.92)}, "betas must be 3 numbers"),
        ("NAdam", {"betas": (1.0, 0.9)}, r"betas must lie in \[0, 1\)"),
    ],
)
def test_bad_hyperparameters_are_refused_when_it_is_made(name, hyper, message):
    with pytest.raises(ValueError, match=message):
        getattr(piste, name)([torch.nn.Parameter(torch.zeros(2))], **hyper)


def test_the_first_gradient_only_sets_adopt_up():
    """No step, no decay, no count; the second is divided by the first."""
    p = torch.nn.Parameter(torch.tensor([2.0, -3.0], dtype=torch.float64))
    optimizer = piste.ADOPT([p], lr=0.1, betas=(0.0, 0.9), weight_decay=0.5, decoupled_weight_decay=True)
    p.grad = torch.tensor([4.0, 0.5], dtype=torch.float64)
    optimizer.step()
    assert p.tolist() == [2.0, -3.0] and optimizer.state[p]["step"] == 0
    p.grad = torch.tensor([2.0, 5.0], dtype=torch.float64)
    optimizer.step()  # 2/4, and 5/0.5 held to 1
    assert torch.allclose(p, torch.tensor([2.0 - 0.1 - 0.05, -3.0 + 0.15 - 0.1], dtype=torch.float64))


@pytest.mark.parametrize("name", ["DiffGrad", "Adan"])
def test_last_gradients_are_kept_when_theirs_are_overwritten(name):
    """A gradient that is zeroed and filled in place, as with set_to_none=False, is not the one that is remembered."""
    params, grads = problem([(4, 3)], steps=6)
    a, b = start(params), start(params)
    first, second = getattr(piste, name)(a), getattr(piste, name)(b)
    a[0].grad = torch.zeros_like(a[0])
    for (g,) in grads:
        a[0].grad.copy_(g)
        first.step()
        first.zero_grad(set_to_none=False)
        second_end = follow(second, b, [[g]])
    assert torch.equal(a[0], second_end[0])


def test_relatives_meet():
    """Each method, told to leave out its own idea, is the one that it came from."""
    params, grads = problem(SHAPES, steps=20)

    def end(make, **hyper):
        live = start(params)
        return follow(make(live, lr=0.01, **hyper), live, grads)

    adam = end(piste.Adam, betas=(0.8, 0.9), eps=1e-8)
    assert distance(end(piste.QHAdam, betas=(0.8, 0.9), nus=(1.0, 1.0)), adam) < 1e-12
    assert distance(end(piste.AdEMAMix, betas=(0.8, 0.9, 0.99), alpha=0.0), adam) < 1e-12
    assert distance(end(piste.LaProp, betas=(0.0, 0.9)), end(piste.Adam, betas=(0.0, 0.9), eps=1e-15)) < 1e-12
    assert (
        distance(end(piste.AdaMomentum, betas=(0.0, 0.9), eps=1e-30), end(piste.Adam, betas=(0.0, 0.9)))
        < 1e-6
    )
    # torch's buffer starts at the first gradient, ours at 0
    late = [[torch.zeros_like(g) for g in grads[0]], *grads]
    live = start(params)
    sgd = follow(piste.SGD(live, lr=0.01, momentum=0.9, dampening=0.9), live, late)
    assert distance(end(piste.QHM, momentum=0.9, nu=1.0), sgd) < 1e-12


def test_state_is_as_many_copies_as_the_docstrings_say():
    p = torch.nn.Parameter(torch.zeros(3, 4))
    for name, copies in [
        ("QHM", 1),
        ("ADOPT", 2),
        ("AdaMomentum", 2),
        ("LaProp", 2),
        ("DiffGrad", 3),
        ("Adan", 4),
    ]:
        assert getattr(piste, name)([p]).state_bytes() == copies * 3 * 4 * 4, name
