"""What a codec is, and the blocks that quantized tensors are cut into.

A tensor [d0, ...] is d0 rows of r numbers; a block is the largest divisor of r that is not above a limit. Blocks tile
rows exactly, so a cut along dim 0 never goes through one: what is stored does not depend on how a model is sharded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

Shape = tuple[int, ...]
Parts = dict[str, tuple[Shape, torch.dtype]]

FIXED = ("scalar", "index", "probe")  # kinds that are never stored in fewer bits
SMALLEST = 4096  # elements below which a tensor is not worth a code
NARROWEST = 32  # a scale for fewer elements costs more than it saves
TINY = (
    2.0**-100
)  # a block whose largest magnitude is below is kept as zeros: products with its scale stay normal


class Codec(Protocol):
    """How a slot is kept. Pure functions; ``encode`` writes nothing in place.

    ``parts(shape, kind, lead)``: {suffix: (shape, dtype)} of what is kept ("" is the main tensor), or None where the
    codec does not pay or does not fit and the slot stays plain. The first ``lead`` axes are rows no block may span (2
    for a window [k, d0, ...]). ``decode`` gives float32 in row-major order: ``.view(shape)`` where parts are packed.
    ``encode`` takes the value in any shape of the right size; the given parts tell shapes and blocks, so that both
    work on the slot's own shape and on block form (codes [k, B], scale [k, 1]) alike.
    """

    @property
    def name(self) -> str: ...

    def parts(self, shape: Shape, kind: str, lead: int = 1) -> Parts | None: ...

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor: ...

    def encode(self, value: Tensor, parts: Mapping[str, Tensor]) -> dict[str, Tensor]: ...


class WeightCodec(Protocol):
    """How a weight is kept; its main part is the bf16 parameter itself.

    ``decode`` gives the float32 master, ``encode`` the new parts of a new master. ``noisy``: whether ``encode`` wants
    ``noise``, uniform integers in [0, 2^16) in the weight's shape (:func:`uniform_bits`).
    """

    @property
    def name(self) -> str: ...

    @property
    def noisy(self) -> bool: ...

    def parts(self, shape: Shape) -> Parts: ...

    def decode(self, parts: Mapping[str, Tensor]) -> Tensor: ...

    def encode(
        self, value: Tensor, parts: Mapping[str, Tensor], noise: Tensor | None = None
    ) -> dict[str, Tensor]: ...


def worthwhile(shape: Shape, kind: str) -> bool:
    return kind not in FIXED and len(shape) >= 2 and math.prod(shape) >= SMALLEST


def scales(shape: Shape, kind: str, lead: int, limit: int, multiple: int = 1) -> tuple[Shape, int] | None:
    """(shape of the scales, length of a block), or None where there is no good block."""
    if not worthwhile(shape, kind) or lead >= len(shape):
        return None
    row = math.prod(shape[lead:])
    block = next((b for b in range(min(limit, row), 0, -1) if row % b == 0 and b % multiple == 0), 0)
    return None if block < NARROWEST else ((*shape[:lead], row // block), block)


def blocks(tensor: Tensor, scale: Tensor) -> Tensor:
    """The tensor as [*scale.shape, B]: one block for each scale."""
    return tensor.reshape(*scale.shape, tensor.numel() // scale.numel())


def settled(scale: Tensor) -> tuple[Tensor, Tensor]:
    """(scale, 1/scale): zero for blocks that count as zero, NaN for blocks with anything that is not finite."""
    scale = torch.where(scale.abs() < TINY, 0.0, scale)
    inverse = torch.where(scale == 0, 0.0, 1.0 / scale)
    return scale + scale * 0.0, inverse
