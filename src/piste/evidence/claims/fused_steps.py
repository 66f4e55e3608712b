"""The step inside backward: LOMO."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..._registry import get
from ..._release import release_gradients
from ..claim import claim, equal
from .small_nets import net
from .turned_digits import part

LOMO = "Full Parameter Fine-tuning for Large Language Models with Limited Resources"
Step = Callable[[nn.Module, float], tuple[Any, Any]]


def fused(model: nn.Module, lr: float) -> tuple[Any, Any]:
    """LOMO, and inside what its steps are taken."""
    opt = get("LOMO", "optimizer").target(model, lr=lr)
    return opt, release_gradients(opt)


def after_backward(model: nn.Module, lr: float) -> tuple[Any, Any]:
    """The same steps, when all gradients are there."""
    return get("LOMO", "optimizer").target(model, lr=lr), contextlib.nullcontext()


def heavy(model: nn.Module, lr: float) -> tuple[Any, Any]:
    """With momentum."""
    opt = get("SGD", "optimizer").target(model, lr=lr, momentum=0.9)
    return opt, release_gradients(opt)


def _steps(method: Step, model: nn.Module, seed: int, steps: int) -> None:
    (x, labels), random = part(0.0, slice(0, 500)), torch.Generator().manual_seed(seed)
    opt, within = method(model, 0.2)
    with within:
        for _ in range(steps):
            rows = torch.randint(len(x), (25,), generator=random)
            nn.functional.cross_entropy(model(x[rows]), labels[rows]).backward()
            opt.step()
            opt.zero_grad()


@claim(
    "LOMO", LOMO, subject=fused, kind="identity", predicts=equal(0.0), tolerance=1e-12, wrong=heavy, seeds=3
)  # fmt: skip
def steps_inside_backward_are_those_of_sgd(method: Step, seed: int) -> float:
    """Fusing the step with backward changes nothing but memory: LOMO's path is SGD's.

    The largest difference of the weights after 20 steps, a ReLU network of two hidden layers on digits.
    """
    ours, theirs = net(seed, 24, 24), net(seed, 24, 24)
    _steps(method, ours, seed, 20)
    _steps(
        lambda model, lr: (torch.optim.SGD(model.parameters(), lr=lr), contextlib.nullcontext()),
        theirs,
        seed,
        20,
    )
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


@claim(
    "LOMO", LOMO, subject=fused, kind="theorem", predicts=equal(1.0), tolerance=0.0, wrong=after_backward, seeds=2
)  # fmt: skip
def one_gradient_is_there_at_a_time(method: Step, seed: int) -> float:
    """Of the gradients of all parameters no more than one is in memory at any time.

    The most bytes of gradients there are when one has just been made, over those of the largest parameter; a ReLU
    network of two hidden layers, three steps.
    """
    model, most = net(seed, 24, 24), 0
    params = list(model.parameters())

    def count(_: Tensor) -> None:
        nonlocal most
        most = max(most, sum(p.grad.nbytes for p in params if p.grad is not None))

    for p in params:
        p.register_post_accumulate_grad_hook(count)
    _steps(method, model, seed, 3)
    return most / max(p.nbytes for p in params)
