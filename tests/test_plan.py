"""The engine: stages, packing, layouts, compiled kernels, meetings of the tree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import piste
from piste import _compile, chain, optimizer, total, transform
from piste._plan import plan
from piste._program import resolve
from piste.transforms.clipping import clip_by_global_norm
from piste.transforms.decay import descend
from piste.transforms.layerwise import scale_by_trust_ratio
from piste.transforms.norms import normalize_tree

ELEMENT = ["AdamW", "Adam", "Lion", "RMSProp", "SGD", "AMSGrad", "ScheduleFreeAdamW"]


@pytest.fixture(autouse=True)
def no_trace_in_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("piste._registry._entries", dict(piste._registry._entries))  # type: ignore[attr-defined]


def stages(made: piste.Chain) -> list[str]:
    return [s.kind for s in plan(resolve(made, 1, []))]


def parameters(
    *shapes: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0
) -> list[nn.Parameter]:
    g = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64).to(dtype)) for s in shapes]


def train(make: Any, ps: list[nn.Parameter], steps: int = 5) -> list[torch.Tensor]:
    """Steps on gradients that do not depend on the weights."""
    opt = make(ps)
    g = torch.Generator().manual_seed(7)
    for _ in range(steps):
        for p in ps:
            p.grad = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        opt.step()
    return [p.detach().clone() for p in ps]


def test_a_chain_is_cut_where_the_scope_changes() -> None:
    assert stages(piste.AdamW.chain()) == ["flat"]
    assert stages(piste.Muon.chain()) == ["flat", "sheet", "flat"]


def test_a_tree_sum_starts_a_stage_only_behind_sums_over_tensors() -> None:
    assert stages(chain(clip_by_global_norm(1.0), piste.AdamW.chain())) == ["flat"]
    momentum = piste.SGD.chain(momentum=0.9).parts[0]
    assert stages(chain(momentum, clip_by_global_norm(1.0), descend(0.1))) == ["flat"]
    assert stages(chain(clip_by_global_norm(1.0), momentum, normalize_tree(), descend(0.1))) == ["flat"]
    trusted = chain(momentum, scale_by_trust_ratio(), clip_by_global_norm(1.0), descend(0.1))
    assert stages(trusted) == ["flat", "flat"]


SHAPES = [(3,), (40, 5), (), (200, 120), (7, 1, 2), (33,)]


def test_a_sum_that_looks_at_no_update_is_made_of_no_steps() -> None:
    (stage,) = plan(resolve(piste.InducedMetricSGD.chain(), 1, []))
    assert [head.steps for head in stage.meetings.values()] == [()]
    (stage,) = plan(resolve(piste.NormalizedSGD.chain(), 1, []))
    assert [len(head.steps) for head in stage.meetings.values()] == [1]


@pytest.mark.parametrize("name", ELEMENT)
def test_packed_equals_alone(name: str) -> None:
    """Small tensors are packed into one; alone, each runs by itself."""
    cls = getattr(piste, name)
    together = train(lambda ps: cls(ps, fused=False, compile=False), parameters(*SHAPES))

    class Each:
        def __init__(self, ps: list[nn.Parameter]) -> None:
            self.opts = [cls([p], fused=False, compile=False) for p in ps]

        def step(self) -> None:
            for o in self.opts:
                o.step()

    alone = train(Each, parameters(*SHAPES))
    for a, b in zip(together, alone):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
@pytest.mark.parametrize("hyper", [{}, {"weight_decay": 0.1}])
def test_torch_s_kernels_equal_the_rules_they_stand_for(name: str, hyper: dict[str, float]) -> None:
    cls = getattr(piste, name)
    if name == "SGD":
        hyper = {**hyper, "momentum": 0.9}
    fused = train(lambda ps: cls(ps, lr=0.01, fused=True, **hyper), parameters(*SHAPES))
    plain = train(lambda ps: cls(ps, lr=0.01, fused=False, **hyper), parameters(*SHAPES))
    for a, b in zip(fused, plain):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


needs_compiler = pytest.mark.skipif(not _compile.available("cpu"), reason="no C++ compiler on this machine")


@needs_compiler
@pytest.mark.parametrize("name", ["Lion", "ScheduleFreeAdamW"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_equals_eager_and_never_compiles_again(name: str, dtype: torch.dtype) -> None:
    """Sizes with and without a remainder, packed and alone, with a moving lr: one graph."""
    cls = getattr(piste, name)
    shapes = [(300, 64), (5,), (70, 33), (20000,), (16, 1024)]

    def run(**kw: Any) -> tuple[list[torch.Tensor], int]:
        graphs = []

        class Moving:
            def __init__(self, ps: list[nn.Parameter]) -> None:
                self.opt, self.t = cls(ps, **kw), 0

            def step(self) -> None:
                self.t += 1
                self.opt.param_groups[0]["lr"] = 0.01 / self.t
                self.opt.step()
                graphs.append(len(_compile.compiled_graphs))

        result = train(Moving, parameters(*shapes, dtype=dtype))
        return result, graphs[-1] - graphs[0]

    eager, _ = run(compile=False)
    compiled, more = run(compile=True)
    assert more == 0
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-2}
    for a, b in zip(compiled, eager):
        torch.testing.assert_close(a, b, **close)


@needs_compiler
def test_a_second_optimizer_of_the_same_structure_reuses_the_graph() -> None:
    train(lambda ps: piste.Lion(ps, compile=True), parameters((64, 64), dtype=torch.float32))
    count = len(_compile.compiled_graphs)
    train(lambda ps: piste.Lion(ps, lr=0.3, compile=True), parameters((50, 90), (7, 3), dtype=torch.float32))
    assert len(_compile.compiled_graphs) == count


def test_plans_do_not_multiply() -> None:
    plan.cache_clear()
    train(lambda ps: piste.AdamW(ps), parameters(*SHAPES), steps=10)
    assert plan.cache_info().currsize == 1


@pytest.mark.parametrize("name", ["AdamW", "Lion", "LAMB"])
@pytest.mark.parametrize("fused", [True, False])
def test_channels_last_weights_are_written(name: str, fused: bool) -> None:
    """Flattening in logical order would copy, and the write-back be lost."""
    cls = getattr(piste, name)

    def run(layout: torch.memory_format) -> torch.Tensor:
        ps = parameters((4, 3, 2, 2), (8,))
        ps[0] = nn.Parameter(ps[0].detach().to(memory_format=layout))
        return train(lambda q: cls(q, fused=fused), ps)[0]

    torch.testing.assert_close(run(torch.channels_last), run(torch.contiguous_format), rtol=1e-14, atol=0)


def test_a_strided_parameter_is_written_in_place() -> None:
    base = torch.zeros(6, 8, dtype=torch.float64)
    p = nn.Parameter(base[:, ::2])
    train(lambda q: piste.Lion(q, lr=1.0), [p], steps=1)
    assert bool((base[:, ::2] != 0).all()) and bool((base[:, 1::2] == 0).all())


def test_complex_parameters_are_pairs_of_reals() -> None:
    z = nn.Parameter(torch.randn(5, 3, dtype=torch.complex128))
    pair = nn.Parameter(torch.view_as_real(z.detach()).clone())
    a, b = piste.AdamW([z], fused=False), piste.AdamW([pair], fused=False)
    for t in range(4):
        g = torch.randn(5, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(t))
        z.grad, pair.grad = g, torch.view_as_real(g).clone()
        a.step(), b.step()
    torch.testing.assert_close(torch.view_as_real(z.detach()), pair.detach(), rtol=0, atol=0)


def test_complex_matrices_are_refused_by_matrix_rules() -> None:
    z = nn.Parameter(torch.randn(5, 3, dtype=torch.complex128))
    with pytest.raises(ValueError, match="complex"):
        piste.Muon([{"params": [z], "optimizer": "Muon"}])


def test_the_tree_norm_spans_groups_and_optimizers() -> None:
    @optimizer
    def Clipped(lr: float = 1.0, max_norm: float = 1.0) -> piste.Chain:
        """SGD on the clipped gradient."""
        return chain(clip_by_global_norm(max_norm), descend(lr))

    ps = parameters((3,), (4,))
    opt = Clipped([{"params": [ps[0]]}, {"params": [ps[1]], "lr": 1.0}])  # type: ignore[operator]
    before = torch.cat([p.detach().clone() for p in ps])
    for p in ps:
        p.grad = torch.ones_like(p) * 10
    opt.step()
    moved = (torch.cat([p.detach() for p in ps]) - before).norm()
    torch.testing.assert_close(
        moved, torch.tensor(1.0, dtype=torch.float64)
    )  # sqrt(2) if clipped group by group


def test_chains_that_meet_in_different_orders_are_refused() -> None:
    @transform(sums={"a": total(lambda u: u.square(), over="tree")})
    def first(u: Any, a: Any) -> Any:
        return u / a

    @transform(sums={"b": total(lambda u: u.square(), over="tree")})
    def second(u: Any, b: Any) -> Any:
        return u / b

    @optimizer
    def OneWay(lr: float = 1.0) -> piste.Chain:
        """First, then second."""
        return chain(first(), second(), descend(lr))

    @optimizer
    def OtherWay(lr: float = 1.0) -> piste.Chain:
        """Second, then first."""
        return chain(second(), first(), descend(lr))

    ps = parameters((3,), (4,))
    opt = OneWay([{"params": [ps[0]]}, {"params": [ps[1]], "optimizer": "OtherWay"}])  # type: ignore[operator]
    for p in ps:
        p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match="same order"):
        opt.step()


def test_noise_does_not_depend_on_the_cut() -> None:
    @transform
    def jitter(u: Any, noise: Any) -> Any:
        return u + noise

    @optimizer
    def Noisy(lr: float = 0.1) -> piste.Chain:
        """SGD with noise."""
        return chain(jitter(), descend(lr))

    shapes = [(40, 3), (5,), (300, 80)]
    named = lambda ps: [(f"p{i}", p) for i, p in enumerate(ps)]  # noqa: E731
    whole = train(lambda ps: Noisy(named(ps)), parameters(*shapes))  # type: ignore[operator]
    turned = train(lambda ps: Noisy(named(ps)[::-1]), parameters(*shapes))  # type: ignore[operator]
    for a, b in zip(whole, turned):
        assert torch.equal(a, b)
    other = train(lambda ps: Noisy(named(ps), seed=1), parameters(*shapes))  # type: ignore[operator]
    assert not torch.equal(whole[0], other[0])


def test_noise_is_standard_normal_and_fresh() -> None:
    from piste._noise import normal, stream

    z = normal(torch.zeros(200_000, dtype=torch.float64), stream(0, "w", 1))
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01 and abs((z**4).mean() - 3) < 0.1
    other = normal(torch.zeros(200_000, dtype=torch.float64), stream(0, "w", 2))
    assert abs((z * other).mean()) < 0.01
    part = normal(torch.zeros(1000, dtype=torch.float64), stream(0, "w", 1), torch.arange(500, 1500))
    assert torch.equal(part, z[500:1500])


def test_matrices_of_equal_shape_are_stacked_and_give_the_same() -> None:
    """16 small matrices in one batch, and the same one by one."""
    shapes = [(12, 12)] * 4
    together = train(lambda ps: piste.SOAP(ps, lr=0.01, precondition_frequency=2), parameters(*shapes))
    alone = []
    for i in range(4):
        ps = parameters(*shapes)
        opt = piste.SOAP([ps[i]], lr=0.01, precondition_frequency=2)
        g = torch.Generator().manual_seed(7)
        for _ in range(5):
            grads = [torch.randn(p.shape, generator=g, dtype=torch.float64) for p in ps]
            ps[i].grad = grads[i]
            opt.step()
        alone.append(ps[i].detach())
    for a, b in zip(together, alone):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_schedules_write_the_groups() -> None:
    ps = parameters((3,))
    opt = piste.AdamW(ps)
    opt.schedules["lr"] = piste.schedules.linear(1.0, 0.0, 4)
    seen = []
    for _ in range(4):
        ps[0].grad = torch.ones_like(ps[0])
        opt.step()
        seen.append(opt.param_groups[0]["lr"])
    assert seen == [piste.schedules.linear(1.0, 0.0, 4)(t) for t in range(4)]
    opt.schedules["lrr"] = piste.schedules.constant(1.0)
    with pytest.raises(KeyError, match="lrr"):
        opt.step()


def test_a_relative_schedule_multiplies_what_each_group_started_from() -> None:
    ps = parameters((3, 3), (3,))
    groups = [
        {"params": [ps[0]], **piste.Muon.group(lr=0.02)},
        {"params": [ps[1]], **piste.AdamW.group(lr=1e-3)},
    ]
    opt = piste.Muon(groups)
    opt.schedules["lr"] = piste.schedules.scale(piste.schedules.linear(1.0, 0.0, 4))
    for t in range(4):
        for p in ps:
            p.grad = torch.ones_like(p)
        opt.step()
        assert [g["lr"] for g in opt.param_groups] == pytest.approx([0.02 * (1 - t / 4), 1e-3 * (1 - t / 4)])
        twin = piste.Muon(groups)
        twin.load_state_dict(opt.state_dict())
        assert twin.param_groups[0]["initial_lr"] == 0.02


def test_a_held_rule_that_sums_over_its_tensor_is_given_all_of_it() -> None:
    """Its sum is made where it runs: on a part of the tensor it would be that part's."""
    whole = piste.transforms.signed_magnitude(chain(), piste.transforms.normalize_rms())
    assert whole.scope == "tensor" and whole.sheet
    alone = piste.transforms.signed_magnitude(chain(), piste.transforms.scale_by_rms(0.9, 1e-8))
    assert alone.scope == "element" and not alone.sheet
