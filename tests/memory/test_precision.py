"""Two precisions, two implementations: what they disagree about, and casts that spare the norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from piste.memory import cast, precision_mismatch
from piste.memory.precision import Mismatch, advice
from piste.race.tasks.gpt import GPT


def policy(seed=0):
    torch.manual_seed(seed)
    model = GPT(vocabulary=40, width=32, blocks=2, heads=2, context=24)
    for p in model.parameters():
        p.data.add_(0.15 * torch.randn_like(p))
    return model, torch.randint(40, (6, 25))


def test_more_bits_of_mantissa_agree_better_and_the_model_is_left_as_it_was():
    model, tokens = policy()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rough, fine, whole = precision_mismatch(model, tokens, (torch.bfloat16, torch.float16, torch.float32))
    assert 0 == whole.kl == whole.worst < fine.kl < rough.kl / 8
    assert fine.to_reference < rough.to_reference / 8
    assert rough.differences.shape == (6, 24) and rough.sequences.shape == (6,)
    assert rough.kl == pytest.approx(
        float((rough.differences.exp() - 1 - rough.differences).mean()), rel=1e-6
    )
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert advice([rough, fine]).startswith("float16, on both sides") and "loss scaler" in advice(
        [rough, fine]
    )
    assert "KL" in str(rough) and "bfloat16" in str(rough)


def test_what_overflows_is_not_advised():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Embedding(20, 16), nn.Linear(16, 16), nn.Linear(16, 20))
    body[1].weight.data.mul_(1e6)
    body[2].weight.data.mul_(1e-6)
    found = precision_mismatch(body, torch.randint(20, (4, 9)))
    rough, fine = found
    assert fine.overflows and not rough.overflows and fine.largest > fine.limit
    assert advice(found) == "bfloat16: float16 overflows"
    assert advice([fine]).startswith("every precision overflows")
    assert advice([rough]) == "bfloat16, the only precision tried"


def test_precisions_that_agree_alike_are_called_so():
    nothing = torch.zeros(2, 3)
    pair = [Mismatch(d, nothing, 1e-5, 0.0, 1.0, 100.0) for d in (torch.float16, torch.bfloat16)]
    assert "alike" in advice(pair)


def test_another_implementation_and_other_log_probabilities():
    model, tokens = policy()
    other, _ = policy(1)
    (seen,) = precision_mismatch(model, tokens, (torch.float32,), sampler=other)
    assert seen.kl > 0.1

    def last(m, batch):
        return m(batch[:, :-1])[:, -1].float().log_softmax(-1)[:, 0]

    (one,) = precision_mismatch(model, tokens, (torch.bfloat16,), logprobs=last)
    assert one.differences.shape == (6,)


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8), nn.LayerNorm(8, elementwise_affine=False)])
def test_norms_stay_in_float32_between_layers_that_do_not(norm):
    model = nn.Sequential(nn.Linear(8, 8), norm, nn.Linear(8, 8), nn.BatchNorm1d(8))
    model[2].weight = model[0].weight
    assert cast(model, torch.bfloat16) is model
    kinds = {name: t.dtype for name, t in model.state_dict().items()}
    assert {kinds[k] for k in ("0.weight", "0.bias", "2.weight")} == {torch.bfloat16}
    assert {v for k, v in kinds.items() if k[0] in "13" and v.is_floating_point} == {torch.float32}
    assert model[0].weight is model[2].weight
    y = model(torch.randn(4, 8, dtype=torch.bfloat16))
    y.sum().backward()
    assert y.dtype == torch.bfloat16 and all(p.grad.dtype == p.dtype for p in model.parameters())
    count = len(norm._forward_pre_hooks)
    cast(model, torch.float16)
    assert len(norm._forward_pre_hooks) == count == 1
    assert model(torch.randn(4, 8, dtype=torch.float16)).dtype == torch.float16


def test_norms_are_cast_like_all_else_where_asked():
    model = cast(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), torch.float16, norms=None)
    assert {p.dtype for p in model.parameters()} == {torch.float16} and not model[1]._forward_pre_hooks


def test_sums_of_large_numbers_overflow_in_half_precision_and_not_beside_it():
    x = torch.full((1, 4), 300.0, dtype=torch.float16)
    x[0, 0] = -300

    class Square(nn.Module):
        def forward(self, x):
            return x / x.square().mean(-1, keepdim=True).sqrt()

    assert Square()(x).eq(0).all()  # 300² is above 65,504
    assert (
        cast(nn.Sequential(nn.RMSNorm(4)), torch.float16)(x)
        .abs()
        .allclose(torch.ones(1, dtype=torch.float16))
    )
