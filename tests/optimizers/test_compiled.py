"""What a compiler may not change: rules with sums over their tensor or the tree, scalars, numbers that decide."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import piste
from optimizers.trajectories import distance, follow, problem, start
from piste._compile import available
from piste.transforms import descend, ema_weights, lookahead, project_ball

SHAPES = [
    (300, 70),
    (5, 5),
    (7,),
    (4001,),
]  # several rows of the kernel, with and without a remainder, and small ones


@piste.optimizer
def DecidingSGD(lr=0.1):
    """Numbers that decide: every third step, the first one."""
    return piste.chain(descend(lr), lookahead(3, 0.5), ema_weights(0.9, 2, 2))


@piste.optimizer
def BoundedSGD(lr=0.1, radius=20.0):
    """A sum that spans the whole tensor."""
    return piste.chain(descend(lr), project_ball(radius))


CASES = [
    (piste.LAMB, {}),
    (piste.ScheduleFreeAdamW, {"warmup_steps": 3, "weight_decay": 0.1}),
    (piste.RMSProp, {"momentum": 0.9, "centered": True}),
    (DecidingSGD, {}),
    (BoundedSGD, {}),
    (piste.NAdam, {}),
    (piste.NAGGS, {"gamma": 3.0}),
    (piste.ClippedSSTM, {"max_norm": 0.1}),
    (piste.ClipRAdaGradD, {}),
    (piste.NormalizedSGD, {}),
    (piste.DoG, {"reps_rel": 0.1}),
    (piste.DAdaptSGD, {"d0": 0.1}),
    (piste.DAdaptAdam, {"d0": 0.1}),
    (piste.DAdaptLion, {"d0": 0.1}),
    (piste.Prodigy, {"d0": 0.1}),
]


@pytest.mark.skipif(not available("cpu"), reason="no compiler")
@pytest.mark.parametrize("factory, hyper", CASES)
def test_compiled_is_eager(factory, hyper):
    params, grads = problem(SHAPES, steps=5)
    a, b = start(params), start(params)
    compiled, eager = factory(a, compile=True, **hyper), factory(b, compile=False, **hyper)
    assert distance(follow(compiled, a, grads), follow(eager, b, grads)) < 1e-12
    for p, q in zip(a, b, strict=True):
        ours, theirs = compiled.state[p], eager.state[q]
        assert all(distance([ours[k]], [theirs[k]]) < 1e-12 for k in ours if k != "step")


def bowl(make, compiled, storage):
    """Weights after five steps of a method that sees the loss."""
    weights = [torch.nn.Parameter(torch.linspace(-1, 2, 64 * 96).view(64, 96))]
    opt = make(weights, compile=compiled, storage=storage)
    for _ in range(5):

        def closure():
            weights[0].grad = weights[0].detach() * torch.linspace(0.5, 1.5, 96)
            return (weights[0].grad * weights[0].detach()).sum() / 2

        opt.step(closure)
    return [w.detach() for w in weights]


@pytest.mark.skipif(not available("cpu"), reason="no compiler")
@pytest.mark.parametrize("storage", [None, "8bit"])
@pytest.mark.parametrize("make", [piste.AEGD, piste.PSPSAdaGrad])
def test_a_rule_that_sees_the_loss_is_compiled_too(make, storage):
    """Also over coded slots, and where a number bounds what follows from the loss."""
    eager = bowl(make, False, storage)
    assert distance(bowl(make, True, storage), eager) < (1e-5 if storage is None else 1e-2)


@piste.transform()
def between(u: Tensor, *, low: float = -1.0) -> Tensor:
    """One end a moving number, the other a constant: torch takes the tensor that the number is here for a constant."""
    return u.clamp(low, 2.0)


@pytest.mark.skipif(not available("cpu"), reason="no compiler")
def test_a_moving_number_that_is_taken_for_a_constant_is_told_with_the_remedy():
    @piste.optimizer
    def ClampedSGD(lr=0.1, low=-1.0):
        return piste.chain(between(low), descend(lr))

    weight = torch.nn.Parameter(torch.ones(64, 64))
    weight.grad = torch.ones(64, 64)
    with pytest.raises(TypeError, match=r"x\.clamp\(min=a\)"):
        ClampedSGD([weight], compile=True).step()
