"""Bad input is refused at the door: the message names the thing and the remedy, and nothing has changed."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

import piste
from tiny import assert_same, make, refused, snapshot, tiny, train, weights, words

CLOSURE_NEEDED = [e.name for e in piste.registry("optimizer") if e.needs == ("closure",)]


def says(kind, *words_, act):
    with pytest.raises(kind) as caught:
        act()
    for word in words_:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


# hyperparameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hyper, kind, message",
    [
        ({"lr": -1e-3}, ValueError, ["AdamW", "lr must not be negative", "-0.001", "negate the loss"]),
        ({"lr": math.nan}, ValueError, ["lr must be finite", "nan"]),
        ({"lr": math.inf}, ValueError, ["lr must be finite", "inf"]),
        ({"lr": torch.tensor(-1.0)}, ValueError, ["lr must not be negative"]),
        ({"lr": torch.ones(2)}, ValueError, ["lr", "one element", "(2,)"]),
        ({"lr": "1e-3"}, TypeError, ["lr must be a number", "'1e-3'", "YAML"]),
        ({"lr": None}, TypeError, ["lr must be a number"]),
        ({"lr": lambda step: 0.1}, TypeError, ["lr must be a number", "opt.schedules"]),
        ({"betas": (0.9, 1.0)}, ValueError, ["betas must lie in [0, 1)", "1.0"]),
        ({"betas": (-0.1, 0.9)}, ValueError, ["betas must lie in [0, 1)", "-0.1"]),
        ({"betas": (0.9, math.nan)}, ValueError, ["betas", "finite"]),
        ({"betas": (0.9,)}, ValueError, ["betas must be 2 numbers", "(0.9, 0.999)"]),
        ({"betas": 0.9}, ValueError, ["betas must be 2 numbers"]),
        ({"eps": -1e-8}, ValueError, ["eps must not be negative"]),
        ({"weight_decay": -0.1}, ValueError, ["weight_decay must not be negative"]),
        ({"weight_decy": 0.1}, TypeError, ["'weight_decy'", "did you mean 'weight_decay'?"]),
        ({"guad": "skip"}, TypeError, ["'guad'", "did you mean 'guard'?"]),
        ({"foreach": True}, TypeError, ["'foreach'", "Known: lr, betas, eps, weight_decay"]),
        ({"step": 3}, TypeError, ["'step'", "Known"]),
        ({"guard": "drop"}, ValueError, ["guard", "'skip'", "'drop'"]),
        ({"compile": "yes"}, ValueError, ["compile", "'yes'"]),
    ],
    ids=lambda v: re.sub(" at 0x[0-9a-f]+", "", str(v)) if isinstance(v, dict) else None,
)
def test_hyperparameters(hyper, kind, message):
    model = tiny()
    before = weights(model)
    says(kind, *message, act=lambda: piste.AdamW(model, **hyper))
    assert_same(before, weights(model))


@pytest.mark.parametrize(
    "hyper, kind, message",
    [
        ({"momentum": 1.0}, ValueError, ["momentum must lie in [0, 1)"]),
        ({"ns_steps": 2.5}, ValueError, ["ns_steps must be a whole number", "2.5"]),
        ({"ns_steps": -1}, ValueError, ["ns_steps must be a whole number and not negative"]),
        ({"nesterov": "yes"}, TypeError, ["nesterov must be True or False"]),
        ({"rest": {"lr": 1e-3}}, ValueError, ["rest=", "piste.AdamW.group"]),
        ({"rest": {"optimizer": "AdmW"}}, KeyError, ["'AdmW'", "did you mean 'AdamW'?"]),
        ({"rest": {"optimizer": "AdamW", "lr": -1.0}}, ValueError, ["rest group of Muon", "lr"]),
        ({"rest": {"embeding": piste.AdamW.group()}}, ValueError, ["'embeding'", "did you mean 'embedding'"]),
        ({"rest": {"conv": piste.AdamW.group()}}, ValueError, ["'conv'", "Muon itself", "overrides"]),
        ({"rest": {"head": 3e-4}}, ValueError, ["'head': 0.0003", "piste.AdamW.group"]),
        (
            {"rest": {"head": {"optimizer": "AdamW", "lr": -1.0}}},
            ValueError,
            ["rest group of Muon for 'head'", "lr"],
        ),
        ({"rest": {"tied": {"optimizer": "AdamW", "lrr": 1.0}}}, TypeError, ["Muon for 'tied'", "'lr'"]),
        ({"overrides": {"innner*": "rest"}}, ValueError, ["innner*", "inner"]),
        ({"overrides": {"inner.weight": "hiden"}}, ValueError, ["hiden", "hidden"]),
    ],
    ids=lambda v: re.sub(" at 0x[0-9a-f]+", "", str(v)) if isinstance(v, dict) else None,
)
def test_hyperparameters_of_a_matrix_optimizer(hyper, kind, message):
    model = tiny()
    before = weights(model)
    says(kind, *message, act=lambda: piste.Muon(model, **hyper))
    assert_same(before, weights(model))


def test_names():
    says(KeyError, "'AdmW'", "did you mean 'AdamW'?", act=lambda: piste.get("AdmW", "optimizer"))
    says(KeyError, "'Muonn'", "did you mean 'Muon'?", act=lambda: piste.get("Muonn"))
    says(TypeError, "at most 4", "lr, betas", act=lambda: piste.AdamW(tiny(), 1, (0, 0), 1, 1, 1))
    says(TypeError, "'lr' twice", act=lambda: piste.AdamW(tiny(), 0.1, **{"lr": 0.1}))
    says(TypeError, "@piste.optimizer", "piste.AdamW", act=lambda: piste.Optimizer(tiny()))


def test_a_schedule_of_an_unknown_number_is_refused_before_the_step():
    model = tiny()
    opt = piste.AdamW(model)
    model.loss(words()).backward()
    opt.schedules["learning_rate"] = lambda step: 0.1
    refused(opt, opt.step, KeyError, "'learning_rate'", "lr")


# parameters ---------------------------------------------------------------------------------------------------------


def bad_parameters():
    x = nn.Parameter(torch.ones(3))
    consumed = (p for p in [x])
    list(consumed)
    return {
        "an empty list": ([], ValueError, ["no parameters", "already consumed"]),
        "a consumed generator": (consumed, ValueError, ["no parameters", "list(model.parameters())"]),
        "a module without parameters": (nn.ReLU(), ValueError, ["ReLU", "without parameters"]),
        "one tensor": (x, TypeError, ["single tensor", "[tensor]"]),
        "a number": (3, TypeError, ["parameters()", "3"]),
        "a set": ({x}, TypeError, ["set", "order", "list"]),
        "a module in a list": ([nn.Linear(2, 2)], TypeError, ["'param_0' is a Linear", "model.parameters()"]),
        "an empty tensor": ([nn.Parameter(torch.ones(0, 3))], ValueError, ["'param_0' is empty", "(0, 3)"]),
        "an integer tensor": (
            [("ids", torch.arange(3))],
            ValueError,
            ["'ids'", "torch.int64", "floating-point"],
        ),
        "a computed tensor": ([("double", x * 2)], ValueError, ["'double' is not a leaf", "computed from"]),
        "a lazy module": (nn.LazyLinear(3), ValueError, ["'weight' has no shape yet", "one batch"]),
        "a parameter twice": ([("a", x), ("b", x)], ValueError, ["'b' was given twice", "'a'"]),
        "a name twice": (
            [("a", x), ("a", nn.Parameter(torch.ones(2)))],
            ValueError,
            ["two parameters are named 'a'", "its own name"],
        ),
        "a parameter in two groups": (
            [{"params": [x]}, {"params": [x]}],
            ValueError,
            ["'param_1' was given twice", "'param_0'"],
        ),
        "groups without parameters": ([{"params": []}], ValueError, ["without a single parameter"]),
        "a group with a consumed generator": (
            [{"params": [x]}, {"params": consumed}],
            ValueError,
            ["already consumed"],
        ),
        "a group without params": ([{"lr": 0.1}], ValueError, ["needs 'params'", "lr"]),
        "a group with a misspelt key": (
            [{"params": [x], "weight_decy": 0.1}],
            TypeError,
            ["'weight_decy'", "did you mean 'weight_decay'?"],
        ),
        "a group with a bad rate": ([{"params": [x], "lr": -1.0}], ValueError, ["lr must not be negative"]),
        "a group of a module": ([{"params": nn.Linear(2, 2)}], TypeError, ["Linear", "named_parameters()"]),
        "a group of an unknown optimizer": (
            [{"params": [x], "optimizer": "Lyon"}],
            KeyError,
            ["'Lyon'", "did you mean 'Lion'?"],
        ),
        "groups and tensors": (
            [{"params": [x]}, x],
            TypeError,
            ["groups and a Parameter", "all of them groups"],
        ),
    }


@pytest.mark.parametrize("case", bad_parameters())
def test_parameters(case):
    given, kind, message = bad_parameters()[case]
    says(kind, *message, act=lambda: piste.AdamW(given))


LATE = {
    "twice": (lambda m: [m.inner.weight], ValueError, ["was given twice", "'inner.weight'"]),
    "a taken name": (
        lambda m: [("inner.weight", nn.Parameter(torch.ones(2)))],
        ValueError,
        ["named 'inner.weight'"],
    ),
    "an integer": (lambda m: [torch.arange(3)], ValueError, ["torch.int64"]),
    "a computed one": (lambda m: [m.inner.weight * 2], ValueError, ["not a leaf"]),
    "one good, one bad": (
        lambda m: [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(0))],
        ValueError,
        ["is empty"],
    ),
}


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
@pytest.mark.parametrize("case", LATE)
def test_late_parameters(case, name):
    params, kind, message = LATE[case]
    model = tiny()
    opt = make(name, model)
    train(model, opt, 1)
    refused(opt, lambda: opt.add_param_group({"params": params(model), "optimizer": "AdamW"}), kind, *message)
    train(model, opt, 1, 1)


def test_a_group_that_is_refused_half_way_is_refused_whole():
    """A bare group given to Muon becomes two: a complex matrix among the first must not leave the second behind."""
    model = tiny()
    opt = piste.Muon(model)
    params = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3, 3, dtype=torch.complex64))]
    with pytest.warns(piste.RoutingWarning):
        refused(opt, lambda: opt.add_param_group({"params": params}), ValueError, "complex", "AdamW")


def test_parameters_that_fsdp1_flattened_are_no_matrices():
    flat = nn.Parameter(torch.ones(12))
    flat._is_flat_param = True
    held = nn.Module()
    held.register_parameter("_flat_param", flat)
    for given in (held, [("_flat_param", flat)], [{"params": [("_flat_param", flat)], "optimizer": "Muon"}]):
        says(ValueError, "_flat_param", "FSDP1", "fully_shard", act=lambda g=given: piste.Muon(g))
    piste.AdamW(held)  # an element-wise rule does not mind


# gradients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_sparse_gradients(name):
    model = tiny()
    model.table.sparse = True
    opt = make(name, model)
    model.loss(words()).backward()
    refused(opt, opt.step, ValueError, "'table.weight' is sparse", "sparse=False")


@pytest.mark.parametrize("name", CLOSURE_NEEDED)
def test_a_method_that_evaluates_the_loss_needs_a_closure(name):
    model = tiny()
    opt = make(name, model)
    model.loss(words()).backward()
    refused(opt, opt.step, ValueError, name, "step(closure)", "piste.closure")


def test_a_closure_that_forgets_to_return_the_loss():
    model = tiny()
    opt = make(CLOSURE_NEEDED[0], model)
    refused(
        opt,
        lambda: opt.step(lambda: model.loss(words()).backward()),
        ValueError,
        "returned None",
        "return the loss",
    )


@pytest.mark.parametrize("name", ["AdamW", "Muon", "SOAP", *CLOSURE_NEEDED])
@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
def test_gradients_that_are_not_finite(name, bad):
    model = tiny()
    skip, strict = make(name, model, guard="skip"), make(name, model, guard="raise")

    def closure(broken=True):
        model.zero_grad()
        loss = model.loss(words())
        loss.backward()
        if broken:
            model.inner.weight.grad[0, 0] = bad
        return loss

    before = snapshot(skip)
    skip.step(closure), skip.step(closure)
    assert_same(before, snapshot(skip))
    assert skip.skipped_steps == skip.metrics()["skipped_steps"] == 2
    message = ["inner.weight", "nothing was changed", "guard='skip'"]
    refused(strict, lambda: strict.step(closure), FloatingPointError, *message[:1], *message[1:])
    train(model, skip, 2)
    assert skip.metrics()["skipped_steps"] == 2 and skip.state[model.inner.bias]["step"] >= 1


def test_large_finite_gradients_are_not_taken_for_infinite_ones():
    model = tiny()
    opt = piste.Lion(model, guard="raise")
    for p in model.parameters():
        p.grad = torch.full_like(p, 1e30)  # its square is not finite in float32
    opt.step()
    opt.zero_grad()
    opt.step()  # and none at all is fine


def test_without_a_guard_nothing_is_checked():
    model = tiny()
    opt = piste.AdamW(model)
    model.loss(words()).backward()
    model.inner.weight.grad[0, 0] = math.nan
    opt.step()
    assert not model.inner.weight.isfinite().all() and opt.skipped_steps == 0


# chains -------------------------------------------------------------------------------------------------------------


def test_chains_are_checked_when_they_are_built():
    from piste.transforms.adaptive import scale_by_adam
    from piste.transforms.decay import decay_weights, descend

    adam = scale_by_adam(0.9, 0.99, 1e-8)
    says(ValueError, "exp_avg, exp_avg_sq", "drop one", act=lambda: piste.chain(adam, adam, descend(0.1)))
    says(
        ValueError,
        "scale_by_adam",
        "misplaced after descend",
        "order is",
        act=lambda: piste.chain(descend(0.1), adam),
    )
    says(ValueError, "at most one", "descend, descend", act=lambda: piste.chain(descend(0.1), descend(0.1)))
    says(TypeError, "call it with its hyperparameters", act=lambda: piste.chain(descend))
    says(TypeError, "'weight_dcay'", "did you mean", act=lambda: decay_weights(weight_dcay=0.1))
    says(TypeError, "needs lr", act=lambda: descend())

    @piste.transform
    def newton_of_a_sketch(u, hvp):
        return u / hvp.abs()

    says(
        ValueError,
        "newton_of_a_sketch needs 'hvp'",
        "no oracle",
        act=lambda: piste.chain(newton_of_a_sketch(), adam),
    )


def test_transforms_are_checked_when_they_are_defined():
    def of(fn, **how):
        return lambda: piste.transform(fn, **how)

    says(TypeError, "'parm'", "did you mean 'param'?", act=of(lambda u, parm: u))
    says(TypeError, "declares 'm'", "no positional argument", act=of(lambda u: u, m=piste.moment))
    says(TypeError, "scope 'row'", act=of(lambda u: u, scope="row"))


def test_factories_are_checked_when_they_are_defined():
    from piste.transforms.decay import descend

    def no_default(lr):
        return piste.chain(descend(lr))

    def no_rate(alpha=0.1):
        return piste.chain(descend(alpha))

    def engine_key(lr=0.1, step=1):
        return piste.chain(descend(lr))

    says(TypeError, "'lr' needs a default", act=lambda: piste.optimizer(no_default))
    says(TypeError, "needs an 'lr'", act=lambda: piste.optimizer(no_rate))
    says(TypeError, "'step' is the engine's own", "rename", act=lambda: piste.optimizer(engine_key))
