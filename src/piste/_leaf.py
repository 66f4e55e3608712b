"""One parameter with its state: how it is laid out, seen as a matrix, read and written."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import _sharding as sharding
from ._coding import Coding, keys
from ._offload import Home
from ._routing.matrices import MatrixView, matrix_view
from ._storage import WeightCodec, compute_dtype


class Kind(NamedTuple):
    """What parameters must have in common to go through one call of torch's kernels."""

    dtype: torch.dtype
    device: torch.device
    contiguous: bool
    coded: bool = False


RESIDUAL = "param."  # begins the state's names of what a weight in bf16 leaves over
alike = functools.cache(Kind)  # one object for equal kinds, so that they are compared by identity


def seen_as(view: str | None, ndim: int, tile: tuple[int, int] = (0, 0)) -> MatrixView | None:
    """How a parameter of so many axes is seen: as its group's view says, in blocks where its chain cuts them."""
    if not any(tile):
        return matrix_view(view, ndim) if view else None
    return replace(matrix_view(view, ndim), block=tile[0], merge=tile[1])


class Leaf:
    """A parameter, its state dict and its matrix view.

    ``given`` is the parameter as it was handed over, ``param`` the part of it that lives here: the same tensor unless
    it is sharded, in which case ``place`` tells how. ``shown`` is what the model sees of it here: ``param`` too, unless
    that has its ``home`` in the host's memory. ``inplace``: writes go into the stored tensors (an optimizer);
    else they replace them (functional use).
    """

    __slots__ = (
        "name",
        "given",
        "place",
        "shown",
        "home",
        "param",
        "state",
        "view",
        "inplace",
        "given_grad",
        "dense",
        "plain",
        "kind",
        "dtype",
        "numel",
        "role",
        "probes",
        "codings",
        "weight",
        "layouts",
        "owner",
        "owned",
        "everyone",
    )

    def __init__(
        self, name: str, param: Tensor, state: dict[str, Any], view: Any = None, *, inplace: bool = True,
        grad: Tensor | None = None, role: str = "", home: Home | None = None,
    ) -> None:  # fmt: skip
        self.name, self.given, self.state, self.view = name, param, state, view
        self.place = sharding.place(param)
        self.shown, self.home = param if self.place is None else sharding.local(param), home
        self.param = param = self.shown if home is None else home.tensor
        self.inplace, self.given_grad, self.role = inplace, grad, role
        self.codings: dict[str, Coding] = {}  # the slots that are kept in fewer bits
        self.weight: WeightCodec | None = None  # how the parameter itself is kept; None: as it is
        self.layouts: dict[int, Any] = {}  # by stage: how its coded tensors are handed to a kernel
        self.owner: sharding.Owner | None = None  # of what is sharded: who runs the rules that see matrices
        self.owned: dict[str, tuple[int, ...]] = {}  # the slots at the owner alone, and their shapes
        self.probes: dict[str, Any] = {}  # diagnostics: there only while metrics are on, never saved
        self.dense = is_dense(param)
        self.plain = param.is_contiguous() and not param.is_complex()  # flat is reshape(-1)
        self.kind = alike(param.dtype, param.device, self.plain)
        self.dtype = compute_dtype(leaf_dtype(self))
        self.numel = param.numel()
        self.everyone = param.numel()  # entries of all the group's parameters

    @property
    def where(self) -> Callable[[], int]:
        """Tells where the weight lives: another answer means that it was moved, cast or laid out anew."""
        if self.place is not None:
            return lambda: sharding.local(self.given).data_ptr()
        try:
            self.shown.data_ptr()
        except RuntimeError:  # a subclass without memory of its own
            return functools.partial(id, self.shown)
        return self.shown.data_ptr

    @property
    def grad(self) -> Tensor | None:
        return self.given.grad if self.given_grad is None else self.given_grad

    @property
    def shape(self) -> torch.Size:
        """Of the whole parameter."""
        return self.given.shape

    # values ---------------------------------------------------------------------------------------------------

    def real(self, tensor: Tensor) -> Tensor:
        """Complex tensors as pairs of reals: what element rules see."""
        return torch.view_as_real(tensor) if tensor.is_complex() else tensor

    def stored(self, name: str) -> Any:
        """A slot as it is kept; the part that lives here."""
        kept = self.state.get(name)
        return kept if self.place is None or not isinstance(kept, Tensor) else sharding.local(kept)

    @property
    def spread(self) -> sharding.Place | None:
        """How matrix rules find their slots cut up: not at all at an owner."""
        return self.place if self.owner is None else None

    def lives(self, name: str) -> bool:
        """Whether the slot, or a part of it, is kept here."""
        return name not in self.owned or (self.owner is not None and self.owner.here)

    def has(self, name: str) -> bool:
        """Whether its chain keeps a slot of that name."""
        return name in self.state or name in self.codings or name in self.probes

    def read(self, name: str) -> Any:
        kept = self.stored(name) if name in self.state else self.probes.get(name)
        if kept is not None and name in self.codings:
            return self.codings[name].decode(self.parts(name), self)
        return kept

    def parts(self, name: str) -> dict[str, Tensor]:
        """What is kept of a coded slot, by suffix."""
        return {suffix: self.stored(k) for suffix, k in keys(name, self.codings[name]).items()}

    def write(self, name: str, value: Tensor) -> None:
        if name in self.probes:
            self.probes[name] = value
        elif name in self.codings:
            kept = self.parts(name)
            for suffix, part in self.codings[name].codec.encode(value.to(torch.float32), kept).items():
                kept[suffix].copy_(part)
        elif self.inplace:
            self.stored(name).copy_(value)
        else:
            self.state[name] = value

    def weights(self) -> Tensor:
        """The parameter as the arithmetic sees it: what its codec keeps, if it has one."""
        if self.weight is None:
            return self.real(self.param.detach() if self.inplace else self.param)
        return self.weight.decode(self.weight_parts()).to(self.dtype)

    def weight_parts(self) -> dict[str, Tensor]:
        """What is kept of a coded parameter, by suffix: itself, and what it leaves over."""
        assert self.weight is not None
        rest = [suffix for suffix in self.weight.parts(self.param.shape) if suffix]
        return {"": self.param.detach(), **{suffix: self.stored(RESIDUAL + suffix) for suffix in rest}}

    def write_param(self, value: Tensor, rounding: Tensor | None = None) -> None:
        """``rounding``: the random bits that a stochastic codec asks for."""
        if self.weight is not None:
            kept = self.weight_parts()
            for suffix, part in self.weight.encode(value.to(torch.float32), kept, rounding).items():
                kept[suffix].copy_(part)
            return
        target = self.real(self.param) if self.inplace else None
        if target is not None:
            target.copy_(value)
        else:
            self.param = (
                value.to(self.param.dtype) if not self.param.is_complex() else torch.view_as_complex(value)
            )

    # memory order ---------------------------------------------------------------------------------------------

    def flat(self, tensor: Tensor) -> Tensor:
        """One-dimensional in the parameter's memory order (a view where the layouts agree, as slots' do)."""
        if self.plain:
            return tensor.reshape(-1)
        like = self.real(self.param)
        if like.is_contiguous():
            return tensor.reshape(-1)
        if tensor.stride() != like.stride():
            tensor = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
        return tensor.as_strided((tensor.numel(),), (1,))

    def unflat(self, flat: Tensor) -> Tensor:
        if self.plain:
            return flat.view(self.param.shape)
        like = self.real(self.param)
        if like.is_contiguous():
            return flat.view(like.shape)
        return flat.as_strided(like.shape, like.stride())

    # matrices -------------------------------------------------------------------------------------------------

    def matrices(self, tensor: Tensor) -> list[Tensor]:
        """The parameter-shaped tensor as matrices [*batch, m, n] (several where a view has unequal blocks)."""
        if self.view is not None:
            seen = self.view.apply(tensor)
            return list(seen) if isinstance(seen, (list, tuple)) else [seen]
        if tensor.dim() < 2:
            return [tensor.reshape(1, -1)]
        return [tensor if tensor.dim() == 2 else tensor.reshape(tensor.shape[0], -1)]

    def from_matrices(self, matrices: Sequence[Tensor]) -> Tensor:
        if self.view is not None:
            return self.view.invert(list(matrices) if len(matrices) > 1 else matrices[0], self.shape)
        return matrices[0].reshape(self.shape)


def is_dense(t: Tensor) -> bool:
    """Whether the tensor covers its memory without holes or overlaps, in some order of its axes."""
    if t.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(t.stride(), t.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def blocks(leaf: Leaf) -> list[torch.Size]:
    """Shapes of the parameter's matrices, without touching its data."""
    return [m.shape for m in leaf.matrices(torch.empty(leaf.shape, device="meta"))]


def leaf_dtype(leaf: Leaf) -> torch.dtype:
    """The real dtype of the parameter."""
    return leaf.param.dtype.to_real() if leaf.param.is_complex() else leaf.param.dtype
