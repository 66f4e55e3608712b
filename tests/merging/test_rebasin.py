"""Permutations of hidden units: found by tracing, harmless to what a network computes, and undone by matching."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from piste.merging import loss_path, rebasin


class Convolutions(nn.Module):
    """A residual stream, a depthwise convolution, BatchNorm, and a flattened image."""

    def __init__(self, c: int = 8) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, c, 3, padding=1), nn.BatchNorm2d(c)
        self.up, self.depth = nn.Conv2d(c, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.down, self.pool = nn.Conv2d(12, c, 1, bias=False), nn.MaxPool2d(2)
        self.hidden, self.head = nn.Linear(c * 16, 10), nn.Linear(10, 4)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        x = x + self.down(torch.relu(self.depth(self.up(x))))
        return self.head(F.relu(self.hidden(torch.flatten(self.pool(x), 1))))


class Tokens(nn.Module):
    """Embeddings, LayerNorm, and a mean over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(9, 6), nn.LayerNorm(6)
        self.up, self.down, self.head = nn.Linear(6, 16), nn.Linear(16, 6), nn.Linear(6, 9)

    def forward(self, t):
        x = self.embed(t)
        return self.head((x + self.down(F.gelu(self.up(self.norm(x))))).mean(1))


class Odd(nn.Module):
    """A softmax over units, and units that are halved by a view: both stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(3, 2)

    def forward(self, x):
        x = self.b(self.a(x).softmax(-1))
        return self.c(torch.relu(x.view(-1, 2, 3).sum(1)))


class Shared(nn.Module):
    """One layer used twice binds its input's units to its output's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.again, self.head = nn.Linear(5, 7), nn.Linear(7, 7), nn.Linear(7, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.again(torch.tanh(self.again(torch.tanh(self.a(x)))))))


IMAGES, WORDS, ROWS = torch.randn(4, 3, 8, 8), torch.randint(9, (4, 5)), torch.randn(4, 5)
MLP = nn.Sequential(
    nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)
)
NETS = {"mlp": (lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(),
                                      nn.Linear(12, 3)), ROWS, [16, 12]),
        "convolutions": (Convolutions, IMAGES, [8, 12, 10]), "tokens": (Tokens, WORDS, [6, 16]),
        "odd": (Odd, ROWS, []), "shared": (Shared, ROWS, [7])}  # fmt: skip


def made(name: str, seed: int = 0):
    torch.manual_seed(seed)
    build, x, sizes = NETS[name]
    net = build().double().eval()
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.modules.batchnorm._BatchNorm):
                m.running_mean.normal_()
                m.running_var.uniform_(0.5, 2)
    return net, (x if x.dtype == torch.int64 else x.double()), sizes


def permuted(found, net, seed: int = 1):
    torch.manual_seed(seed)
    orders = [torch.randperm(n) for n in found.sizes]
    return orders, found.apply(net.state_dict(), orders)


@pytest.mark.parametrize("name", NETS)
def test_a_permutation_changes_no_answer(name):
    net, x, sizes = made(name)
    found = rebasin.symmetries(net, x)
    assert sorted(found.sizes) == sorted(sizes)
    want = net(x)
    _, weights = permuted(found, net)
    if sizes:
        assert any(not torch.equal(weights[n], t) for n, t in net.state_dict().items())
    net.load_state_dict(weights)
    torch.testing.assert_close(net(x), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in NETS if n != "odd"])
def test_matching_weights_undoes_a_permutation(name):
    net, x, _ = made(name)
    found = rebasin.symmetries(net, x)
    orders, weights = permuted(found, net)
    back = rebasin.match_weights(found, net.state_dict(), weights, torch.Generator().manual_seed(0))
    for there, here in zip(orders, back, strict=True):
        assert torch.equal(there[here], torch.arange(len(there)))
    assert all(torch.equal(t, net.state_dict()[n]) for n, t in found.apply(weights, back).items())


@pytest.mark.parametrize("name", ["mlp", "convolutions"])
def test_matching_activations_undoes_a_permutation(name):
    net, x, _ = made(name)
    found = rebasin.symmetries(net, x)
    orders, weights = permuted(found, net)
    other, _, _ = made(name, 5)
    other.load_state_dict(weights)
    x = torch.randn(64, *x.shape[1:], dtype=torch.float64)
    back = rebasin.match_activations(found, net, other, [x[:32], (x[32:], None)])
    for there, here in zip(orders, back, strict=True):
        assert torch.equal(there[here], torch.arange(len(there)))


def test_each_sweep_brings_the_weights_nearer():
    (a, x, _), (b, _, _) = made("mlp", 1), made("mlp", 2)
    found = rebasin.symmetries(a, x)

    def likeness(orders):
        moved = found.apply(b.state_dict(), orders)
        named = {axis.name for axes in found.groups for axis in axes}
        return sum(float((a.state_dict()[n] * moved[n]).sum()) for n in named)

    seen = [likeness(found.identity())]
    for sweeps in (1, 2, 3, 100):
        orders = rebasin.match_weights(
            found, a.state_dict(), b.state_dict(), torch.Generator().manual_seed(0), sweeps=sweeps
        )
        seen.append(likeness(orders))
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_many_at_once():
    net, x, _ = made("mlp")
    found = rebasin.symmetries(net, x)
    copies = [permuted(found, net, seed)[1] for seed in (1, 2, 3)]
    merged = rebasin.merge_many(found, copies, torch.Generator().manual_seed(0))
    net.load_state_dict(merged)
    torch.testing.assert_close(net(x), made("mlp")[0](x), rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="two models or more"):
        rebasin.merge_many(found, copies[:1])


def task(seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(512, 8, generator=g)
    return x, ((x[:, 0] * x[:, 1] > 0).long() + 2 * (x[:, 2] > x[:, 3]).long())


def trained(seed: int, width: int, steps: int = 150) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))
    x, y = task()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net


def test_wide_networks_lie_in_one_basin_after_matching():
    a, b = trained(1, 512), trained(2, 512)
    x, y = task()

    def loss(weights):
        return float(F.cross_entropy(torch.func.functional_call(a, weights, (x,)), y))

    found = rebasin.symmetries(a, x)
    before = loss_path(a, b, loss).barrier
    weights = found.apply(b.state_dict(), rebasin.match_weights(found, a.state_dict(), b.state_dict()))
    after = loss_path(a, weights, loss).barrier
    assert loss(weights) == pytest.approx(loss(b.state_dict()), rel=1e-5)
    assert after < 0.5 * before


def test_straight_through_lowers_the_loss_half_way():
    a, b = trained(1, 32), trained(2, 32)
    x, y = task()
    found = rebasin.symmetries(a, x)

    def half(orders):
        moved = found.apply(b.state_dict(), orders)
        weights = {n: (t + moved[n]) / 2 for n, t in a.state_dict().items()}
        return float(F.cross_entropy(torch.func.functional_call(a, weights, (x,)), y))

    orders = rebasin.match_straight_through(
        found, a, a.state_dict(), b.state_dict(), F.cross_entropy, [(x, y)] * 40, lr=0.05,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    matched = rebasin.match_weights(found, a.state_dict(), b.state_dict(), torch.Generator().manual_seed(0))
    assert half(orders) <= half(matched) < half(found.identity())


def test_what_cannot_be_traced_is_told():
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r"torch.fx cannot follow Branches"):
        rebasin.symmetries(Branches(), ROWS)
