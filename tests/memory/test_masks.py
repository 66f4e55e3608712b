"""Few weights trained of many: masks, SaRA, FreezeNet."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import piste
from piste.memory import FreezeNet, Reduced, SaRA, chance, magnitude, snip, top

X = torch.randn(16, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def net():
    return nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.BatchNorm1d(9), nn.Linear(9, 4)).double()


def seeded():
    torch.manual_seed(0)
    return net()


def loss(model):
    return (model(X) - 1).square().mean()


def train(model, params, steps=5, **hyper):
    opt = piste.AdamW(params, lr=0.05, **hyper)
    for _ in range(steps):
        opt.zero_grad()
        loss(model).backward()
        opt.step()
    return opt


def masks(model, share=0.3):
    return top(snip(model, lambda: loss(model)), share)


def test_a_share_of_all_weights_is_chosen():
    model = seeded()
    for scores in (snip(model, lambda: loss(model)), magnitude(model), chance(model, 3)):
        chosen = top(scores, 0.2)
        assert set(chosen) == {"0.weight", "3.weight"}
        assert sum(int(m.sum()) for m in chosen.values()) == round(0.2 * 99)
        least = min(float(scores[n][m].min()) for n, m in chosen.items() if m.any())
        assert all(float(scores[n][~m].max()) <= least for n, m in chosen.items())
    assert all(
        torch.equal(a, b) for a, b in zip(chance(model).values(), chance(seeded()).values(), strict=True)
    )


@pytest.mark.parametrize("pruned", [False, True])
def test_what_is_not_chosen_stays(pruned):
    model = seeded()
    chosen, begin = masks(model), copy.deepcopy(model.state_dict())
    reduced = Reduced(model, chosen, pruned)
    train(model, reduced.parameters(), weight_decay=0.1)
    for name, mask in chosen.items():
        now = reduced.weight(name)
        rest = torch.zeros_like(now) if pruned else begin[name]
        assert torch.equal(now[~mask], rest[~mask]) and not torch.equal(now[mask], begin[name][mask])
    plain = reduced.merge()
    assert set(plain.state_dict()) == set(begin) and all(p.requires_grad for p in plain.parameters())


def test_it_is_descent_on_masked_gradients():
    model, dense = seeded(), seeded()
    chosen = masks(model)
    train(model, Reduced(model, chosen).parameters())
    opt = piste.AdamW(dense.parameters(), lr=0.05)
    held = copy.deepcopy(dense.state_dict())
    for _ in range(5):
        opt.zero_grad()
        loss(dense).backward()
        for name, mask in chosen.items():
            dense.get_parameter(name).grad.mul_(mask)
        opt.step()
        with torch.no_grad():  # the decay of AdamW reaches what has no gradient
            for name, mask in chosen.items():
                p = dense.get_parameter(name)
                p.copy_(torch.where(mask, p, held[name]))
    assert torch.allclose(model(X), dense(X), rtol=1e-12)


def test_state_and_gradients_are_as_small_as_the_choice():
    model = seeded()
    reduced = Reduced(model, masks(model, 0.1))
    opt = train(model, reduced.parameters())
    biases = 9 + 9 + 9 + 4
    assert opt.state_bytes() == 2 * 8 * (10 + biases)
    assert {p.grad.numel() for p in reduced.parameters()} <= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}


def test_a_weight_used_twice_in_a_graph_has_both_gradients():
    layer = nn.Linear(5, 5, bias=False).double()
    chosen = top(magnitude(nn.Sequential(layer)), 0.5)["0.weight"]
    x, plain = torch.randn(3, 5, dtype=torch.float64), layer.weight.detach().clone().requires_grad_(True)
    reduced = Reduced(layer, {"weight": chosen})
    layer(layer(x).tanh()).sum().backward()
    nn.functional.linear(nn.functional.linear(x, plain).tanh(), plain).sum().backward()
    assert torch.allclose(reduced.parameters()[0].grad, plain.grad[chosen], rtol=1e-12)


def test_saved_and_loaded():
    model = seeded()
    reduced = Reduced(model, masks(model))
    train(model, reduced.parameters())
    other = seeded()
    Reduced(other, masks(other))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(X), model.eval()(X))
    copied = copy.deepcopy(model)
    train(model, reduced.parameters(), 1)
    assert not torch.equal(copied.eval()(X), model.eval()(X))


def test_precision_and_device_are_kept():
    model = seeded().to(torch.bfloat16)
    reduced = Reduced(model, top(magnitude(model), 0.3))
    assert {p.dtype for p in reduced.parameters()} == {torch.bfloat16}
    model(X.bfloat16()).sum().backward()


def test_places_move_where_gradients_are_large():
    model = seeded()
    chosen = top(chance(model), 0.3)
    reduced = Reduced(model, chosen, pruned=True)
    opt = train(model, reduced.parameters())
    before = {n: reduced.weight(n).clone() for n in chosen}
    opt.zero_grad()
    reduced.watch()
    loss(model).backward()
    dense = {n: e.dense.clone() for n, e in reduced.entries.items()}
    reduced.drop_and_grow(0.5, opt)
    for name, entries in reduced.entries.items():
        places, count = entries.places.long(), entries.places.numel()
        assert len(set(places.tolist())) == count
        now, old = reduced.weight(name).flatten(), before[name].flatten()
        kept = now != 0
        sizes = old[chosen[name].flatten()].abs().sort(descending=True).values
        assert torch.equal(now[kept].abs().sort(descending=True).values, sizes[: int(kept.sum())])
        grown = [p for p in places.tolist() if now[p] == 0]
        out = torch.ones(len(now), dtype=torch.bool)
        out[places] = False
        assert float(dense[name].flatten()[grown].abs().min()) >= float(
            dense[name].flatten()[out].abs().max()
        )
        assert float(opt.state[entries.values]["exp_avg"][now[places] == 0].abs().sum()) == 0
    train(model, reduced.parameters(), 2)


def test_bad_masks_are_refused():
    model = seeded()
    good = masks(model)
    with pytest.raises(ValueError, match="nobody"):
        Reduced(model, {"nobody": good["0.weight"]})
    with pytest.raises(ValueError, match="bool"):
        Reduced(model, {"0.weight": good["0.weight"].double()})
    with pytest.raises(ValueError, match="shape"):
        Reduced(model, {"0.weight": good["3.weight"]})
    with pytest.raises(ValueError, match="chosen"):
        Reduced(model, {"0.weight": torch.zeros(9, 7, dtype=torch.bool)})
    with pytest.raises(ValueError, match="share"):
        top(magnitude(model), 0.0)
    with pytest.raises(ValueError, match="frozen"):
        Reduced(model, good).drop_and_grow(0.1)


# SaRA -------------------------------------------------------------------------------------------------------------


def test_sara_trains_the_smallest_weights_alone():
    model = seeded()
    begin = {n: p.detach().clone() for n, p in model.named_parameters()}
    sara = SaRA(model, share=0.2)
    assert sum(p.numel() for p in sara.parameters()) == 20
    train(model, sara.parameters())
    moved = {n: sara.reduced.weight(n) != begin[n] for n in ("0.weight", "3.weight")}
    assert all(float(begin[n][m].abs().max()) < sara.threshold for n, m in moved.items())
    plain = sara.merge()
    for name, p in plain.named_parameters():
        if name.endswith("bias") or name.startswith("2."):
            assert torch.equal(p, begin[name])


def test_sara_selects_anew_what_is_small_still():
    model = seeded()
    sara = SaRA(model, share=0.5)
    train(model, sara.parameters())
    before = {n: sara.reduced.weight(n).clone() for n in sara.reduced.entries}
    small = sum(int((p.abs() < sara.threshold).sum()) for p in sara.parameters())
    again = sara.reselect()
    assert sum(p.numel() for p in again) == small < 50
    model(X)
    assert all(torch.equal(sara.reduced.weight(n), w) for n, w in before.items())
    train(model, again)
    moved = sum(int((sara.reduced.weight(n) != w).sum()) for n, w in before.items())
    assert 0 < moved <= small


def test_saras_norm_is_that_of_the_sparse_matrix():
    model = seeded()
    sara = SaRA(model, share=0.5, least_side=3)
    dense = torch.zeros(9, 7, dtype=torch.float64)
    entries = sara.reduced.entries["0.weight"]
    dense.view(-1)[entries.places.long()] = entries.values.detach()
    assert torch.allclose(sara.nuclear_norm("0.weight"), torch.linalg.svdvals(dense).sum())
    total = sara.nuclear_norm()
    total.backward()
    assert torch.allclose(total, sara.nuclear_norm("0.weight") + sara.nuclear_norm("3.weight"))
    assert all(float(p.grad.abs().sum()) > 0 for p in sara.parameters())
    with pytest.raises(ValueError, match="least_side"):
        SaRA(seeded(), least_side=100).nuclear_norm()


def test_saras_sparse_state_goes_into_the_same_model():
    model = seeded()
    sara = SaRA(model, threshold=0.1)
    train(model, sara.parameters())
    saved = sara.sparse_state()
    other = SaRA(seeded(), threshold=0.1)
    other.load_sparse_state(saved)
    for name in sara.reduced.entries:
        assert torch.equal(other.reduced.weight(name), sara.reduced.weight(name))
    with pytest.raises(ValueError, match="other weights"):
        other.load_sparse_state({})
    with pytest.raises(ValueError, match="two dimensions"):
        SaRA(nn.BatchNorm1d(3))


# FreezeNet --------------------------------------------------------------------------------------------------------


def test_a_frozen_net_is_its_seed_and_a_few_values(tmp_path):
    frozen = FreezeNet(net, loss, share=0.1, seed=4)
    state = torch.get_rng_state()
    train(frozen.model, frozen.parameters())
    torch.save(frozen.saved(), tmp_path / "net.pt")
    kept = torch.load(tmp_path / "net.pt", weights_only=True)
    again = FreezeNet.restored(net, kept)
    assert torch.equal(again.model.eval()(X), frozen.model.eval()(X))
    assert torch.equal(torch.get_rng_state(), state)
    values = sum(v.numel() for k, v in kept["state"].items() if k.endswith("values"))
    assert values == 10 and not any("original" in k for k in kept["state"])
    for each in (frozen, again):
        train(each.model.train(), each.parameters(), 2)
    assert torch.equal(frozen.model(X), again.model(X))


def test_other_weights_of_the_seed_are_refused():
    frozen = FreezeNet(net, loss, share=0.1, seed=4)
    with pytest.raises(ValueError, match="other weights"):
        FreezeNet.restored(net, {**frozen.saved(), "seed": 5})
    with pytest.raises(ValueError, match="32 bits"):
        FreezeNet(net, loss, share=0.1, seed=1 << 32)


def test_freezing_changes_nothing_at_first():
    frozen = FreezeNet(net, loss, share=0.05, seed=2)
    torch.manual_seed(2)
    assert torch.equal(frozen.model(X), net()(X))
