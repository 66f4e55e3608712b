"""Activations that keep a code of a few bits for their backward pass, where torch keeps their whole input."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._registry import register

BITS = (1, 2, 3, 4)
EDGE = 10.0  # the derivative is approximated from -EDGE to EDGE, as in the authors' notebook
SEGMENTS = 2000  # of the grid on which borders may lie
INSIDE = 8  # points in each, for the integral of the derivative's square

# Their derivatives are functions of |x|: the code then says where |x| lies, and levels lie twice as dense.
EVEN = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Tanhshrink)
SMOOTH = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.LogSigmoid, nn.Mish, nn.SELU, nn.SiLU, nn.Softplus, *EVEN,
)  # fmt: skip

# Their derivatives have two values, one bit says which: the slopes off and on, and where it is on.
STEPS: dict[type[nn.Module], Callable[[Any], tuple[float, float, Callable[[Tensor], Tensor]]]] = {
    nn.Hardshrink: lambda a: (0.0, 1.0, lambda x: x.abs() > a.lambd),
    nn.Hardsigmoid: lambda a: (0.0, 1 / 6, lambda x: (x > -3) & (x < 3)),
    nn.Hardtanh: lambda a: (0.0, 1.0, lambda x: (x > a.min_val) & (x < a.max_val)),
    nn.LeakyReLU: lambda a: (a.negative_slope, 1.0, lambda x: x > 0),
    nn.ReLU: lambda a: (0.0, 1.0, lambda x: x > 0),
    nn.ReLU6: lambda a: (0.0, 1.0, lambda x: (x > 0) & (x < 6)),
    nn.Softshrink: lambda a: (0.0, 1.0, lambda x: x.abs() > a.lambd),
    nn.Threshold: lambda a: (0.0, 1.0, lambda x: x > a.threshold),
}
KNOWN = (*SMOOTH, *STEPS)


class Levels(NamedTuple):
    """A piecewise constant function: ``values[i]`` between ``borders[i - 1]`` and ``borders[i]``; ``error`` is the
    integral of its squared distance from what it stands for."""

    borders: tuple[float, ...]
    values: tuple[float, ...]
    error: float


def optimal_levels(x: Tensor, integral: Tensor, square: Tensor, pieces: int) -> Levels:
    """The best approximation of a function by that many constants, its borders on a grid.

        min over borders of Σᵢ ∫ (f - yᵢ)²,  yᵢ = the mean of f between them

    ``x``: the grid; ``integral`` and ``square``: ∫f and ∫f² up to each of its points. By dynamic programming over the
    last border, T(j, k) = minᵢ T(i, k-1) + cost(i, j): n²k operations, and no better choice on this grid exists.
    """
    if not 1 <= pieces < len(x):
        raise ValueError(f"pieces is from 1 to {len(x) - 1}, the segments of the grid; got {pieces}")
    width = x - x[:, None]  # [i, j]: from i to j
    mean = (integral - integral[:, None]) / torch.where(width > 0, width, 1)
    cost = torch.where(width > 0, square - square[:, None] - mean.square() * width, torch.inf)
    best, chosen = cost[0], []
    for _ in range(pieces - 1):
        best, before = (best[:, None] + cost).min(0)
        chosen.append(before)
    at = [len(x) - 1]
    for before in reversed(chosen):
        at.append(int(before[at[-1]]))
    at = [0, *reversed(at)]
    values = tuple(float(mean[i, j]) for i, j in itertools.pairwise(at))
    return Levels(tuple(x[at[1:-1]].tolist()), values, float(best[-1]))


@lru_cache(maxsize=256)
def _levels(made: tuple[Any, ...], bits: int) -> Levels:
    """Of the derivative of an activation, known by its class and arguments."""
    kind, *arguments = made
    act = kind(*arguments)
    start = 0.0 if isinstance(act, EVEN) else -EDGE
    fine = torch.linspace(start, EDGE, SEGMENTS * INSIDE + 1, dtype=torch.float64)
    middle = ((fine[1:] + fine[:-1]) / 2).requires_grad_()  # where no derivative jumps
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(act(middle).sum(), middle)
    x, f = fine[::INSIDE], act(fine)[::INSIDE]
    areas = slope.square() * (fine[1] - fine[0])
    square = torch.cat([areas.new_zeros(1), areas.cumsum(0)])[::INSIDE]
    return optimal_levels(x, f, square, 2**bits)


def _made(act: nn.Module) -> tuple[Any, ...]:
    """What makes the activation anew."""
    names = [n for n in getattr(act, "__constants__", ()) if n != "inplace"]
    return (type(act), *(getattr(act, n) for n in names))


@lru_cache(maxsize=256)
def _table(
    made: tuple[Any, ...], bits: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    found = _levels(made, bits)
    return tuple(torch.tensor(part, device=device, dtype=dtype) for part in found[:2])  # type: ignore[return-value]


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes below 2^bits, any shape, as ``bits`` bytes for eight of them: a byte for each binary digit."""
    flat = codes.reshape(-1)
    rows = nn.functional.pad(flat, (0, -len(flat) % 8)).view(-1, 8)
    places = 2 ** torch.arange(8, dtype=torch.uint8, device=codes.device)
    return torch.stack([((rows >> k & 1) * places).sum(1, dtype=torch.uint8) for k in range(bits)])


def unpack(packed: Tensor, shape: torch.Size) -> Tensor:
    """The codes, as indices."""
    places = torch.arange(8, dtype=torch.uint8, device=packed.device)
    digits = packed[:, :, None] >> places & 1  # [digit, byte, place]
    weights = 2 ** torch.arange(len(packed), dtype=torch.uint8, device=packed.device)
    codes = (digits * weights[:, None, None]).sum(0, dtype=torch.int32)
    return codes.view(-1)[: shape.numel()].view(shape)


