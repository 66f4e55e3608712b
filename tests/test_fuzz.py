"""The engine against the pure functions, on shapes, layouts and presences of gradients nobody thought of."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import piste
from piste import functional as F

NAMES = [e.name for e in piste.registry("optimizer") if not e.needs and e.module.startswith("piste.")]
SHAPES = st.lists(
    st.lists(st.integers(1, 7), min_size=0, max_size=4).map(tuple) | st.just((130, 130)),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(shapes=SHAPES, data=st.data())
def test_whatever_the_shapes_the_engine_does_what_the_rules_say(
    name: str, shapes: list[tuple[int, ...]], data: st.DataObject
) -> None:
    """Packed, stacked and in place = one tensor at a time, purely; parameters drop out of some steps."""
    cls = getattr(piste, name)
    g = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    draw = lambda s: torch.randn(s, generator=g, dtype=torch.float64)  # noqa: E731
    start = {f"p{i}": draw(s) for i, s in enumerate(shapes) if not cls.factory.matrix or len(s) >= 2}
    if not start:
        return
    own = {}
    for k, p in start.items():
        turned = p.dim() == 4 and data.draw(st.booleans())
        layout = torch.channels_last if turned else torch.contiguous_format
        own[k] = torch.nn.Parameter(p.clone(memory_format=layout))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", piste.RoutingWarning)
        opt = cls([{"params": list(own.items()), "optimizer": name}], lr=0.01)
    chain = cls.chain(lr=0.01)
    params, state = dict(start), F.init(chain, start)
    for _ in range(4):
        live = {k for k in start if data.draw(st.booleans()) or chain.whole_tree}
        grads = {k: draw(start[k].shape) for k in start if k in live}
        for k, p in own.items():
            p.grad = grads[k].clone() if k in grads else None
        opt.step()
        for k, gradient in grads.items():  # one at a time: nothing can lean on its neighbours
            if chain.whole_tree:
                break
            alone, after = F.step(chain, {k: gradient}, {k: state[k]}, {k: params[k]})
            params[k], state[k] = alone[k], after[k]
        if chain.whole_tree:
            params, state = F.step(chain, grads, state, params)
    for k in start:
        if not any(slot.shared for _, slot, _ in chain.slots()) or chain.whole_tree:
            torch.testing.assert_close(own[k].detach(), params[k], rtol=1e-7, atol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    shapes=SHAPES, dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    name=st.sampled_from(["AdamW", "Lion", "SOAP", "ScheduleFreeSGD", "LAMB", "Shampoo"]),
)  # fmt: skip
def test_the_forecast_is_what_is_held_and_state_dtypes_are_declared(
    shapes: list[tuple[int, ...]], dtype: torch.dtype, name: str
) -> None:
    ps = [torch.nn.Parameter(torch.randn(s).to(dtype)) for s in shapes]
    opt = getattr(piste, name)(ps)
    assert opt.forecast_bytes() == opt.state_bytes()
    for p in ps:
        p.grad = torch.randn_like(p)
    opt.step(), opt.step()
    assert opt.forecast_bytes() == opt.state_bytes()
    kinds = {slot: kind for c in opt.chains() for slot, kind, _ in c.slots()}
    for p in ps:
        assert torch.isfinite(p).all()
        for key, value in opt.state[p].items():
            if key != "step":
                expected = (
                    torch.float64 if kinds[key].kind == "scalar" or dtype == torch.float64 else torch.float32
                )
                assert value.dtype == expected, key
