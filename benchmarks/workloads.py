"""The lists of tensors that are stepped."""

from __future__ import annotations

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def gpt(blocks: int = 6, width: int = 512, vocabulary: int = 16384, context: int = 512) -> Shapes:
    """A GPT with tied embeddings and biases: 76 tensors, 27.6M parameters."""
    shapes: Shapes = {"wte.weight": (vocabulary, width), "wpe.weight": (context, width)}
    for i in range(blocks):
        for norm in ("norm_1", "norm_2"):
            shapes |= {f"h.{i}.{norm}.weight": (width,), f"h.{i}.{norm}.bias": (width,)}
        for name, (m, n) in {"qkv": (3, 1), "proj": (1, 1), "up": (4, 1), "down": (1, 4)}.items():
            shapes |= {f"h.{i}.{name}.weight": (m * width, n * width), f"h.{i}.{name}.bias": (m * width,)}
    return shapes | {"norm.weight": (width,), "norm.bias": (width,)}


def hidden() -> Shapes:
    """The matrices of `gpt` without its embeddings: what Muon is for."""
    return {k: s for k, s in gpt().items() if len(s) == 2 and k.startswith("h.")}


def block() -> Shapes:
    """The hidden matrices of one block: each shape of `hidden`, for methods whose step takes long."""
    return {k: s for k, s in hidden().items() if k.startswith("h.0.")}


def tiny() -> Shapes:
    """192 tensors of at most 2,048 elements: norms, biases, small heads."""
    kinds = [(64,), (16, 32), (128,), (32, 64), (256,), (8, 8, 3, 3)]
    return {f"t.{i}": kinds[i % len(kinds)] for i in range(192)}


def ones(count: int = 200) -> Shapes:
    """Tensors of one element: a step over them is all overhead."""
    return {f"t.{i}": (1,) for i in range(count)}


WORKLOADS = {"gpt": gpt, "hidden": hidden, "block": block, "tiny": tiny, "ones": ones}


class Tensors:
    """Parameters and gradients of a workload, shared by all candidates so that each meets the same memory."""

    def __init__(self, workload: str) -> None:
        made = torch.Generator().manual_seed(0)
        shapes = WORKLOADS[workload]()
        self.workload, self.names = workload, list(shapes)
        self.params = [torch.nn.Parameter(torch.randn(s, generator=made) * 0.02) for s in shapes.values()]
        self.grads = [torch.randn(s, generator=made) * 0.01 for s in shapes.values()]
        self.give()

    def give(self) -> None:
        """Put the gradients in place again: some optimizers take them away or write into them."""
        for p, g in zip(self.params, self.grads, strict=True):
            p.grad = g

    @property
    def described(self) -> dict[str, int]:
        return {"tensors": len(self.params), "parameters": sum(p.numel() for p in self.params)}


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the tensors of more than one element that an optimizer's state holds, each counted once."""
    found: dict[int, Tensor] = {}

    def walk(x: object) -> None:
        if isinstance(x, Tensor) and x.numel() > 1:
            found[x.data_ptr()] = x
        elif isinstance(x, dict):
            for v in x.values():
                walk(v)
        elif isinstance(x, (list, tuple)):
            for v in x:
                walk(v)

    walk(dict(optimizer.state))
    own = {p.data_ptr() for g in optimizer.param_groups for p in g["params"]}
    return sum(t.numel() * t.element_size() for key, t in found.items() if key not in own)
