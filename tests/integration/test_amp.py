"""torch's GradScaler around a piste optimizer, on CPU."""

from __future__ import annotations

import pytest
import torch

import piste
from tiny import assert_same, make, snapshot, tiny, words

NAMES = [e.name for e in piste.registry("optimizer") if e.module.startswith("piste.") and not e.needs]


@pytest.mark.parametrize("name", NAMES)
def test_it_scales_skips_on_inf_and_goes_on(name):
    model = tiny()
    opt = make(name, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1000)
    for i in range(4):
        opt.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model.loss(words(i))
        scaler.scale(loss).backward()
        before = snapshot(opt)
        if i == 2:
            model.inner.weight.grad[0, 0] = float("inf")
        scaler.step(opt)
        scaler.update()
        if i == 2:
            assert_same(before, snapshot(opt))  # the step was skipped, whole
    assert scaler.get_scale() == 128.0
    assert opt.state[model.inner.weight]["step"] + any(chain.primes for chain in opt.chains()) == 3


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_scaling_and_unscaling_change_nothing_else(name):
    models = tiny(dtype=torch.float64), tiny(dtype=torch.float64)
    plain, scaled = (make(name, m) for m in models)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for i in range(3):
        for model, opt in zip(models, (plain, scaled), strict=True):
            opt.zero_grad()
            loss = model.loss(words(i))
            if opt is plain:
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                opt.step()
            else:
                scaler.scale(loss).backward()
                scaler.unscale_(opt)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                scaler.step(opt)
                scaler.update()
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)
