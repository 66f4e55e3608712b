"""What is special about Muon's kin: clipped heads, rates between the conventions of length, even neurons."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import piste
from optimizers.trajectories import distance, problem, start
from piste import chain, functional, transforms
from reference.muonclip import reference


def test_muonclip_with_reports_is_its_textbook():
    """Some heads above tau, some below, one head in three, all rows as one; now and then nothing is reported."""
    params, grads = problem([(6, 6), (8, 4), (4, 8)], 12)
    make = torch.Generator().manual_seed(1)
    logits = []
    for t in range(12):
        drawn = {i: 3 * torch.rand(heads, generator=make) for i, heads in ((0, 3), (1, 1), (2, 4))}
        logits.append({} if t % 5 == 0 else drawn)
    live = start(params)
    opt = piste.MuonClip([piste.MuonClip.group(live, lr=0.02, tau=1.5)])
    for row, told in zip(grads, logits, strict=True):
        for i, p in enumerate(live):
            p.grad = row[i].clone()
            if i in told:
                piste.report(p, max_logit=told[i])
        opt.step()
    want = reference(params, grads, lr=0.02, tau=1.5, logits=logits)
    assert distance([p.detach() for p in live], want) < 1e-6


class Attention(nn.Module):
    """Two heads of four; the query is fused with nothing, the key serves both heads if ``shared``."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.query = nn.Linear(8, 8, bias=False)
        self.key = nn.Linear(8, 4 if shared else 8, bias=False)

    def logits(self, x):
        q = self.query(x).unflatten(-1, (2, 4)).transpose(1, 2)
        k = self.key(x).unflatten(-1, (-1, 4)).transpose(1, 2)
        return q @ k.mT / 2

    def forward(self, x):
        scores = self.logits(x)
        largest = scores.amax((0, 2, 3))
        if self.shared:
            piste.report(self.query, max_logit_alone=largest)
        else:
            for part in (self.query, self.key):
                piste.report(part, max_logit=largest)
        return scores.softmax(-1).square().sum()


@pytest.mark.parametrize("shared", [False, True])
def test_the_next_forward_pass_is_within_tau(shared):
    """lr = 0: only the clipping moves. The hot head comes down to tau exactly, the other one does not stir."""
    torch.manual_seed(0)
    net, x = Attention(shared).double(), torch.randn(3, 5, 8, dtype=torch.float64)
    with torch.no_grad():
        net.query.weight[4:] *= 50
    before = net.logits(x).amax((0, 2, 3)).detach()
    tau = float(before.sum() / 2)
    assert before[0] < tau < before[1]
    opt = piste.MuonClip([piste.MuonClip.group(net.parameters(), lr=0.0, tau=tau)])
    net(x).backward()
    opt.step()
    after = net.logits(x).amax((0, 2, 3)).detach()
    torch.testing.assert_close(after, torch.stack([before[0], torch.tensor(tau, dtype=torch.float64)]))
    net(x).backward()
    opt.step()
    torch.testing.assert_close(net.logits(x).amax((0, 2, 3)).detach(), after)


def test_overflow_tells_nothing():
    net = nn.Linear(4, 4, bias=False)
    opt = piste.MuonClip([piste.MuonClip.group(net.parameters(), lr=0.0)])
    before = net.weight.detach().clone()
    piste.report(net, max_logit=torch.tensor([float("inf"), float("nan")]))
    net.weight.grad = torch.ones(4, 4)
    opt.step()
    assert torch.equal(net.weight, before)


@pytest.mark.parametrize("from_", ["none", "spectral_scale", "match_rms", "rms_to_rms"])
@pytest.mark.parametrize("to", ["none", "spectral_scale", "match_rms", "rms_to_rms"])
@pytest.mark.parametrize("shape", [(4, 4), (8, 4), (4, 8)])
def test_translated_rates_take_the_same_step(from_, to, shape):
    p = torch.zeros(shape, dtype=torch.float64)
    g = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def stepped(scale, lr):
        parts = [] if scale == "none" else [getattr(transforms, scale)()]
        rule = chain(transforms.orthogonalize(5), *parts, transforms.descend(lr))
        return functional.step(rule, {"p": g}, functional.init(rule, {"p": p}), {"p": p})[0]["p"]

    lr = transforms.translate_lr(0.02, shape, from_=from_, to=to)
    torch.testing.assert_close(stepped(to, lr), stepped(from_, 0.02), rtol=1e-12, atol=1e-14)


def test_known_translations_and_refusals():
    """Moonshot's rate for a 1024-wide layer is Keller Jordan's over 6.4; kernels count their inputs."""
    translate = transforms.translate_lr
    assert translate(0.02, (1024, 1024), from_="spectral_scale", to="match_rms") == pytest.approx(0.02 / 6.4)
    assert translate(1.0, (8, 4, 2, 2), from_="rms_to_rms", to="none") == pytest.approx(math.sqrt(8 / 16))
    with pytest.raises(ValueError, match="unknown scale 'moonshot': there are none"):
        translate(1.0, (2, 2), from_="moonshot", to="none")
    with pytest.raises(ValueError, match="is none"):
        translate(1.0, (2,), from_="none", to="none")


def test_neurons_end_even():
    """One gradient again and again: every row of NorMuon's update has the same length, the whole is Muon's."""
    g = torch.randn(6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = torch.zeros_like(g)
    rule = chain(transforms.orthogonalize(5), transforms.normalize_neurons())
    state, plain = functional.init(rule, {"p": p}), chain(transforms.orthogonalize(5))
    for _ in range(500):
        new, state = functional.update(rule, {"p": g}, state, {"p": p})
    rows = new["p"].norm(dim=1)
    torch.testing.assert_close(rows, torch.full_like(rows, float(rows.mean())), rtol=1e-9, atol=0)
    whole = functional.update(plain, {"p": g}, functional.init(plain, {"p": p}), {"p": p})[0]["p"]
    torch.testing.assert_close(new["p"].norm(), whole.norm())
    assert state["p"]["second_momentum_buffer"].shape == (6, 1)
