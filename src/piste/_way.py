"""The short way to a stage's kernel, for tensors after the first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _compile
from ._leaf import Leaf
from ._pass import Pass


@dataclass
class Way:
    """How a stage's kernel was called for one tensor, to call it alike for the next: the Python between two
    kernels would otherwise cost a quarter of the time of a tensor of 30,000 elements."""

    kernel: _compile.Kernel
    names: list[Any]
    kinds: list[tuple[torch.dtype, int]]  # dtypes and dimensions
    prepared: _compile.Prepared
    device: torch.device
    shared: dict[str, Tensor]
    absent: list[str]  # slots that the first tensor does without

    @classmethod
    def of(
        cls,
        kernel: _compile.Kernel,
        tensors: dict[Any, Tensor],
        prepared: _compile.Prepared,
        slots: dict[str, Any],
        shared: dict[str, Tensor],
    ) -> Way | None:
        """None where the stage asks for what has to be made for each tensor."""
        if not all(k in ("u", "param", "grad") or isinstance(k, tuple) for k in tensors):
            return None
        kinds = [(t.dtype, t.dim()) for t in tensors.values()]
        absent = [name for name, value in slots.items() if value is None]
        return cls(kernel, list(tensors), kinds, prepared, tensors["u"].device, shared, absent)

    def gather(self, leaf: Leaf, u: Tensor, given: Pass, sums: dict[Any, Tensor]) -> list[Tensor] | None:
        """What the kernel is to be given, if this tensor is laid out alike."""
        if not (
            leaf.plain
            and leaf.inplace
            and u.device == self.device
            and _compile.whole(leaf.numel, self.kernel.block)
        ):
            return None
        if any(leaf.stored(name) is not None for name in self.absent):
            return None
        tensors: list[Any] = []
        for name, (dtype, dim) in zip(self.names, self.kinds, strict=True):
            if name in sums:
                tensors.append(sums[name])
                continue
            if name == "u":
                t = u
            elif name == "param":
                t = leaf.param
            elif name == "grad":
                t = given.gradients[leaf.name]
            elif name[1] in self.shared:
                t = self.shared[name[1]]
            else:
                t = leaf.stored(name[1])
            if (
                t is None
                or t.dtype is not dtype
                or (dim and not (t.is_contiguous() and t.numel() == leaf.numel))
            ):
                return None
            tensors.append(t)
        return tensors

    def take(self, leaf: Leaf, tensors: list[Tensor]) -> list[Tensor]:
        """What the kernel returns."""
        return self.kernel.run(leaf.numel, tensors, self.prepared)
