"""The compiler's part of the engine: what it does when a kernel cannot be compiled as hoped."""

from __future__ import annotations

import pytest
import torch

import piste
from piste import _compile

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
