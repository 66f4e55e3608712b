"""What a compiler may not change: rules with sums over their tensor, shared scalars, numbers that decide."""

from __future__ import annotations

import pytest

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
