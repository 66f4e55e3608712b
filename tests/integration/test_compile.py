"""A user's torch.compile of a whole training step: the engine is called, never traced."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo

from tiny import make, tiny, words

# at a graph break the compiler itself looks at the loss's .grad
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def _train(name, backend):
    model = tiny(dtype=torch.float64)
    opt = make(name, model)
    schedule = torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)

    def step(x):
        opt.zero_grad()
        loss = model.loss(x)
        loss.backward()
        opt.step()
        return loss.detach()

    run = torch.compile(step, backend=backend) if backend else step
    losses = []
    for i in range(4):
        losses.append(run(words(i)).item())
        schedule.step()
    return losses, [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("name, backend", [("AdamW", "eager"), ("Muon", "aot_eager"), ("Lion", "inductor")])
def test_a_compiled_training_step_is_the_eager_one(name, backend):
    losses, params = _train(name, None)
    torch._dynamo.utils.counters.clear()
    compiled_losses, compiled = _train(name, backend)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0  # something was compiled
    torch.testing.assert_close(losses, compiled_losses, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(params, compiled, rtol=1e-9, atol=1e-9)


def test_the_step_is_compiled_once_however_the_rates_move():
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    _train("AdamW", counting)
    once = len(graphs)
    assert once > 0
    torch._dynamo.reset()
    graphs.clear()
    model = tiny()
    opt = make("AdamW", model)

    @torch.compile(backend=counting)
    def step(x):
        opt.zero_grad()
        loss = model.loss(x)
        loss.backward()
        opt.step()
        return loss.detach()

    for i in range(3):
        step(words(i))
    warm = len(graphs)
    for i in range(3, 8):
        opt.param_groups[0]["lr"] *= 0.9
        step(words(i))
    assert len(graphs) == warm
    ops = {str(n.target) for g in graphs for n in g.graph.nodes}
    assert not any("lerp" in o or "adam" in o or "sqrt" in o.lower() for o in ops), (
        ops
    )  # the engine is not in it
