"""The cost model against what is allocated, against textbook counts, and against itself on meshes.

What ranks really hold and send is counted in tests/sharding/costs.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

import piste
from piste.cost import Mesh, plan
from piste.cost._mesh import Cut, chunk
from piste.schedules import every
from tiny import Tiny, every_optimizer, make

WIDTH, WORDS = 64, 96


def on_meta(name, net=lambda: Tiny(WORDS, WIDTH), **hyper):
    with torch.device("meta"):
        return make(name, net(), **hyper)


def linear(m, n, count=1):
    """Nothing but matrices of one shape."""

    def net():
        named = [(f"w{i}", nn.Parameter(torch.empty(m, n))) for i in range(count)]
        return [{"params": named, "role": "hidden"}]

    return net


@every_optimizer
@pytest.mark.parametrize("storage", [None, "8bit", "4bit", "bf16"])
def test_the_forecast_without_memory_is_what_is_allocated(name, storage):
    real = make(name, Tiny(WORDS, WIDTH), storage=storage)
    planned = plan(on_meta(name, storage=storage), "dp=1")
    held = sum(
        t.numel() * t.element_size()
        for t in {id(t): t for s in real.state.values() for t in s.values() if torch.is_tensor(t)}.values()
    )
    assert planned.at((0, 0)).state_bytes == real.state_bytes() == held
    by_role = sum(cost.state_bytes for _, _, cost in planned.roles().values()) + sum(planned.shared.values())
    assert by_role == held


def test_roles_cover_every_number_once_and_frozen_ones_cost_no_state():
    with torch.device("meta"):
        net = Tiny(WORDS, WIDTH)
        net.inner.requires_grad_(False)
        roles = plan(piste.Muon(net), "dp=1").roles()
    assert sum(numel for _, numel, _ in roles.values()) == sum(p.numel() for p in net.parameters())
    hidden = roles["hidden"][2]
    assert hidden.weights == 3 * 4 * WIDTH**2 and hidden.gradients == 2 * 4 * WIDTH**2
    assert hidden.state == {"momentum_buffer": 2 * 4 * WIDTH**2}


@pytest.mark.parametrize("m, n", [(64, 64), (64, 192), (160, 96)])
def test_products_are_counted_where_they_stand(m, n):
    muon, short, long = plan(on_meta("Muon", linear(m, n)), "dp=1").largest.flops, *sorted((m, n))
    usual = 5 * (
        4 * short**2 * long + 2 * short**3
    )  # Gram matrix, its square, the product with X: five times
    assert muon == usual if m == n else 0.4 * usual < muon < usual
    statistics, both = 2 * m * m * n + 2 * m * n * n, 2 * (m * m * n + m * n * n)
    root = 9 * m**3 + 2 * m**3 + 9 * n**3 + 2 * n**3  # eigendecomposition, V diag V'
    shampoo = plan(on_meta("Shampoo", linear(m, n), precondition_frequency=20), "dp=1").largest.flops
    assert shampoo == pytest.approx(statistics + both + root / 20)
    refresh = sum(2 * k**3 + 8 * k**3 / 3 + 2 * k**3 for k in (m, n))  # L Q, its QR, the turn of old to new
    turned = both  # the moment's rotation
    if m != n:
        return  # in which order a long moment is turned is the transform's affair
    soap = plan(on_meta("SOAP", linear(m, n), precondition_frequency=10), "dp=1").largest.flops
    assert soap == pytest.approx(statistics + 2 * both + (refresh + turned) / 10, rel=1e-6)


def test_refreshes_are_averaged_over_their_interval():
    one = plan(on_meta("Shampoo", linear(64, 64), precondition_frequency=1), "dp=1").largest.flops
    never = plan(on_meta("Shampoo", linear(64, 64), precondition_frequency=10**6), "dp=1").largest.flops
    tenth = plan(on_meta("Shampoo", linear(64, 64), precondition_frequency=10), "dp=1").largest.flops
    assert tenth == pytest.approx(never + (one - never) / 10, rel=0.01)
    assert sum(map(every(10, phase=1), range(1, 1001))) == 100


def test_element_rules_move_every_tensor_once():
    numbers = WIDTH * WIDTH
    moved = {
        name: plan(on_meta(name, linear(WIDTH, WIDTH)), "dp=1").largest.moved
        for name in ("AdamW", "Lion", "SGD")
    }
    # read: gradient, weight, slots; written: slots, weight
    assert moved == {"AdamW": 28 * numbers, "Lion": 20 * numbers, "SGD": 12 * numbers}
    small = plan(on_meta("AdamW", linear(WIDTH, WIDTH), storage="8bit"), "dp=1").largest
    assert small.moved == 12 * numbers + 2 * small.state_bytes


@pytest.mark.parametrize("mesh", ["dp=3", "dp=7,tp=2", "replicate=2,dp=4", "tp=5"])
def test_shards_of_all_ranks_are_the_whole(mesh):
    whole = plan(on_meta("AdamW"), "dp=1").at((0, 0))
    planned = plan(on_meta("AdamW"), mesh, {"*norm*": 0, "*.bias": 0, "*.weight": 0})
    assert planned.total.weights == whole.weights
    assert planned.total.state_bytes == whole.state_bytes
    most = max(planned.at(rank).state_bytes for rank in planned.mesh.ranks)
    assert planned.largest.state_bytes == most == planned.at((0, 0)).state_bytes
    assert planned.largest.sent == 0 and planned.largest.flops == 0


@pytest.mark.parametrize("name", ["Muon", "SOAP", "Shampoo"])
def test_owners_keep_and_do_together_what_one_rank_would(name):
    whole = plan(on_meta(name), "dp=1").at((0, 0))
    planned = plan(on_meta(name), "dp=3")
    assert planned.total.state_bytes == whole.state_bytes
    assert planned.total.flops == pytest.approx(whole.flops)
    every_rank = plan(on_meta(name), "dp=3,tp=2")  # matrices cut along two axes are gathered
    assert every_rank.total.flops > 4 * whole.flops


def test_owners_of_many_matrices_send_at_most_twice_their_shards():
    planned = plan(on_meta("Muon", linear(WIDTH, WIDTH, 16)), "dp=8")
    for rank in planned.mesh.ranks:
        cost = planned.at(rank)
        assert cost.sent == 2 * cost.weights * 7 / 8
        assert cost.flops == 2 * 5 * 6 * WIDTH**3


def test_chunks_cover_the_length_and_the_first_is_the_longest():
    for n in range(12):
        for parts in range(1, 6):
            lengths = [chunk(n, parts, i) for i in range(parts)]
            assert sum(lengths) == n and max(lengths) == lengths[0]
            assert (
                lengths
                == [len(c) for c in torch.arange(n).chunk(parts)]
                + [0] * (parts - len(torch.arange(n).chunk(parts)))
                or n == 0
            )


def test_tensor_parallelism_cuts_first_and_the_rows_that_are_left_are_sharded():
    cut = Cut(Mesh(dp=3, tp=2), (10, 8), 0)
    assert [cut.part(rank)[0] for rank in cut.mesh.ranks] == [2, 2, 2, 2, 1, 1]
    assert Cut(Mesh(dp=3, tp=2), (10, 8), 1).part((2, 0)) == (2, 4)
    planned = plan(on_meta("AdamW", linear(8, 32)), "tp=4")
    assert planned.parameters[0].cut.tp_axis == 1  # a projection down, along its longer side
    assert plan(on_meta("AdamW", linear(8, 32)), "tp=4", {"*": None}).largest.weights == 4 * 8 * 32


@every_optimizer
@pytest.mark.parametrize("code, beside", [("bf16_error_bits", 1), ("bf16_kahan", 2), ("bf16_stochastic", 0)])
def test_codecs_of_weights_are_forecast(name, code, beside):
    storage = {"param": code}
    planned = plan(on_meta(name, lambda: Tiny(WORDS, WIDTH).bfloat16(), storage=storage), "dp=1").at((0, 0))
    real = make(name, Tiny(WORDS, WIDTH).bfloat16(), storage=storage)
    numbers = sum(p.numel() for g in real.param_groups for p in g["params"])
    assert planned.weights == 2 * numbers
    assert sum(size for slot, size in planned.state.items() if slot.startswith("param.")) == beside * numbers
    assert planned.state_bytes == real.state_bytes()


def test_what_a_weight_leaves_over_is_sharded_with_it():
    error = {"storage": {"param": "bf16_error_bits"}}
    planned = plan(on_meta("AdamW", lambda: Tiny(WORDS, WIDTH).bfloat16(), **error), "dp=5")
    for rank in planned.mesh.ranks:
        cost = planned.at(rank)
        assert 2 * cost.state["param.error"] == cost.weights


@pytest.mark.parametrize("text, says", [
    ("dq=4", "did you mean 'dp'"),
    ("dp=0", "at least 1|whole number"),
    ("dp=-2", "whole number"),
    ("dp=many", "whole number"),
    ("dp", "whole number"),
    ("dp=2,dp=4", "twice"),
    ("", "unknown mesh axis"),
])  # fmt: skip
def test_a_mesh_that_is_none_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        Mesh.parse(text)


def test_cuts_that_fit_nothing_are_refused():
    opt = on_meta("AdamW")
    with pytest.raises(ValueError, match=r"'inner.wait' fits no parameter; there are table.weight"):
        plan(opt, "tp=2", {"inner.wait": 0})
    with pytest.raises(ValueError, match=r"'norm.weight' of shape \(64,\) has no axis 1"):
        plan(opt, "tp=2", {"norm.*": 1})
    with pytest.raises(ValueError, match="'dp' needs a whole number"):
        Mesh(dp=0)


def test_planning_takes_neither_memory_nor_a_process_group():
    planned = plan(on_meta("Muon", linear(40_000, 40_000, 4)), "replicate=8,dp=1024")
    assert planned.largest.weights == 4 * 4 * 40 * 40_000
    assert not torch.distributed.is_initialized()
