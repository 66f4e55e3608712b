"""Blocks that take turns."""

from __future__ import annotations

import copy

import pytest
import torch

import piste
from piste.memory import Blocks, by_layer
from tiny import tiny, words


class Deep(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = torch.nn.Linear(5, 6)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(6, 6) for _ in range(3))
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x):
        x = self.emb(x)
        for layer in self.layers:
            x = x + layer(x.tanh())
        return self.head(x)


def deep():
    torch.manual_seed(0)
    return Deep().double()


def x(i=0):
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(i), dtype=torch.float64)


def train(model, opt, blocks, steps, begin=0):
    seen = []
    for i in range(begin, begin + steps):
        model(x(i)).square().mean().backward()
        seen.append(blocks.awake)
        opt.step()
        opt.zero_grad()
        blocks.step()
    return seen


def test_layers_are_found_by_their_names():
    assert [block[0] for block in by_layer(deep())] == [
        "emb.weight", "layers.0.weight", "layers.1.weight", "layers.2.weight", "head.weight",
    ]  # fmt: skip
    assert len(by_layer(tiny())) == 6


@pytest.mark.parametrize("order", ["random", "ascending", "descending"])
def test_each_block_has_its_turn_in_every_cycle(order):
    model = deep()
    opt = piste.AdamW(model, lr=0.01)
    seen = train(model, opt, Blocks(opt, by_layer(model), every=2, order=order, seed=3), 20)
    assert seen[::2] == seen[1::2]
    cycles = seen[:10:2], seen[10::2]
    assert all(sorted(c) == [0, 1, 2, 3, 4] for c in cycles)
    if order == "ascending":
        assert cycles[0] == [0, 1, 2, 3, 4]
    if order == "descending":
        assert cycles[0] == [4, 3, 2, 1, 0]


def test_only_the_awake_block_has_state_gradients_and_moves():
    model = deep()
    opt = piste.AdamW(model, lr=0.01)
    blocks = Blocks(opt, by_layer(model), every=2, order="ascending")
    names = by_layer(model) if blocks.awake else [["emb.weight", "emb.bias"]]
    before = copy.deepcopy(model.state_dict())
    model(x()).square().mean().backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {"emb.weight", "emb.bias"}
    opt.step()
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == set(names[0])
    assert opt.state_bytes() == 2 * 8 * (30 + 6)
    assert [g["active"] for g in opt.param_groups] == [True]


def test_a_turn_is_a_fresh_run_of_the_optimizer():
    model = deep()
    opt = piste.AdamW(model, lr=0.01)
    blocks = Blocks(opt, by_layer(model), every=3, order="descending")
    train(model, opt, blocks, 3)
    alone = copy.deepcopy(model)
    second = [p for n, p in alone.named_parameters() if n.startswith("layers.2.")]
    for p in alone.parameters():
        p.requires_grad_(any(p is s for s in second))
    other = piste.AdamW(second, lr=0.01)
    for i in range(3, 6):
        alone(x(i)).square().mean().backward()
        other.step()
        other.zero_grad()
    train(model, opt, blocks, 3, begin=3)
    for a, b in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_two_blocks_in_a_row_of_the_same_number_begin_anew():
    model = deep()
    opt = piste.AdamW(model, lr=0.01)
    blocks = Blocks(opt, by_layer(model), every=1, order=lambda count, cycle, seed: [0] * count)
    train(model, opt, blocks, 3)
    assert not any(opt.state.values())


@pytest.mark.parametrize("at", [1, 4, 5, 7])
def test_resumed_exactly(at):
    def made(model):
        opt = piste.AdamW(model, lr=0.01)
        return opt, Blocks(opt, by_layer(model), every=3, seed=5)

    whole = deep()
    train(whole, *made(whole), 12)
    first = deep()
    opt, blocks = made(first)
    train(first, opt, blocks, at)
    saved = copy.deepcopy((first.state_dict(), opt.state_dict(), blocks.state_dict()))
    again = deep()
    again.load_state_dict(saved[0])
    opt, blocks = made(again)
    blocks.load_state_dict(saved[2])
    opt.load_state_dict(saved[1])
    train(again, opt, blocks, 12 - at, begin=at)
    for a, b in zip(again.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_groups_are_the_blocks_where_none_are_given_and_torchs_optimizers_work():
    model = deep()
    opt = torch.optim.AdamW([{"params": model.emb.parameters()}, {"params": model.head.parameters()}], lr=0.1)
    model.layers.requires_grad_(False)
    blocks = Blocks(opt, every=1, order="ascending")
    assert train(model, opt, blocks, 2) == [0, 1]
    assert not opt.state[model.head.weight]
    blocks.close()
    assert all(p.requires_grad for p in model.emb.parameters())
    assert not any(p.requires_grad for p in model.layers.parameters())


def test_matrix_optimizers_and_their_rest_sleep_together():
    model = tiny()
    opt = piste.Muon(model, lr=0.01)
    blocks = Blocks(opt, by_layer(model), every=1, order="ascending")
    for _ in range(6):
        model.loss(words()).backward() if blocks.awake != 2 else None
        opt.step()
        blocks.step()
    assert sum(g["active"] for g in opt.param_groups) == 1


def test_some_are_always_awake():
    model = deep()
    opt = piste.AdamW(model, lr=0.01)
    blocks = Blocks(opt, by_layer(model), every=1, always=["head.weight", "head.bias"])
    assert len(blocks.blocks) == 4
    train(model, opt, blocks, 4)
    assert opt.state[model.head.weight]["step"] == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"every": 0}, "every"),
        ({"order": "sideways"}, "order"),
        ({"blocks": [["emb.weight"], ["nobody"]]}, "nobody"),
        ({"blocks": [["emb.weight"], ["emb.weight"]]}, "two blocks"),
        ({"blocks": [["emb.weight"], ["emb.bias"]]}, "in no block"),
        ({"blocks": [["emb.weight"]]}, "take turns"),
    ],
)
def test_bad_input_is_refused(change, said):
    model = deep()
    opt = piste.AdamW(model)
    with pytest.raises(ValueError, match=said):
        Blocks(opt, **{"blocks": by_layer(model), **change})
    assert all(p.requires_grad for p in model.parameters())


def test_a_state_of_other_blocks_is_refused():
    model = deep()
    opt = piste.AdamW(model)
    blocks = Blocks(opt, by_layer(model), every=4)
    with pytest.raises(ValueError, match="every"):
        blocks.load_state_dict({**blocks.state_dict(), "every": 5})
