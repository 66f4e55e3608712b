"""Accelerate: prepare, accumulation, loss scaling's skipped steps, save and load."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

import piste
from integration.routed import LR, assert_only_hidden_matrices_are_orthogonalized, weights_of
from tiny import assert_same, snapshot, tiny, words

accelerate = pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def _one_accelerator_at_a_time():
    yield
    accelerate.state.AcceleratorState._reset_state(True)


def run(accelerator, model, opt, data, steps):
    done = 0
    while True:
        for x in data:
            with accelerator.accumulate(model):
                accelerator.backward(accelerator.unwrap_model(model).loss(x))
                opt.step()
                opt.zero_grad()
            if accelerator.sync_gradients:
                done += 1
                if done == steps:
                    return


def prepared(cls, seed=0, accumulate=1, **hyper):
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    model = tiny(seed)
    del model.spare
    opt = cls(model, **hyper)
    data = DataLoader(words(0, rows=16), batch_size=16 // (2 * accumulate))
    return accelerator, *accelerator.prepare(model, opt, data)


@pytest.mark.parametrize("cls", [piste.AdamW, piste.Muon], ids=lambda c: c.__name__)
def test_accumulation_equals_the_large_batch(cls):
    runs = []
    for accumulate in (1, 2):
        accelerator, model, opt, data = prepared(cls, accumulate=accumulate)
        assert isinstance(opt.optimizer, cls)
        run(accelerator, model, opt, data, 3)
        runs.append([p.detach().clone() for p in accelerator.unwrap_model(model).parameters()])
        accelerate.state.AcceleratorState._reset_state(True)
    for p, q in zip(*runs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)  # float32; Adam divides by small gradients


@pytest.mark.parametrize("cls", [piste.AdamW, piste.Muon], ids=lambda c: c.__name__)
def test_a_saved_state_continues_bitwise(cls, tmp_path):
    accelerator, model, opt, data = prepared(cls)
    run(accelerator, model, opt, data, 2)
    accelerator.save_state(str(tmp_path))
    run(accelerator, model, opt, data, 3)
    first, groups = weights_of(accelerator.unwrap_model(model)), snapshot(opt.optimizer)
    accelerate.state.AcceleratorState._reset_state(True)

    accelerator, model, opt, data = prepared(cls, seed=1)
    accelerator.load_state(str(tmp_path))
    run(accelerator, model, opt, data, 3)
    assert_same(first, weights_of(accelerator.unwrap_model(model)))
    assert_same(groups, snapshot(opt.optimizer))


def test_embeddings_and_head_are_not_orthogonalized():
    def one_step(cls, hyper):
        accelerator, model, opt, data = prepared(cls, **hyper)
        model = accelerator.unwrap_model(model)
        before = weights_of(model)
        run(accelerator, model, opt, data, 1)
        accelerate.state.AcceleratorState._reset_state(True)
        return opt.optimizer, before, weights_of(model)

    assert_only_hidden_matrices_are_orthogonalized(
        one_step, hidden={"inner.weight", "outer.weight"}, outside={"table.weight", "head.weight"}
    )


def test_the_rate_given_is_the_rate_used():
    _, _, opt, _ = prepared(piste.Muon, lr=LR)
    assert opt.param_groups[0]["lr"] == LR
