"""The compiler's part of the engine: what it does when a kernel cannot be compiled as hoped."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import piste
from piste import _compile, total
from piste._sums import reduced
from piste._trace import settle

CLONE = torch.ops.aten.clone.default

pytestmark = pytest.mark.skipif(not _compile.available("cpu"), reason="no C++ compiler at hand")


def lion(compiled):
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 100))
    weight.grad = torch.linspace(1, -2, 100)
    opt = piste.Lion([weight], lr=0.1, compile=compiled)
    opt.step()
    opt.step()
    return weight.detach()


def test_a_processor_that_promises_too_much_is_probed(monkeypatch):
    """Inductor's probe of the CPU is left out at first; where its code then does not compile, it is made up for."""
    from torch._inductor import compile_fx, config
    from torch._inductor.exc import CppCompileError

    inner, tries = compile_fx.compile_fx_inner, []

    def failing(*args, **kwargs):
        tries.append(config.cpp.vec_isa_ok)
        if len(tries) == 1:
            raise CppCompileError(["g++"], "unknown instruction")
        return inner(*args, **kwargs)

    monkeypatch.setattr(compile_fx, "compile_fx_inner", failing)
    monkeypatch.setattr("piste._kernels._made", {})
    torch.testing.assert_close(lion(True), lion(False), rtol=0, atol=0)
    assert tries == [True, None]


def test_another_failure_of_the_compiler_is_not_hidden(monkeypatch):
    from torch._inductor import compile_fx

    def failing(*args, **kwargs):
        raise RuntimeError("disk full")

    monkeypatch.setattr(compile_fx, "compile_fx_inner", failing)
    monkeypatch.setattr("piste._kernels._made", {})
    with pytest.raises(RuntimeError, match="disk full"):
        lion(True)


def test_numbers_that_stand_still_are_prepared_once(monkeypatch):
    """Lion's kernel takes no step count: with a constant rate nothing is made anew, with a moving one it is."""
    kernels = {}
    monkeypatch.setattr("piste._kernels._made", kernels)
    lion(True)
    (made,) = kernels.values()
    first = made.kernel.prepare([1.0, 0.9, 0.99, 0.0, 0.1])
    assert made.kernel.prepare([2.0, 0.9, 0.99, 0.0, 0.1]).derived is first.derived
    assert made.kernel.prepare([3.0, 0.9, 0.99, 0.0, 0.2]).derived is not first.derived


def test_what_follows_from_single_numbers_is_worked_out_ahead_of_the_loops():
    """Where it enters a loop it is handed over by the operator that is named, once for all who use it."""

    def scaled(u, size):
        by = size.exp().sqrt()
        return u / by, u * by, by + 1

    given = torch.arange(4.0), torch.tensor(2.0)
    graph = make_fx(scaled)(*given)
    settle(graph, CLONE)
    graph.recompile()
    nodes = {n.name: n for n in graph.graph.nodes}
    assert [n.args[0].name for n in graph.graph.find_nodes(op="call_function", target=CLONE)] == ["sqrt"]
    assert nodes["div"].args[1].target == nodes["mul"].args[1].target == CLONE
    assert nodes["add"].args[0] is nodes["sqrt"]
    for a, b in zip(graph(*given), scaled(*given), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_kernel_of_sums_reads_every_number_once():
    """Of lengths that fill blocks and leave some over; whole numbers, so that the order does not matter."""

    def sums(args, values):
        return {}, [reduced(total(lambda u: u), args[0], _compile.BLOCK)]

    block = _compile.SUMMED
    kernel = _compile.Kernel("whole_numbers", sums, [torch.ones(8 * block)], 1, sums=True)
    for length in (1, block - 1, block, 2 * block - 1, 2 * block, 2 * block + 1, 5 * block + 7, 4096 * block):
        u = torch.arange(1, length + 1).remainder(7).float()
        parts = kernel.parts([u], kernel.prepare([1.0]))
        assert sum(float(part[0]) for part in parts) == float(u.double().sum())
        assert len(parts) == (1 if _compile.whole(length, block) or length < 2 * block else 2)
