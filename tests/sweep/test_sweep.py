"""Every optimizer, with weights in float32 and in bf16 with error bits, with state plain and in eight bits: the
promises that the engine keeps for all of them. The matrix of what held is printed, and kept in docs/sweep.md."""

from __future__ import annotations

import io

import pytest
import torch

from piste import _compile, schedules
from sharding.launch import on_ranks
from sweep import ranks
from sweep.given import KINDS, made, model, step
from tiny import assert_same
from tiny import weights as weights_of

pytestmark = pytest.mark.full
every_kind = pytest.mark.parametrize(("name", "weights", "state"), KINDS)
told: dict[int, dict[str, str]] = {}


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("asked", ["whole_is_sharded", "resumed", "resharded"])
@every_kind
def test_on_ranks(name, weights, state, asked, world):
    if world not in told:
        told[world] = on_ranks(world, ranks.__name__, timeout=300 + 10 * len(KINDS))
    trace = told[world][f"{name}-{weights}-{state}-{asked}"]
    if trace:
        pytest.fail(trace, pytrace=False)


@every_kind
def test_resume(name, weights, state):
    """Through a file that holds tensors and numbers only, bitwise; and bytes as forecast."""
    nets = model(name, weights), model(name, weights)
    opts = [made(name, net, weights, state, compile=False) for net in nets]
    for i in range(2):
        step(nets[0], opts[0], i)
    assert opts[0].state_bytes() == opts[0].forecast_bytes()
    file = io.BytesIO()
    torch.save((nets[0].state_dict(), opts[0].state_dict()), file)
    file.seek(0)
    shown, state_dict = torch.load(file, weights_only=True)
    nets[1].load_state_dict(shown)
    opts[1].load_state_dict(state_dict)
    for i in range(2, 4):
        for net, opt in zip(nets, opts, strict=True):
            step(net, opt, i)
    assert_same(weights_of(nets[0]), weights_of(nets[1]))
    assert_same(opts[0].state_dict()["state"], opts[1].state_dict()["state"])


@pytest.mark.skipif(not _compile.available("cpu"), reason="no C++ compiler at hand")
@every_kind
def test_graphs(name, weights, state):
    """Fifty steps with a moving lr compile nothing new once a basis has been renewed (every ten steps)."""
    net = model(name, weights)
    opt = made(name, net, weights, state, compile=True)
    opt.schedules["lr"] = schedules.scale(schedules.cosine(1.0, 50))
    counts = []
    for i in range(50):
        step(net, opt, i)
        counts.append(len(_compile.compiled_graphs))
    assert counts[-1] == counts[12]
