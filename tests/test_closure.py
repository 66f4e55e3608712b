"""piste.closure: every evaluation of a step is the same loss at today's weights, whatever it takes to compute it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import piste
from piste._evaluate import Evaluate
from piste.oracles.sam import sam
from piste.searches import armijo
from piste.transforms.decay import descend
from tiny import assert_same, make, snapshot, tiny, weights, words


@piste.optimizer
def FlatSGD(lr: float = 0.1, rho: float = 0.05) -> piste.Chain:
    """SAM around plain descent."""
    return piste.chain(sam(rho), descend(lr))


@piste.optimizer
def Backtracking(lr: float = 1.0) -> piste.Chain:
    """Descent as far as Armijo's rule allows."""
    return piste.chain(armijo(lr))


class Normed(nn.Module):
    """With BatchNorm and dropout: what makes two evaluations of one batch differ."""

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.inner, self.norm, self.drop = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(p)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(torch.tanh(self.norm(self.inner(x)))))


def normed(p: float = 0.0) -> Normed:
    torch.manual_seed(0)
    return Normed(p).double()


def plain(model, opt, x):
    """The closure one writes by hand for a full batch."""

    def closure():
        opt.zero_grad()
        loss = model.loss(x)
        loss.backward()
        return loss

    return closure


ALL = [FlatSGD, Backtracking, piste.AdamW, piste.LBFGS, piste.Muon]
every = pytest.mark.parametrize("cls", ALL, ids=lambda c: c.__name__)


@every
@pytest.mark.parametrize("sizes", [(3, 3), (1, 2, 3)], ids=str)
def test_accumulation_is_the_full_batch(cls, sizes):
    model, twin = tiny(dtype=torch.float64), tiny(dtype=torch.float64)
    opt, other = cls(model), cls(twin)
    for i in range(3):
        x = words(i)
        weighted = None if len(set(sizes)) == 1 else sizes
        a = opt.step(piste.closure(model.loss, x.split(sizes), model, sizes=weighted))
        b = other.step(plain(twin, other, x))
        torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-12)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-10)


def test_a_module_that_returns_its_loss_is_its_own_forward():
    class Loss(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model.loss(x)

    model, twin = tiny(), tiny()
    opt, other = FlatSGD(model), FlatSGD(twin)
    opt.step(piste.closure(Loss(model), [words(0)]))
    other.step(plain(twin, other, words(0)))
    assert_same(weights(model), weights(twin))


@every
def test_replays_are_deterministic(cls):
    """Two runs agree bitwise, and dropout draws one mask per step, however often the loss is evaluated."""
    runs = []
    for _ in range(2):
        model = normed(0.5)
        opt = cls(model)
        torch.manual_seed(7)
        losses = []
        for i in range(3):
            x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
            loss = opt.step(piste.closure(lambda b, m=model: m(b).square().mean(), x.split(4), model))
            losses.append(loss.item())
        runs.append((losses, weights(model), torch.get_rng_state()))
    assert_same(runs[0], runs[1])
    model = normed(0.5)
    torch.manual_seed(7)
    for i in range(3):
        x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        for half in x.split(4):
            model(half)
    assert torch.equal(torch.get_rng_state(), runs[0][2])  # as if each step had evaluated once


def test_evaluations_of_one_step_see_the_same_loss():
    model = normed(0.5)
    made = piste.closure(lambda b: model(b).square().mean(), torch.randn(8, 4).double().split(4), model)
    evaluate = piste.Evaluate(list(model.parameters()), made)
    (first, grads), (second, again) = evaluate(), evaluate()
    assert torch.equal(first, second)
    assert_same(grads, again)
    assert made.evaluations == 2


@pytest.mark.parametrize("freeze", [True, False])
def test_only_the_first_evaluation_moves_running_statistics(freeze):
    model, once = normed(), normed()
    batches = torch.randn(8, 4).double().split(4)
    opt = FlatSGD(model)
    opt.step(piste.closure(lambda b: model(b).square().mean(), batches, model, freeze_norms=freeze))
    for b in batches:
        once(b)
    same = torch.equal(model.norm.running_mean, once.norm.running_mean)
    assert same is freeze
    assert model.norm.num_batches_tracked.item() == (2 if freeze else 4)
    assert model.norm.track_running_stats


def test_gradients_meet_other_processes_once_per_evaluation():
    class Synced(nn.Module):
        """Counts what DistributedDataParallel would synchronise."""

        def __init__(self):
            super().__init__()
            self.inner, self.quiet, self.log = nn.Linear(4, 3), False, []

        @contextmanager
        def no_sync(self):
            self.quiet = True
            yield
            self.quiet = False

        def forward(self, x):
            self.log.append(self.quiet)
            return self.inner(x).square().mean()

    model = Synced()
    FlatSGD(model).step(piste.closure(model, torch.randn(6, 4).split(2)))
    assert model.log == [True, True, False] * 2


def test_autocast_covers_the_forward_pass_only():
    model, seen = tiny(), []

    def forward(x):
        seen.append((model.inner(model.table(x)).dtype, torch.is_autocast_enabled("cpu")))
        return model.loss(x)

    loss = FlatSGD(model).step(piste.closure(forward, [words(0)], model, autocast=torch.bfloat16))
    assert seen == [(torch.bfloat16, True)] * 2 and loss.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


# loss scaling -------------------------------------------------------------------------------------------------------


def scaler(**kw):
    return torch.amp.GradScaler("cpu", init_scale=1024.0, **kw)


@every
def test_scaling_is_undone_before_anyone_looks(cls):
    model, twin = tiny(dtype=torch.float64), tiny(dtype=torch.float64)
    opt, other, scale = cls(model), cls(twin), scaler()
    for i in range(3):
        x = words(i).split(3)
        a = opt.step(piste.closure(model.loss, x, model, scaler=scale))
        b = other.step(piste.closure(twin.loss, x, twin))
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cls", [FlatSGD, Backtracking, piste.AdamW, piste.LBFGS], ids=lambda c: c.__name__)
def test_an_overflow_leaves_the_step_out_and_lowers_the_scale_once(cls):
    model, scale = tiny(), scaler()
    opt = cls(model)
    before = snapshot(opt)

    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g * float("inf")

    made = piste.closure(lambda b: Overflow.apply(model.loss(b)), [words(0)], model, scaler=scale)
    opt.step(made)
    assert made.found_inf and opt.skipped_steps == 1 and opt.metrics()["skipped_steps"] == 1
    assert scale.get_scale() == 512.0
    assert_same(before, snapshot(opt))
    opt.step(piste.closure(model.loss, [words(0)], model, scaler=scale))
    assert opt.skipped_steps == 1 and scale.get_scale() == 512.0
    assert any(not torch.equal(a, b) for a, b in zip(before[1][0], snapshot(opt)[1][0], strict=True))


def test_the_scale_grows_by_steps_not_by_evaluations():
    model, scale = tiny(), scaler(growth_interval=2)
    opt = FlatSGD(model)
    seen = []
    for i in range(4):
        opt.step(piste.closure(model.loss, [words(i)], model, scaler=scale))
        seen.append(scale.get_scale())
    assert seen == [1024.0, 2048.0, 2048.0, 4096.0]


def test_a_disabled_scaler_does_nothing():
    model, twin = tiny(), tiny()
    opt, other = FlatSGD(model), FlatSGD(twin)
    off = torch.amp.GradScaler("cpu", enabled=False)
    opt.step(piste.closure(model.loss, [words(0)], model, scaler=off))
    other.step(plain(twin, other, words(0)))
    assert_same(weights(model), weights(twin))


# bad input ----------------------------------------------------------------------------------------------------------


def test_bad_input_names_the_remedy():
    model = tiny()
    with pytest.raises(TypeError, match=r"closure\(forward, batches, model\)"):
        piste.closure(model.loss, [words(0)])
    with pytest.raises(ValueError, match="already consumed"):
        piste.closure(model.loss, iter([]), model)
    for sizes in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="one size above 0 for each"):
            piste.closure(model.loss, [words(0), words(1)], model, sizes=sizes)


