"""Orthogonalizing transforms: laws, and what sets the second apart from the first."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import piste
from piste import chain, laws
from piste.linalg import KELLER, POLAR_EXPRESS, newton_schulz, svd_polar
from piste.transforms import descend, ema, orthogonalize, orthogonalize_by_polar_express

SCHEDULES = [(orthogonalize, KELLER), (orthogonalize_by_polar_express, POLAR_EXPRESS)]


def spread(condition: float) -> Tensor:
    g = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(k, 12, dtype=torch.float64, generator=g))[0] for k in (20, 12))
    return left * torch.logspace(0, -condition, 12, dtype=torch.float64) @ right.mT


@pytest.mark.parametrize("rule", [orthogonalize, orthogonalize_by_polar_express])
def test_laws(rule):
    for verdict in laws.check(rule(5)):
        assert verdict.holds, str(verdict)


@piste.optimizer
def Plain(lr=1.0, express=False):
    rule = orthogonalize_by_polar_express if express else orthogonalize
    return chain(ema(0.0), rule(5), descend(lr))


@pytest.mark.parametrize("express", [False, True])
def test_each_runs_its_own_quintics(express):
    u = spread(2.0)
    p = torch.nn.Parameter(torch.zeros_like(u))
    p.grad = u.clone()
    Plain([p], express=express).step()
    expected = newton_schulz(u, 5, SCHEDULES[express][1])
    torch.testing.assert_close(-p.detach(), expected, rtol=0, atol=1e-12)


def test_polar_express_settles_where_keller_does_not():
    u = spread(2.5)
    far = [torch.linalg.svdvals(newton_schulz(u, 8, s) - svd_polar(u)).max() for _, s in SCHEDULES]
    assert far[0] > 0.1
    assert far[1] < 1e-6
