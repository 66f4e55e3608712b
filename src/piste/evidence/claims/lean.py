"""What claims of optimizers with little state share: how much they keep, and digits learned at tuned rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..._registry import get
from ..tuning import tuned
from .digit_runs import loss, shuffled
from .merging import random_net, train

Rates = tuple[float, ...]
MATRIX = ("AdamSN", "AdamSNSM", "AdaGradSN")  # a bare parameter would be routed by its dimensions


def matrices(method: Any, params: Sequence[torch.nn.Parameter], **hyper: Any) -> Any:
    """The optimizer on parameters that all are its own, whatever their dimensions."""
    if method.__name__ not in MATRIX:
        return method(params, **hyper)
    return method([{"params": list(params), "optimizer": method.__name__}], **hyper)


def kept(method: Any, m: int, n: int, **hyper: Any) -> float:
    """How many bytes an optimizer keeps for an m × n matrix in float32 after a step."""
    w = torch.nn.Parameter(torch.zeros(m, n))
    opt = matrices(method, [w], lr=0.1, **hyper)
    w.grad = torch.randn(m, n, generator=torch.Generator().manual_seed(m))
    opt.step()
    if hasattr(opt, "state_bytes"):
        return float(opt.state_bytes())
    return float(sum(v.numel() * v.element_size() for v in opt.state[w].values() if v.dim()))


def learned(method: Any, seed: int, lr: float, steps: int = 100, **hyper: Any) -> float:
    """The loss on new digits of a network of 32 hidden units after steps on batches of 100 others, the rate falling to
    0."""
    (x, labels), random = shuffled(), torch.Generator().manual_seed(seed)
    shown = torch.nn.functional.one_hot(labels, 10).double()
    params = [torch.nn.Parameter(p.clone()) for p in random_net(seed, 32)]
    opt = matrices(method, params, lr=lr, **hyper)
    for t in range(steps):
        for group in opt.param_groups:
            group["lr"] = lr * (1 - t / steps)
        drawn = torch.randint(1000, (100,), generator=random)
        train(opt, params, x[drawn], shown[drawn], 1)
    w, b, v, c = (p.detach() for p in params)
    return loss((w, b, v, c))


def against(method: Any, other: str, seed: int, rates: Rates, theirs: Rates, **hyper: Any) -> float:
    """The loss of a method on new digits over that of another, each at the best of its rates."""
    mine = tuned(lambda lr: learned(method, seed, lr, **hyper), rates).score
    return mine / tuned(lambda lr: learned(get(other, "optimizer").target, seed, lr), theirs).score


def flat(method: Any, slope: Callable[[int], Tensor], steps: int, **hyper: Any) -> list[Tensor]:
    """What each step of rate 1 takes away from a matrix, on given gradients."""
    w = torch.nn.Parameter(torch.zeros_like(slope(0)))
    opt, found = matrices(method, [w], lr=1.0, **hyper), []
    for t in range(steps):
        before = w.detach().clone()
        w.grad = slope(t)
        opt.step()
        found.append(before - w.detach())
    return found


def outer(seed: int, m: int, n: int) -> Callable[[int], tuple[Tensor, float]]:
    """Gradients whose squares are of rank one: √(r cᵀ) with fixed signs, and the size that step t gives them."""
    random = torch.Generator().manual_seed(seed)
    r, c = (torch.randn(k, generator=random, dtype=torch.float64).exp() for k in (m, n))
    signs = torch.randn(m, n, generator=random, dtype=torch.float64).sign()
    sizes = torch.randn(64, generator=random, dtype=torch.float64).exp().tolist()
    return lambda t: (signs * torch.outer(r, c).sqrt() * math.sqrt(sizes[t]), sizes[t])
