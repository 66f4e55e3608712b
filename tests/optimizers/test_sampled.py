"""Methods that draw labels from the model, against their textbooks on softmax regression."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import piste
from reference import sophiag

INPUTS, CLASSES, ROWS = 5, 4, 12


def batches(count):
    g = torch.Generator().manual_seed(3)
    found = []
    for _ in range(count):
        x = torch.randn(ROWS, INPUTS, dtype=torch.float64, generator=g)
        y = torch.randint(CLASSES, (ROWS,), generator=g)
        gumbel = -(-torch.rand(ROWS, CLASSES, dtype=torch.float64, generator=g).log()).log()
        found.append((x, y, gumbel))
    return found


@pytest.mark.parametrize(
    "hyper",
    [
        {"lr": 0.02, "rho": 0.3, "bs": 12.0, "update_each": 3},
        {"lr": 0.05, "rho": 0.05, "bs": 12.0, "weight_decay": 0.0},
    ],
)
def test_sophia_g_is_its_textbook(hyper):
    torch.manual_seed(0)
    model = nn.Linear(INPUTS, CLASSES, bias=False).double()
    start, data = model.weight.detach().clone(), batches(25)
    opt = piste.SophiaG([piste.SophiaG.group([model.weight], **hyper)])
    for x, y, gumbel in data:

        def forward(batch):
            return cross_entropy(model(batch[0]), batch[1])

        def sampled(batch):
            scores = model(batch[0])
            return cross_entropy(scores, (scores.detach().log_softmax(1) + batch[2]).argmax(1))

        opt.step(piste.closure(forward, [(x, y, gumbel)], model, sampled=sampled))
    want = sophiag.reference(start, data, **hyper)
    torch.testing.assert_close(model.weight.detach(), want, rtol=1e-12, atol=1e-13)
    assert (want - start).norm() > 0.05