class _Coded(torch.autograd.Function):
    """f(x), which keeps for its derivative the packed codes alone."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, act: Any, bits: int) -> tuple[Tensor, Tensor, Tensor]:
        if type(act) in STEPS:
            off, on, where = STEPS[type(act)](act)
            codes = where(x).to(torch.uint8)
            values = torch.tensor([off, on], device=x.device, dtype=x.dtype)
            return act(x), pack(codes, 1), values
        borders, values = _table(_made(act), bits, x.device, x.dtype)
        seen = x.abs() if isinstance(act, EVEN) else x
        codes = torch.bucketize(seen.contiguous(), borders, out_int32=True).to(torch.uint8)
        return act(x), pack(codes, bits), values.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, (_, packed, values) = inputs[0], output
        ctx.mark_non_differentiable(packed, values)
        ctx.shape, ctx.dtype = x.shape, x.dtype
        ctx.save_for_backward(packed, values)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, None, None]:
        packed, values = ctx.saved_tensors
        slope = values[unpack(packed, ctx.shape)]
        return (grad * slope).to(ctx.dtype), None, None


class FewBit(nn.Module):
    """An activation whose backward pass multiplies by a derivative rounded to 2^bits levels.

        forward:   y = f(x), as it was;  keep c(x) = the piece of x, in ``bits`` bits
        backward:  dL/dx = dL/dy · q[c],  q piecewise constant with min ∫ (f′ - q)² from -10 to 10

    The levels are found by dynamic programming, once for each function. Where f′ is even (tanh, sigmoid, softsign,
    tanhshrink) the code is that of |x|, which halves what the levels must cover; where f′ - ½ is odd (GELU, SiLU,
    softplus) the optimum is symmetric by itself. Derivatives of two values (ReLU, hardtanh, …) take one bit and are
    exact.

    When: activations fill the memory, and the function is one that torch differentiates from its *input* (GELU, SiLU,
    Mish, ELU, SELU, softplus, hardswish, leaky ReLU). Of ReLU, tanh and sigmoid torch keeps the *output*, which a
    linear layer behind keeps anyway: there is nothing to gain. Three bits are the authors' default; with one bit GELU
    becomes ReLU in the backward pass.

    Any floating dtype, shape and strides; autocast, activation checkpointing, ``torch.func.grad`` and ``vmap``. Not
    supported: second derivatives (an error, but zeros under nested ``torch.func.grad``), forward-mode derivatives,
    activations with parameters (PReLU) or random numbers (RReLU); and a NaN at the input does not reach its own
    gradient. ``inplace`` is ignored.

    Errors (ValueError): an activation that is not known here, bits other than 1 to 4.

    Reference: "Few-Bit Backward: Quantized Gradients of Activation Functions for Memory Footprint Reduction", Georgii
    Novikov, Daniel Bershatsky, Julia Gusak, Alex Shonenkov, Denis Dimitrov, Ivan Oseledets, 2022,
    https://arxiv.org/abs/2202.00441

    Deviations from the authors' code (SkolTechAI/fewbit@940706b): their package ships tables found by descent from
    random starts on [-100, 100]; here it is the dynamic programming of their notebook, with its range and without a
    weight, on 2,000 segments instead of 4,096, and made even where f′ is. Three bits are packed into three eighths of a
    byte.
    """

    def __init__(self, activation: nn.Module, bits: int = 3) -> None:
        super().__init__()
        if type(activation) not in KNOWN:
            names = ", ".join(sorted(kind.__name__ for kind in KNOWN))
            raise ValueError(
                f"FewBit knows {names}; {type(activation).__name__} is not among them: leave it as it is"
            )
        if bits not in BITS:
            raise ValueError(f"bits is 1, 2, 3 or 4, not {bits!r}")
        self.activation, self.bits = copy.copy(activation), bits
        if hasattr(activation, "inplace"):
            self.activation.inplace = False  # type: ignore[assignment]
        if type(activation) not in STEPS:
            _levels(_made(activation), bits)  # here, and not while something watches a forward pass

    def forward(self, x: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.activation(x)
        return _Coded.apply(x, self.activation, self.bits)[0]  # type: ignore[index]

    def extra_repr(self) -> str:
        return f"bits={1 if type(self.activation) in STEPS else self.bits}"


def few_bit(module: nn.Module, bits: int = 3) -> nn.Module:
    """Put :class:`FewBit` around every activation module of a model, in place; returns the model (or the layer that
    takes its place, if it is an activation itself).

    Functions called in a ``forward`` (``F.gelu(x)``) are not seen. Errors (ValueError): no activation was found.

    Reference: "Few-Bit Backward: Quantized Gradients of Activation Functions for Memory Footprint Reduction", Georgii
    Novikov, Daniel Bershatsky, Julia Gusak, Alex Shonenkov, Denis Dimitrov, Ivan Oseledets, 2022,
    https://arxiv.org/abs/2202.00441
    """
    if type(module) in KNOWN:
        return FewBit(module, bits)
    made: dict[int, FewBit] = {}
    for owner in list(module.modules()):
        for name, child in list(owner._modules.items()) if not isinstance(owner, FewBit) else ():
            if type(child) in KNOWN:
                assert child is not None
                made.setdefault(id(child), FewBit(child, bits))
                setattr(owner, name, made[id(child)])
    if not made:
        raise ValueError(
            f"{type(module).__name__} has no activation module that FewBit knows: use piste.memory.FewBit(nn.GELU()) "
            "in its forward in the place of a function such as F.gelu"
        )
    return module


register("memory", "FewBit", FewBit)
register("memory", "few_bit", few_bit)
