"""Every registered optimizer against its paper, written once more as a plain float64 loop in tests/reference."""

from __future__ import annotations

import importlib
import importlib.util
import inspect

import pytest
import torch

import piste
from optimizers import closures, layers
from optimizers.closures import descend, draws
from optimizers.trajectories import SHAPES, distance, follow, problem, start

DIRECT = [e.name for e in piste.registry("optimizer") if e.module.startswith("piste.") and not e.needs]
CLOSURE, MODULE = (
    [e.name for e in piste.registry("optimizer") if e.module.startswith("piste.") and e.needs == (what,)]
    for what in ("closure", "module")
)
LISTED = ("SAM", "SAMAdamW", "ArmijoSGD", "LBFGS")  # test_closures has them
# a textbook that needs well-posed matrices, say, or other hyperparameters, has a CASE of its own
USUAL = dict(shapes=SHAPES, tolerance=1e-12, hyper={}, steps=25)


def textbook(name: str):
    if importlib.util.find_spec(f"reference.{name.lower()}") is None:
        pytest.fail(f"{name} has no textbook: write tests/reference/{name.lower()}.py from its paper")
    return importlib.import_module(f"reference.{name.lower()}")


@pytest.mark.parametrize("decay", [0.0, 0.1], ids=["", "decay"])
@pytest.mark.parametrize("name", DIRECT)
def test_equal_to_its_textbook(name, decay):
    case = {**USUAL, **getattr(textbook(name), "CASE", {})}
    factory, reference = getattr(piste, name), textbook(name).reference
    if decay and "weight_decay" not in factory.factory.defaults:
        return
    hyper = {**({"weight_decay": decay} if decay else {}), **case["hyper"]}
    params, grads = problem(case["shapes"], steps=case["steps"])
    live = start(params)
    got = follow(build(factory, live, **hyper), live, grads)
    want = reference(params, grads, **{**defaults(factory, reference), **hyper})
    assert distance(got, want) < case["tolerance"]


@pytest.mark.parametrize("name", [n for n in CLOSURE if n not in LISTED])
def test_equal_to_its_textbook_on_a_network(name):
    """Of a method that evaluates the loss itself: ``reference(params, loss, steps, **hyper)``, once for each set of
    hyperparameters in the textbook's CASES. A textbook with random probes takes ``draws(step)``, their normals; one
    for convex losses names the PROBLEM."""
    book = textbook(name)
    for hyper in getattr(book, "CASES", [{}]):
        params, loss = getattr(closures, getattr(book, "PROBLEM", "network"))()
        live = start(params)
        factory = getattr(piste, name)
        optimizer = factory([factory.group(live, **hyper)])
        given = {"draws": draws(optimizer)} if "draws" in inspect.signature(book.reference).parameters else {}
        got = descend(optimizer, live, loss, 20)
        want = book.reference(params, loss, 20, **{**defaults(factory, book.reference), **hyper, **given})
        assert distance(got, want) < getattr(book, "TOLERANCE", 1e-12)


@pytest.mark.parametrize("name", MODULE)
def test_equal_to_its_textbook_on_layers(name):
    """Of a method that watches layers: ``reference(weights, batches, **hyper)``, of a classifier whose backward pass
    the textbook writes out, once for each set of hyperparameters in its CASES."""
    book, data = textbook(name), layers.batches(25)
    for hyper in book.CASES:
        model, factory = layers.classifier(), getattr(piste, name)
        start = [p.detach().clone() for p in model.parameters()]
        got = layers.fit(model, factory(model, **hyper), data)
        want = book.reference(start, data, **{**defaults(factory, book.reference), **hyper})
        assert distance(got, want) < getattr(book, "TOLERANCE", 1e-12)
        assert distance(got, start) > 1e-3


def build(factory, live, **hyper):
    """With its own group for every parameter: nothing is routed."""
    return factory([factory.group(live, **hyper)])


def defaults(factory, reference) -> dict[str, object]:
    """Our default hyperparameters, those that the textbook knows."""
    known = inspect.signature(getattr(inspect.getmodule(reference), "sequences", reference)).parameters
    return {k: v for k, v in factory.factory.defaults.items() if k in known}


@pytest.mark.parametrize("name", DIRECT)
def test_lr_zero_leaves_weights_alone(name):
    """At the first step and at any later one."""
    params, grads = problem(SHAPES, steps=6)
    live = start(params)
    optimizer = build(getattr(piste, name), live, lr=0.0)
    end = follow(optimizer, live, grads[:2])
    assert all(torch.equal(a, b) for a, b in zip(end, params, strict=True))
    moved = set_lr(optimizer, 0.01, live, grads[2:4])
    assert any(not torch.equal(a, b) for a, b in zip(moved, params, strict=True))
    still = set_lr(optimizer, 0.0, live, grads[4:])
    assert all(torch.equal(a, b) for a, b in zip(still, moved, strict=True))


def set_lr(optimizer, lr, live, grads):
    for group in optimizer.param_groups:
        group["lr"] = lr
    return follow(optimizer, live, grads)
