"""Sums over a tensor in the middle of a chain, and over the tree: eager, packed, compiled, and over coded slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import piste
from piste import (
    _compile,
    _kernels,
    chain,
    largest,
    mean,
    moment,
    optimizer,
    scalar,
    total,
    transform,
    weights,
)  # fmt: skip
from piste._plan import plan
from piste._program import resolve
from piste.transforms.clipping import clip_by_global_norm
from piste.transforms.decay import descend

compiler = pytest.mark.skipif(not _compile.available("cpu"), reason="no C++ compiler at hand")

# below and above what is packed, of lengths that fill no whole blocks and some that do
SHAPES = [(3,), (64,), (40, 5), (300, 120), (1 << 15,), (77, 513)]


@transform(buffer=moment)
def averaged(u: torch.Tensor, buffer: torch.Tensor, *, beta: float) -> Any:
    buffer = buffer.lerp(u, 1 - beta)
    return buffer, buffer


@transform(sums={"sizes": total(lambda u, param: u * param), "top": largest(lambda u: u.abs())})
def divided(u: torch.Tensor, sizes: torch.Tensor, top: torch.Tensor) -> torch.Tensor:
    return u / (1 + top + sizes.abs())


@transform(sums={"level": mean(lambda u, grad: u.square() + grad)})
def lifted(u: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    return u + 0.1 * level


@transform(
    sums={
        "gone": total(lambda param, origin, pull: pull * (param - origin).abs(), over="tree"),
        "size": total(lambda u: u.square(), over="tree"),
    },
    origin=weights,
    seen=scalar,
)
def paced(u: torch.Tensor, gone: torch.Tensor, size: torch.Tensor, seen: torch.Tensor, *, pull: float) -> Any:
    met = seen + size
    return u / (1 + gone + met.sqrt()), None, met


@pytest.fixture(autouse=True)
def no_trace_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piste._registry._entries", dict(piste._registry._entries))  # type: ignore[attr-defined]


def of(*made: Any) -> Any:
    @optimizer
    def Summing(lr: float = 0.1) -> piste.Chain:
        return chain(*made, descend(lr))

    return Summing


RULES = (averaged(0.7), divided(), lifted())


def train(rules: Sequence[Any], dtype: torch.dtype, steps: int = 4, **engine: Any) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64).to(dtype)

    params = [nn.Parameter(draw(s)) for s in SHAPES]
    params.append(nn.Parameter(draw((120, 300)).t()))  # memory in another order
    opt = of(*rules)(params, **engine)
    for _ in range(steps):
        for p in params:
            p.grad = draw(tuple(p.shape))
        opt.step()
    return [p.detach().clone() for p in params]


def by_hand(dtype: torch.dtype, steps: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=random, dtype=torch.float64).to(dtype) for s in SHAPES]
    params.append(torch.randn((120, 300), generator=random, dtype=torch.float64).to(dtype).t())
    buffers = [torch.zeros_like(p, dtype=torch.float64) for p in params]
    params = [p.double() for p in params]
    for _ in range(steps):
        for i, p in enumerate(params):
            g = torch.randn(p.shape, generator=random, dtype=torch.float64).to(dtype).double()
            buffers[i] = 0.7 * buffers[i] + 0.3 * g
            u = buffers[i] / (1 + buffers[i].abs().max() + (buffers[i] * p).sum().abs())
            params[i] = p - 0.1 * (u + 0.1 * (u.square() + g).mean())
    return params


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=compiler)])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_sums_within_a_chain_are_those_of_whole_tensors(
    compiled: bool, dtype: torch.dtype, rtol: float
) -> None:
    for seen, right in zip(train(RULES, dtype, compile=compiled), by_hand(dtype), strict=True):
        torch.testing.assert_close(seen.double(), right, rtol=rtol, atol=rtol)


def paced_by_hand(dtype: torch.dtype, steps: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=random, dtype=torch.float64).to(dtype) for s in SHAPES]
    params.append(torch.randn((120, 300), generator=random, dtype=torch.float64).to(dtype).t())
    params = [p.double() for p in params]
    first, buffers, met = params, [torch.zeros_like(p) for p in params], 0.0
    for _ in range(steps):
        grads = [
            torch.randn(p.shape, generator=random, dtype=torch.float64).to(dtype).double() for p in params
        ]
        buffers = [0.7 * b + 0.3 * g for b, g in zip(buffers, grads, strict=True)]
        gone = sum(float((p - q).abs().sum()) for p, q in zip(params, first, strict=True))
        met += sum(float(b.square().sum()) for b in buffers)
        pace = 0.1 / (1 + 1e-4 * gone + met**0.5)
        params = [p - pace * b for p, b in zip(params, buffers, strict=True)]
    return params


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=compiler)])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_a_sum_over_the_tree_behind_a_slot_reads_slots_and_hyperparameters(
    compiled: bool, dtype: torch.dtype, rtol: float
) -> None:
    rules = (averaged(0.7), paced(1e-4))
    assert len(plan(resolve(chain(*rules, descend(0.1)), 1, []))) == 1
    for seen, right in zip(train(rules, dtype, compile=compiled), paced_by_hand(dtype), strict=True):
        torch.testing.assert_close(seen.double(), right, rtol=rtol, atol=rtol)


def test_a_sum_that_reads_what_is_not_there_is_refused_when_it_is_defined() -> None:
    def rule(u: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        return u / size

    with pytest.raises(TypeError, match=r"sum 'size'.*'gradient'"):
        transform(sums={"size": total(lambda gradient: gradient.square(), over="tree")})(rule)


def test_chains_meet_at_a_sum_wherever_it_stands_in_them() -> None:
    """One clips what comes in, the other its momentum: the norm is of both together."""

    @optimizer
    def ClippedAtOnce(lr: float = 1.0) -> piste.Chain:
        return chain(clip_by_global_norm(0.5), descend(lr))

    @optimizer
    def ClippedMomentum(lr: float = 1.0) -> piste.Chain:
        return chain(averaged(0.7), clip_by_global_norm(0.5), descend(lr))

    one, other = (nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (3, 40))
    opt = ClippedAtOnce([{"params": [one]}, {"params": [other], "optimizer": "ClippedMomentum"}])
    one.grad, other.grad = torch.ones_like(one), torch.linspace(-1, 1, 40, dtype=torch.float64)
    opt.step()
    m = 0.3 * other.grad
    scale = 0.5 / (one.grad.square().sum() + m.square().sum()).sqrt()
    torch.testing.assert_close(one.detach(), -scale * one.grad)
    torch.testing.assert_close(other.detach(), -scale * m)


def test_a_sum_over_the_tensor_starts_no_stage() -> None:
    (stage,) = plan(resolve(chain(*RULES, descend(0.1)), 1, []))
    assert {place: len(head.steps) for place, head in stage.heads.items()} == {1: 1, 2: 2}
    assert [s.kind for s in plan(resolve(piste.LAMB.chain(), 1, []))] == ["flat"]


@compiler
@pytest.mark.parametrize("storage", ["8bit", {"moment": "int8_dynamic"}, {"moment": "bf16"}])
@pytest.mark.parametrize(
    "rules",
    [RULES, (clip_by_global_norm(0.5), averaged(0.7)), (averaged(0.7), clip_by_global_norm(0.5))],
)
def test_sums_meet_coded_slots_in_one_kernel(storage: Any, rules: tuple[Any, ...]) -> None:
    """Both run on what the codes say, so they differ by the order of additions, and by what it tips over in a code."""
    before = len(_compile.compiled_graphs)
    eager, compiled = (train(rules, torch.float32, compile=c, storage=storage) for c in (False, True))
    for a, b in zip(eager, compiled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        assert (a - b).abs().mean() < 1e-6
    assert any(name.startswith("coded_") for name in _compile.compiled_graphs[before:])


@compiler
def test_clipping_by_the_global_norm_is_added_up_by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kernels, "_made", {})
    before = len(_compile.compiled_graphs)
    train((clip_by_global_norm(0.5), averaged(0.7)), torch.float32, compile=True)
    assert sorted(_compile.compiled_graphs[before:]) == ["clip_by_global_norm_averaged_descend", "sums"]


def test_the_mean_over_the_tree_counts_every_number() -> None:
    @transform(sums={"level": mean(lambda u: u, over="tree")})
    def centred(u: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return u - level

    sizes = [(3,), (70000,), (4, 5), (2, 3)]
    params = [nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in sizes]
    params[-1] = nn.Parameter(torch.zeros(2, 3, dtype=torch.complex128))
    for p in params:
        p.grad = torch.randn_like(p)
    numbers = torch.cat(
        [torch.view_as_real(p.grad).flatten() if p.is_complex() else p.grad.flatten() for p in params]
    )
    of(centred())(params, lr=1.0).step()
    torch.testing.assert_close(params[0].detach(), -(params[0].grad - numbers.mean()))
