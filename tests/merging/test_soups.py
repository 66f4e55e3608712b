"""Soups that look at data, mixtures for each sample, and the way from one model to another."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from piste import merging
from piste.merging.dawin import BetaMixture, DaWin, coefficients, entropy
from piste.merging.pruned import magnitude_masks


def vector(x: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([float(x)])}


def score(target: float):
    return lambda m: -abs(float(m["w"]) - target)


def test_a_greedy_soup_takes_what_helps():
    models = [vector(x) for x in (0.0, 4.0, 10.0, 3.0)]
    found = merging.greedy_soup(models, score(3.4))
    assert found.chosen == [3, 1]  # 3.4 from 3 and 4; 0 and 10 would take it away
    assert found.tensors["w"].item() == 3.5
    assert found.alone == [pytest.approx(-3.4), pytest.approx(-0.6), pytest.approx(-6.6), pytest.approx(-0.4)]
    assert found.score == pytest.approx(-0.1)


@pytest.mark.parametrize("target", [0.0, 1.7, 2.6, 9.0])
def test_a_greedy_soup_is_never_worse_than_its_best_model(target):
    found = merging.greedy_soup([vector(x) for x in (0.3, 1.9, 2.2, 5.0)], score(target))
    assert found.score >= max(found.alone)


def test_a_score_that_is_no_number_is_told():
    with pytest.raises(ValueError, match=r"the score of models \[1\] is nan"):
        merging.greedy_soup([vector(0), vector(1)], lambda m: math.nan if m["w"] else 0.0)


def test_the_fisher_diagonal_of_logistic_regression():
    """For logits Wx the Fisher matrix of W_kj is E x_j² p_k(1 - p_k)."""
    torch.manual_seed(0)
    net = nn.Linear(4, 3, bias=False).double()
    x = torch.randn(50, 4, dtype=torch.float64)
    found = merging.fisher_diagonal(net, [x[:20], (x[20:], None)], chunk_size=7)["weight"]
    p = net(x).softmax(-1)
    want = torch.einsum("bk,bj->kj", p * (1 - p), x**2) / 50
    torch.testing.assert_close(found, want)
    assert net.training
    with pytest.raises(ValueError, match="no batches"):
        merging.fisher_diagonal(net, [])


def test_merging_by_fisher_comes_nearer_to_a_joint_fit_than_the_mean():
    torch.manual_seed(0)
    truth = torch.randn(3, 6, dtype=torch.float64)
    scales = torch.tensor([[3.0] * 3 + [0.3] * 3, [0.3] * 3 + [3.0] * 3], dtype=torch.float64)
    shards = [torch.randn(400, 6, dtype=torch.float64) * s for s in scales]

    def fitted(x):
        y = (x @ truth.mT + torch.distributions.Gumbel(0, 1).sample((len(x), 3))).argmax(-1)
        net = nn.Linear(6, 3, bias=False).double()
        nn.init.zeros_(net.weight)
        fit = torch.optim.LBFGS(net.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def closure():
            fit.zero_grad()
            loss = F.cross_entropy(net(x), y) + 1e-4 * net.weight.square().sum()
            loss.backward()
            return loss

        fit.step(closure)
        return net, y

    (a, ya), (b, yb) = (fitted(x) for x in shards)
    statistics = [merging.fisher_diagonal(m, [x]) for m, x in zip((a, b), shards, strict=True)]
    both, targets = torch.cat(shards), torch.cat([ya, yb])

    def loss(weights):
        return float(F.cross_entropy(both @ weights["weight"].mT, targets))

    fisher = loss(merging.merge("fisher", [a, b], statistics=statistics, by_length=False))
    assert fisher < loss(merging.merge("soup", [a, b]))


# DaWin --------------------------------------------------------------------------------------------------------------


def test_coefficients_lie_where_the_entropies_allow():
    logits = torch.randn(100, 7) * 3
    h = entropy(logits)
    torch.testing.assert_close(h, torch.distributions.Categorical(logits=logits).entropy())
    share = coefficients(h[:50], h[50:])
    assert torch.all((share >= 1 / 8) & (share <= 7 / 8))
    torch.testing.assert_close(coefficients(h, h), torch.full((100,), 0.5))


def test_each_sample_has_a_model_of_its_own():
    torch.manual_seed(0)
    a, b = (nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)) for _ in range(2))
    x = torch.randn(9, 4)
    both = DaWin(a, b, clusters=None)
    for row, share, answer in zip(x, both.coefficients(x), both(x), strict=True):
        mixed = merging.merge("soup", [a, b], weights=[1 - float(share), float(share)])
        torch.testing.assert_close(answer, torch.func.functional_call(a, mixed, (row,)), rtol=1e-4, atol=1e-5)


def test_clusters_share_their_mean():
    torch.manual_seed(0)
    low, high = torch.distributions.Beta(40, 160), torch.distributions.Beta(160, 40)
    share = torch.cat([low.sample((80,)), high.sample((60,))])
    mixture = BetaMixture(share, 2)
    want = torch.tensor([0.2, 0.8], dtype=torch.float64)
    torch.testing.assert_close(mixture.means.sort().values, want, atol=0.02, rtol=0)
    assert torch.equal(mixture.nearest() == mixture.nearest()[0], (share < 0.5))
    with pytest.raises(ValueError, match="3 components want as many samples; got 2"):
        BetaMixture(torch.rand(2), 3)


def test_two_experts_on_two_domains():
    """Each sure on its own data: the mixture follows it there, where one coefficient for all follows none."""
    centres = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        a.weight.copy_(
            torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
        )  # reads the first number, the other's sign is its own
        b.weight.copy_(torch.tensor([[0.0, -3.0], [0.0, 3.0]]))
        a.bias.zero_(), b.bias.zero_()
    x = torch.cat([centres[0].expand(10, 2), centres[1].expand(10, 2)])
    y = torch.tensor([0] * 10 + [1] * 10)
    share = DaWin(a, b, clusters=2).coefficients(x)
    assert torch.all(share[:10] < 0.5) and torch.all(share[10:] > 0.5)
    assert (DaWin(a, b, clusters=2)(x).argmax(-1) == y).all()


def test_models_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"these differ in bias, weight"):
        DaWin(nn.Linear(2, 3), nn.Linear(2, 4))


# pruning ------------------------------------------------------------------------------------------------------------


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 2))


def zeros(model: nn.Module) -> float:
    weights = [p for p in model.parameters() if p.ndim > 1]
    return sum(float((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def noisy(model, cycle, copy):
    g = torch.Generator().manual_seed(100 * cycle + copy)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=g))


@pytest.mark.parametrize("method", [merging.sparse_soup, merging.swamp])
def test_the_mean_of_sparse_copies_is_as_sparse(method):
    model = net()
    masks = method(model, noisy, 0.8, 3, 2)
    assert zeros(model) == pytest.approx(0.8, abs=0.01)
    for name, mask in masks.items():
        assert not model.get_parameter(name)[~mask].any()
    with pytest.raises(ValueError, match="sparsity is the share of zeros"):
        method(net(), noisy, 1.0)


def test_a_sparse_soup_goes_on_from_the_mean_and_swamp_from_its_start():
    begun: list[torch.Tensor] = []

    def seen(model, cycle, copy):
        begun.append(model[0].weight.detach().clone())
        noisy(model, cycle, copy)

    start = net()[0].weight.detach()
    merging.swamp(net(), seen, 0.5, 2, 2)
    assert all(torch.equal(w[w != 0], start[w != 0]) for w in begun)
    begun.clear()
    merging.sparse_soup(net(), seen, 0.5, 2, 2)
    assert torch.equal(begun[0], begun[1])
    assert not torch.equal(begun[2][begun[2] != 0], start[begun[2] != 0])


def test_masks_only_lose():
    model = net()
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in model.named_parameters() if p.ndim > 1}
    first = magnitude_masks(dict(model.named_parameters()), masks, 0.5)
    second = magnitude_masks(dict(model.named_parameters()), first, 0.5)
    assert all(torch.all(first[n] | ~second[n]) for n in masks)
    kept = sum(int(m.sum()) for m in second.values()) / sum(m.numel() for m in masks.values())
    assert kept == pytest.approx(0.25, abs=0.01)


# the path -----------------------------------------------------------------------------------------------------------


def test_the_loss_path(tmp_path):
    a, b = vector(0.0), vector(4.0)

    def loss(m):
        w = float(m["w"])
        return w * (4 - w) + w

    found = merging.loss_path(a, b, loss, points=5)
    assert found.alphas == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert found.losses[""] == (0.0, 4.0, 6.0, 6.0, 4.0)
    assert found.barrier == 4.0  # 6 at the middle, where the line is at 2
    with pytest.raises(ValueError, match="points must be at least 3"):
        merging.loss_path(a, b, loss, points=2)


def test_layers_move_alone_and_are_drawn(tmp_path):
    a, b = net(), nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 2))
    x = torch.randn(30, 6)

    def loss(m):
        return torch.func.functional_call(a, m, (x,)).square().mean().item()

    found = merging.loss_path(a, b, loss, points=3, layers=True)
    assert list(found.losses) == ["", "0", "2"]
    mixed = {
        **a.state_dict(),
        "0.weight": (a[0].weight + b[0].weight) / 2,
        "0.bias": (a[0].bias + b[0].bias) / 2,
    }
    assert found.losses["0"][1] == pytest.approx(loss(mixed), rel=1e-6)
    found.draw(tmp_path / "path.png")
    assert (tmp_path / "path.png").stat().st_size > 2000
