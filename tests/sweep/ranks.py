"""What is asked of several ranks: sharded = whole, and interrupted = uninterrupted on any number of them."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch.distributed import init_device_mesh
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import fully_shard

import piste
from piste import _sharding as sharding
from sharding.given import whole
from sharding.owned import saved_on_all_and_loaded_on_fewer
from sweep.given import KINDS, made, model, needs, step, takes_whole_weights


def sharded(name, weights):
    net = model(name, weights)
    fully_shard(net, mesh=init_device_mesh("cpu", (torch.distributed.get_world_size(),)))
    return net


def masters(opt):
    """The weights as the arithmetic sees them, whole."""
    leaves = [leaf for several in opt.leaves() for leaf in several]
    return {leaf.name: whole(sharding.wrap(leaf.weights(), leaf.place)) for leaf in leaves}


def whole_is_sharded(name, weights, state, rank, world):
    """To 1e-6; a master of 24 bits to its last bit. In eight bits a number on the edge between two codes may fall to
    either side."""
    if name in QUOTIENTS and (weights, state) == ("fp32", "plain"):
        whole_is_sharded(name, "fp64", state, rank, world)
    nets = model(name, weights), sharded(name, weights)
    mine, theirs = (made(name, net, weights, state, compile=False) for net in nets)
    for i in range(3):
        step(nets[0], mine, i)
        step(nets[1], theirs, i)
    assert theirs.state_bytes() == theirs.forecast_bytes()
    near = 2.0**-15 if weights == "bf16" else 1e-6
    if (name in STEERED and (weights, state) not in EXACT) or (name in QUOTIENTS and weights != "fp64"):
        near = 2.0**-8  # a rounding may change what all are steered by
    if name in EDGES and state == "8bit":
        near = 2.0**-12
    if weights == "bf16" and "module" in needs(name):
        near = 2.0**-7  # each rank rounds what it hears of the layers
    here, there = masters(mine), masters(theirs)
    for n, value in here.items():
        off = (there[n] - value).abs() > near * (value.abs() + 1)
        assert off.float().mean() <= (0.01 if state == "8bit" else 0), n


def resumed(name, weights, state, rank, world):
    """Bitwise on as many ranks, through torch's distributed state dicts."""
    nets = [sharded(name, weights) for _ in range(2)]
    opts = [made(name, net, weights, state, compile=False) for net in nets]
    for i in range(2):
        step(nets[0], opts[0], i)
    saved = copy.deepcopy(get_optimizer_state_dict(nets[0], opts[0]))
    set_model_state_dict(nets[1], copy.deepcopy(get_model_state_dict(nets[0])))
    set_optimizer_state_dict(nets[1], opts[1], saved)
    for i in range(2, 4):
        for net, opt in zip(nets, opts, strict=True):
            step(net, opt, i)
    for (n, p), q in zip(nets[0].named_parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(p.to_local(), q.to_local()), n


def resharded(name, weights, state, rank, world):
    """Saved on all ranks, loaded on all but one and on one: bitwise what was saved, and the next step the same."""
    # the shown weight may be bf16, one rounding apart; or coded numbers steer all others
    near = 1e-6 if weights == "fp32" and (state == "plain" or name not in STEERED) else 2.0**-8
    saved_on_all_and_loaded_on_fewer(
        name, rank, world, fresh=lambda: model(name, weights), go=step, near=near,
        share=0.01 if state == "8bit" else 0.0,
        build=lambda name, net: made(name, net, weights, state, compile=False),
    )  # fmt: skip


def refused(name, weights, state, rank, world):
    """What takes whole weights says so when it is made, and what to do."""
    with pytest.raises(ValueError, match=f"{name}.*takes whole weights.*keep its weights on every rank"):
        made(name, sharded(name, weights), weights, state)


STEERED = [e.name for e in piste.registry("optimizer") if e.needs]  # by losses, scalar products, layers
EXACT = [("fp32", "plain"), ("fp64", "plain")]
# Rules that take a difference of gradients, or divide by what is small: gᵀ(g - g₋), gᵀB⁻¹g, a step along which two
# gradients are taken, the gaps between eigenvalues. What is rounding in float32 is held to the same figure in float64.
QUOTIENTS = (
    "EKFAC", "NonlinearCG", "PSPS", "PSPSL1", "PSPSL2", "PSPSAdam", "PSPSAdaGrad", "RootNewton", "UniversalNewton",
)  # fmt: skip
# What is coded has a norm in it, so that the order of a sum decides of a number on the edge between two codes, and a
# rule that sees a matrix hands it to the whole of it.
EDGES = ("MARSM", "MARSShampoo")


CASES = {
    f"{name}-{weights}-{state}-{test.__name__}": functools.partial(
        refused if takes_whole_weights(name) else test, name, weights, state
    )
    for name, weights, state in KINDS
    for test in (whole_is_sharded, resumed, resharded)
}