def test_an_error_inside_leaves_everything_as_it_was():
    model = normed()
    opt = FlatSGD(model)
    before, calls = snapshot(opt), []

    def forward(b):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return model(b).square().mean()

    with pytest.raises(RuntimeError, match="out of memory"):
        opt.step(piste.closure(forward, [torch.randn(4, 4).double()], model))
    assert_same(before, snapshot(opt))
    assert model.norm.track_running_stats


def test_every_optimizer_that_needs_a_closure_takes_this_one():
    for entry in piste.registry("optimizer"):
        if entry.needs == ("closure",):
            model = tiny()
            opt = make(entry.name, model)
            before = weights(model)
            for seed in range(2):  # QASGD's first step moves what it keeps beside the weights
                opt.step(piste.closure(model.loss, words(seed).split(3), model))
            assert not torch.equal(before["outer.weight"], model.outer.weight), entry.name


# labels drawn from the model -------------------------------------------------------------------------------------


def drawing(seen=None):
    """A model, a batch, and its closure with drawn labels, which are noted in ``seen``."""
    model, x = normed(), torch.randn(16, 4, generator=torch.Generator().manual_seed(3)).double()

    def drawn(b):
        logits = model(b)
        labels = torch.distributions.Categorical(logits=logits.detach()).sample()
        if seen is not None:
            seen.append(labels)
        return nn.functional.cross_entropy(logits, labels)

    def true(b):
        return nn.functional.cross_entropy(model(b), torch.zeros(len(b), dtype=torch.long))

    return model, x, true, drawn


def evaluator(model, closure):
    return Evaluate(list(model.parameters()), closure)


def test_drawn_labels_are_the_same_within_a_step_and_others_in_the_next():
    seen = []
    model, x, true, drawn = drawing(seen)
    torch.manual_seed(0)
    for _ in range(2):  # the loss itself uses no random numbers
        evaluate = evaluator(model, piste.closure(true, [x], model, sampled=drawn))
        evaluate()
        first, again = evaluate.sampled(), evaluate.sampled()
        assert_same(first, again)
        evaluate.finish()
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_sampled_gives_the_mean_over_micro_batches_and_leaves_gradients_as_found():
    model, x, true, drawn = drawing()
    model.eval()
    for p in model.parameters():
        p.grad = torch.full_like(p, 7.0)
    evaluate = evaluator(model, piste.closure(true, [x[:12], x[12:]], model, sizes=[12, 4], sampled=drawn))
    torch.manual_seed(5)
    loss, grads = evaluate.sampled()
    torch.manual_seed(5)
    want = (12 * drawn(x[:12]) + 4 * drawn(x[12:])) / 16
    slopes = torch.autograd.grad(want, list(model.parameters()))
    assert torch.allclose(loss, want.detach(), atol=1e-14)
    assert all(torch.allclose(a, b, atol=1e-14) for a, b in zip(grads, slopes, strict=True))
    assert all(bool((p.grad == 7).all()) for p in model.parameters())


@pytest.mark.parametrize("kind", ["plain", "piste"])
def test_drawing_labels_without_being_told_how_is_refused(kind):
    model, x, true, _ = drawing()
    closure = piste.closure(true, [x], model) if kind == "piste" else lambda: true(x)
    with pytest.raises(TypeError, match="sampled=lambda batch"):
        evaluator(model, closure).sampled()
