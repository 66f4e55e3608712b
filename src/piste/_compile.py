"""Making one fast kernel of an element stage. The only file that names the compiler.

The stage's pure function is traced once on flat tensors of unknown length, with its numbers as 0-d float64 tensors.
What depends on numbers alone (bias corrections, products of rates) is cut out and run once per step: left inside, a
`pow` would be taken again for every element. The rest, writes included, goes to Inductor directly rather than through
`torch.compile`: a plan's key already says everything that its guards would check, and they cost 30 us per tensor
(Inductor's own entry costs 6; measured on two CPU threads, torch 2.13).
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from ._trace import hoist, settle, write

PureStage = Callable[[Sequence[Tensor], Sequence[Any]], tuple[dict[int, Tensor], list[Tensor]]]
# flat tensors are [k, BLOCK]: a length known to fill whole vectors leaves no remainder to test for
BLOCK = 16
# where they are added up: Inductor's sums wait for memory at every vector, so that some are put together before
SUMMED = 4 * BLOCK
_EXAMPLE = 64000  # rows of the example tensors, the hint by which Inductor decides to use threads
compiled_graphs: list[str] = []  # one name per graph ever compiled: tests assert that it stops growing


@functools.cache
def available(device_type: str) -> bool:
    """Whether a compiler for this kind of device is at hand."""
    if device_type == "cpu":
        return any(shutil.which(c) for c in ("g++", "clang++"))
    return device_type == "cuda" and importlib.util.find_spec("triton") is not None


class Kernel:
    """``prepare(numbers)`` once per step, then ``kernel(tensors, prepared)`` per tensor.

    ``pure(tensors, numbers)`` returns ({i: new value of tensors[i]}, written in place; further results, returned).
    Tensors are flat or 0-d, and traced as rows of ``BLOCK``, or of ``SUMMED`` where all that comes out are ``sums``;
    with ``widths`` they are rows of so many numbers, so far from one another, and products and sums may be contracted
    (one rounding in place of two: for what is stored in fewer bits anyway).
    """

    def __init__(
        self,
        name: str,
        pure: PureStage,
        tensors: Sequence[Tensor],
        numbers: int,
        widths: Sequence[tuple[int, int]] | None = None,
        sums: bool = False,
    ) -> None:
        import torch._inductor.test_operators  # defines `realize`
        from torch._guards import TracingContext, tracing
        from torch._inductor.decomposition import select_decomp_table
        from torch._inductor.exc import InductorError
        from torch._subclasses import FakeTensorMode
        from torch.fx.experimental.proxy_tensor import make_fx
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        mode = FakeTensorMode(shape_env=ShapeEnv())
        settings: dict[str, Any] = {
            "cpp.enable_floating_point_contract_flag": "off" if widths is None else "fast"
        }
        block = SUMMED if sums else BLOCK
        if sums:  # what is added up is long, and is not to be written to memory before for that
            settings |= {"realize_acc_reads_threshold": 1 << 16, "realize_opcount_threshold": 1 << 16}
        widths = [(block, block)] * len(tensors) if widths is None else widths
        samples = [_example(mode, i, t, w) for i, (t, w) in enumerate(zip(tensors, widths, strict=True))]
        values = [
            _example(mode, -1, torch.full((), 0.5, dtype=torch.float64), (0, 0)) for _ in range(numbers)
        ]
        k = len(samples)

        places: list[int] = []

        def stage(*args: Tensor) -> list[Tensor]:
            writes, results = pure(args[:k], args[k:])
            places[:] = writes
            return [*writes.values(), *results]

        def compiled(within: bool) -> Any:
            with torch.no_grad():
                trace = make_fx(stage, decomposition_table=select_decomp_table(), tracing_mode="symbolic")
                graph = trace(*samples, *values)
            late = write(graph, places, within)
            prologue, body, matter = hoist(graph, k)
            settle(body, torch.ops._inductor_test.realize.default)
            fakes = [n.meta["val"] for n in body.graph.nodes if n.op == "placeholder"]
            with body.graph.inserting_before(next(iter(body.graph.nodes))):
                # given, so that no tensor need be seen as [k, block]
                body.graph.placeholder("rows").meta["val"] = rows
            body.recompile()  # Inductor's cache goes by the code
            with tracing(TracingContext(mode)):
                return late, prologue, matter, _inductor(body, [rows, *fakes], settings)

        self._pure, self.block = pure, block
        self._last: tuple[list[float], list[Tensor]] = [], []
        self._sized = next(i for i, s in enumerate(samples) if s.dim())
        rows = samples[self._sized].shape[0]
        try:
            parts = compiled(within=True)
        except InductorError as error:
            # loops that it fuses, and a write by one that it orders after another: torch 2.13 looks for a read there
            if not isinstance(error.inner_exception, KeyError):
                raise
            parts = compiled(within=False)
        self._late, self._prologue, self._matter, made = parts
        # less what Inductor does around a call for its profiler and its autotuner
        self._run: Any = getattr(made, "current_callable", None) or made
        compiled_graphs.append(name)

    def prepare(self, numbers: Sequence[Any]) -> Prepared:
        """Today's numbers, and what follows from them alone (made anew only when one that matters has moved)."""
        values = [float(numbers[i]) for i in self._matter]
        if values != self._last[0]:
            self._last = values, list(self._prologue(*torch.tensor(values, dtype=torch.float64).unbind()))
        return Prepared(numbers, self._last[1])

    def __call__(self, tensors: Sequence[Tensor], prepared: Prepared) -> list[Tensor]:
        parts = self.parts(tensors, prepared)
        if len(parts) == 1:
            return parts[0]
        return [
            torch.cat(several) if several[0].dim() else several[0] for several in zip(*parts, strict=True)
        ]

    def parts(self, tensors: Sequence[Tensor], prepared: Prepared) -> list[list[Tensor]]:
        """Results of what fills whole blocks, and of the rest."""
        length = tensors[self._sized].numel()
        rows = length - length % self.block
        if not whole(rows, self.block):
            return [self._eager(tensors, prepared)]
        cut = tensors if rows == length else [t[:rows] if t.dim() else t for t in tensors]
        flat = [r.view(-1) if r.dim() else r for r in self.run(rows, cut, prepared)]
        if rows == length:
            return [flat]
        return [flat, self._eager([t[rows:] if t.dim() else t for t in tensors], prepared)]

    def run(self, length: int, tensors: Sequence[Tensor], prepared: Prepared) -> list[Tensor]:
        """The kernel itself, on contiguous tensors (0-d ones aside) of one :func:`whole` length, of any shape."""
        return self.run_rows(length // self.block, tensors, prepared)

    def run_rows(self, rows: int, tensors: Sequence[Tensor], prepared: Prepared) -> list[Tensor]:
        """As :meth:`run`, for tensors of ``widths`` numbers a row."""
        results = self._run([rows, *tensors, *prepared.derived])
        if not self._late:
            return results
        for place, value in zip(self._late, results, strict=False):
            tensors[place].copy_(value)
        return results[len(self._late) :]

    def _eager(self, tensors: Sequence[Tensor], prepared: Prepared) -> list[Tensor]:
        writes, results = self._pure(tensors, prepared.numbers)
        for place, value in writes.items():
            tensors[place].copy_(value)
        return results


def whole(length: int, block: int = BLOCK) -> bool:
    """Whether tensors of this length need no remainder."""
    return length % block == 0 and length >= 2 * block  # the compiler takes sizes 0 and 1 for constants


@dataclass(frozen=True)
class Prepared:
    numbers: Sequence[Any]
    derived: list[Tensor]


def _example(mode: Any, i: int, like: Tensor, width: tuple[int, int]) -> Tensor:
    """A fake tensor [k, width] of unknown k, the same for all, or a fake 0-d one."""
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import DimDynamic, StatelessSymbolicContext

    if not like.dim():
        return mode.from_tensor(like)
    dynamic = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DUCK, DimDynamic.STATIC])
    return mode.from_tensor(
        like.new_empty(_EXAMPLE, width[1])[:, : width[0]],
        symbolic_context=dynamic,
        source=ConstantSource(f"t{i}"),
    )


def _inductor(body: fx.GraphModule, fakes: list[Any], settings: dict[str, Any]) -> Any:
    """Inductor's callable. Its probes of the CPU (7 s of compiling) and its precompiled header (4 s, for one small
    kernel) are left out: the processor's own flags are believed, and only if the C++ compiler then fails, probed."""
    if not any(node.op.startswith("call") for node in body.graph.nodes):
        # a stage that hands on what it was given: there is nothing to compile
        return lambda args: list(body(*args))
    from torch._inductor import config
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.cpu_vec_isa import valid_vec_isa_list
    from torch._inductor.exc import CppCompileError

    quick = {"size_asserts": False, "alignment_asserts": False, "cpp_cache_precompile_headers": False}
    quick |= settings
    try:
        with config.patch({**quick, "cpp.vec_isa_ok": True}):
            return compile_fx_inner(body, fakes)
    except Exception as error:
        if not isinstance(error, CppCompileError) and not isinstance(error.__cause__, CppCompileError):
            raise
        valid_vec_isa_list.cache_clear()
        with config.patch(quick):
            return compile_fx_inner(body, fakes)
