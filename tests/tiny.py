"""A model small enough to train in milliseconds that has every kind of parameter, and how to compare optimizers."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import piste
from declared import representatives

# names, to try a few optimizers on several ranks and in the sweep
ONLY = os.environ.get("PISTE_ONLY", "").split()
OURS = [e for e in piste.registry("optimizer") if e.module.startswith("piste.")]  # tests have some, too
CHOSEN = [e for e in OURS if not ONLY or e.name in ONLY]
EVERY = [e.name for e in CHOSEN if set(e.needs) <= {"closure"}]
# what an optimizer asks of the engine is in its declarations, and these few have all that any of them declares;
# PISTE_EVERY=1 (`make test-full`) takes every one
OPTIMIZERS = EVERY if ONLY or os.environ.get("PISTE_EVERY") else representatives(EVERY)
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


class Tiny(nn.Module):
    """Embedding, hidden matrices (one is spare: it gets no gradient), a norm, biases and a head."""

    def __init__(self, words: int = 11, width: int = 8) -> None:
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.inner = nn.Linear(width, width)
        self.spare = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)

    def forward(self, x: Tensor) -> Tensor:
        h = self.table(x)
        h = h + self.outer(torch.tanh(self.inner(h)))
        return self.head(self.norm(h))

    def loss(self, x: Tensor) -> Tensor:
        """Of guessing the next word of each row."""
        scores = self(x[:, :-1]).flatten(0, 1)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        return nn.functional.cross_entropy(scores, x[:, 1:].flatten())


def words(seed: int = 0, rows: int = 6, length: int = 5) -> Tensor:
    return torch.randint(0, 11, (rows, length), generator=torch.Generator().manual_seed(seed))


def tiny(seed: int = 0, dtype: torch.dtype = torch.float32) -> Tiny:
    torch.manual_seed(seed)
    return Tiny().to(dtype)


# a handful of Hessian products shows what sixty do, in a tenth of the time
SHORT = {"RootNewton": {"products": 6}, "UniversalNewton": {"products": 6}, "PolynomialGD": {"products": 6}}


def make(name: str, model: Any, **hyper: Any) -> piste.Optimizer:
    return piste.get(name, "optimizer").target(model, **{**SHORT.get(name, {}), **hyper})


def train(model: Tiny, opt: torch.optim.Optimizer, steps: int, start: int = 0) -> None:
    """Steps on batches numbered from ``start``, with a closure, which every optimizer accepts."""
    for x in map(words, range(start, start + steps)):

        def closure(x: Tensor = x) -> Tensor:
            opt.zero_grad()
            loss = model.loss(x)
            loss.backward()
            return loss

        opt.step(closure)


def snapshot(opt: torch.optim.Optimizer) -> Any:
    """Everything a refused call must leave as it was: groups, state and weights."""
    groups = [{k: v for k, v in g.items() if k != "params"} for g in opt.param_groups]
    params = [[p.detach() for p in g["params"]] for g in opt.param_groups]
    states = [[dict(opt.state.get(p, {})) for p in g["params"]] for g in opt.param_groups]
    return copy.deepcopy((groups, params, states))


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal in structure, type, dtype and every bit."""
    assert type(a) is type(b), where
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), f"{where}: {a} is not {b}"
    elif isinstance(a, dict):
        assert sorted(map(str, a)) == sorted(map(str, b)), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}.{i}")
    else:
        assert a == b, f"{where}: {a!r} is not {b!r}"


def refused(opt: torch.optim.Optimizer, act: Callable[[], Any], kind: type[Exception], *says: str) -> None:
    """``act`` raises ``kind``, its message has all of ``says``, and nothing of ``opt`` has changed."""
    before = snapshot(opt)
    with pytest.raises(kind) as caught:
        act()
    for word in says:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"
    assert_same(before, snapshot(opt))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}
