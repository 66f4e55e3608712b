"""Statistics of layers, gathered by hooks: what is counted, what is not, and how copies behave."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import piste
from optimizers.layers import batches, classifier
from piste._layers import rows
from piste.transforms import descend, layer_covariances
from tiny import assert_same, weights

cross_entropy = nn.functional.cross_entropy


@piste.transform(scope="tensor", seen_rows=piste.factor("m m"), seen_columns=piste.factor("n n"))
def notes(u, row_cov, col_cov, seen_rows, seen_columns):
    """Keeps what was heard in the last step."""
    return u, row_cov, col_cov


@piste.optimizer(rest=piste.AdamW)
def Listener(lr: float = 0.1, every: int = 1, drawn: bool = False) -> piste.Chain:
    """Descent that notes what it hears."""
    when = piste.schedules.every(every, phase=1)
    draws = [piste.oracles.drawn_labels(when)] if drawn else []
    return piste.chain(layer_covariances(10000, when), *draws, notes(), descend(lr))


def heard(opt):
    """By parameter: the covariances of rows and columns in the last step."""
    return {
        leaf.name: (leaf.state["seen_rows"].clone(), leaf.state["seen_columns"].clone())
        for leaves in opt.leaves()
        for leaf in leaves
        if "seen_rows" in leaf.state
    }


def after(model, act, **hyper):
    """What was heard after one step of ``act(model, opt)``, which makes the gradients and steps."""
    model = copy.deepcopy(model)
    opt = Listener(model, **hyper)
    act(model, opt)
    return heard(opt)


def plainly(model, opt, data=None):
    opt.zero_grad()
    x, y = batches(1)[0] if data is None else data
    cross_entropy(model(x), y).backward()
    opt.step()


def close(a, b, rtol=1e-12):
    assert a and a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=rtol, atol=rtol)


# rows and moments ---------------------------------------------------------------------------------------------------

CONVS = {
    "1d": nn.Conv1d(3, 4, 3, padding=2, dilation=2),
    "2d": nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    "same": nn.Conv2d(2, 3, (5, 3), padding="same"),
    "circular": nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular", bias=False),
    "reflect": nn.Conv2d(2, 3, 3, padding=(2, 1), padding_mode="reflect"),
    "replicate": nn.Conv3d(2, 3, 2, padding=1, padding_mode="replicate"),
    "3d": nn.Conv3d(2, 3, (1, 2, 3), stride=2, padding=(0, 1, 1)),
    "linear": nn.Linear(5, 3),
}


@pytest.mark.parametrize("kind", CONVS)
def test_the_rows_of_a_layer_make_its_gradient(kind):
    layer = copy.deepcopy(CONVS[kind]).double()
    axes = len(getattr(layer, "kernel_size", ()))
    torch.manual_seed(0)
    x = torch.randn(6, layer.weight.shape[1], *(7, 6, 5)[:axes], dtype=torch.float64)
    out = layer(x)
    out.retain_grad()
    out.sin().sum().backward()
    a, g = rows(layer, x, out.grad, torch.float64)
    made = torch.einsum("nrm,nrk->mk", g, a)
    whole = layer.weight.grad.flatten(1)
    whole = whole if layer.bias is None else torch.cat([whole, layer.bias.grad.unsqueeze(1)], 1)
    torch.testing.assert_close(made, whole, rtol=1e-12, atol=1e-12)


def test_moments_are_those_of_each_examples_own_gradient():
    model, (x, y) = classifier(), batches(1)[0]
    got = after(model, plainly)
    rows_of, columns = got["2.weight"]
    inside = torch.tanh(model[0](x))
    torch.testing.assert_close(columns, inside.mT @ inside / len(x))
    own = []
    for i in range(len(x)):
        model.zero_grad()
        cross_entropy(model(x[i : i + 1]), y[i : i + 1]).backward()
        own.append(model[2].bias.grad.clone())
    own = torch.stack(own)
    torch.testing.assert_close(rows_of, own.mT @ own / len(x))
    torch.testing.assert_close(got["2.bias"], (torch.ones(1, 1, dtype=torch.float64), rows_of))


def test_a_layer_called_twice_is_heard_twice():
    layer, x = nn.Linear(4, 4, bias=False).double(), torch.randn(9, 4).double()

    def twice(model, opt):
        model(model(x)).square().mean().backward()
        opt.step()

    _, columns = after(layer, twice)["weight"]
    both = torch.cat([x, layer(x).detach()])
    torch.testing.assert_close(columns, both.mT @ both / len(both))


# what is counted ----------------------------------------------------------------------------------------------------


def test_micro_batches_add_up_to_the_batch():
    def accumulated(model, opt):
        x, y = batches(1)[0]
        for part in (slice(0, 12), slice(12, 24)):
            (cross_entropy(model(x[part]), y[part]) / 2).backward()
        opt.step()

    close(after(classifier(), accumulated), after(classifier(), plainly))


def test_evaluation_and_what_is_never_differentiated_are_not_counted():
    def busy(model, opt):
        other = batches(1, seed=7)[0][0]
        model(other)
        with torch.no_grad():
            model(other)
        plainly(model, opt)

    def before_the_gradients_were_dropped(model, opt):
        x, y = batches(1, seed=7)[0]
        cross_entropy(model(x), y).backward()
        plainly(model, opt)

    want = after(classifier(), plainly)
    close(after(classifier(), busy), want)
    close(after(classifier(), before_the_gradients_were_dropped), want)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_layer_is_counted_once(reentrant):
    def checkpointed(model, opt):
        x, y = batches(1)[0]
        out = checkpoint(model, x.requires_grad_(), use_reentrant=reentrant)
        cross_entropy(out, y).backward()
        opt.step()

    close(after(classifier(), checkpointed), after(classifier(), plainly))


def test_hooks_are_set_only_for_steps_that_want_them():
    model = classifier()
    opt = Listener(model, every=3)
    counts = []
    for data in batches(7):
        counts.append(model[0](data[0])._backward_hooks is not None)
        plainly(model, opt, data)
    assert counts == [True, False, False, True, False, False, True]


def scaler(scale=2.0**12):
    return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)


@pytest.mark.parametrize("unscaled", [False, True])
def test_a_scaled_loss_is_seen_unscaled(unscaled):
    def scaled(model, opt):
        grad_scaler = scaler()
        x, y = batches(1)[0]
        grad_scaler.scale(cross_entropy(model(x), y)).backward()
        if unscaled:
            grad_scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        grad_scaler.step(opt)
        grad_scaler.update()

    close(after(classifier(), scaled), after(classifier(), plainly))


def test_a_closure_with_a_scaler_and_micro_batches_too():
    def closed(model, opt):
        x, y = batches(1)[0]
        parts = [(x[:18], y[:18]), (x[18:], y[18:])]
        opt.step(
            piste.closure(
                lambda b: cross_entropy(model(b[0]), b[1]), parts, model, scaler=scaler(), sizes=[18, 6]
            )
        )

    close(after(classifier(), closed), after(classifier(), plainly))


def test_what_a_skipped_step_heard_is_not_heard_later():
    model = classifier()
    opt, grad_scaler, (x, y) = Listener(model), scaler(), batches(1)[0]
    grad_scaler.scale(cross_entropy(model(x), y) * float("inf")).backward()
    grad_scaler.step(opt)
    grad_scaler.update()
    model.zero_grad()  # of the model: the optimizer is not told
    grad_scaler.scale(cross_entropy(model(x), y)).backward()
    grad_scaler.step(opt)
    close(heard(opt), after(classifier(), plainly))


def drawn_closure(model, x, y):
    def drawn(b):
        logits = model(b[0])
        return cross_entropy(logits, torch.distributions.Categorical(logits=logits.detach()).sample())

    return piste.closure(lambda b: cross_entropy(model(b[0]), b[1]), [(x, y)], model, sampled=drawn)


def test_drawn_labels_make_the_statistics_and_true_ones_the_step():
    model, twin, (x, y) = classifier(), classifier(), batches(1)[0]
    opt, plain = Listener(model, drawn=True), Listener(twin)
    torch.manual_seed(3)
    opt.step(drawn_closure(model, x, y))
    plainly(twin, plain, (x, y))
    assert_same(weights(model), weights(twin))
    logits = classifier()(x).detach()
    torch.manual_seed(3)
    labels = torch.distributions.Categorical(logits=logits).sample()
    close(heard(opt), after(classifier(), lambda m, o: plainly(m, o, (x, labels))))


# owners, copies, ends -----------------------------------------------------------------------------------------------


def trained(model, opt, start, stop):
    for data in batches(stop)[start:]:
        plainly(model, opt, data)


def copied(pair):
    return copy.deepcopy(pair)


def pickled(pair):
    return pickle.loads(pickle.dumps(pair))


@pytest.mark.parametrize("how", [copied, pickled])
@pytest.mark.parametrize("order", [1, -1])
def test_copies_of_model_and_optimizer_go_on_by_themselves(how, order):
    model = classifier()
    opt = piste.KFAC(model, damping=0.1)
    trained(model, opt, 0, 2)
    twin, other = how((model, opt)[::order])[::order]
    untouched = copy.deepcopy(opt.state_dict()["state"])
    trained(twin, other, 2, 4)
    assert_same(opt.state_dict()["state"], untouched)
    trained(model, opt, 2, 4)
    assert_same(weights(model), weights(twin))


def test_a_copied_model_does_not_feed_the_original_and_an_optimizer_that_is_gone_leaves_no_hooks():
    model = classifier()
    opt = Listener(model)
    twin = copy.deepcopy(model)
    x, y = batches(1)[0]
    cross_entropy(twin(x), y).backward()
    assert all(layer.sums is None for layer in opt._senses.layers.values())
    assert model[0]._forward_hooks
    del opt
    gc.collect()
    assert not model[0]._forward_hooks


class Mixed(nn.Module):
    """What can be watched, and all that cannot."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.grouped = nn.Conv1d(8, 8, 3, padding=1, groups=2)
        self.conv = nn.Conv1d(8, 8, 3, padding=1)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 7, bias=False)
        self.tied = nn.Linear(8, 7, bias=False)
        self.tied.weight = self.table.weight

    def forward(self, x):
        h = self.table(x)
        h = self.attention(h, h, h, need_weights=False)[0]
        h = self.conv(self.grouped(h.mT)).mT
        h = self.norm(self.normed(h))
        return self.head(h) + self.tied(h)


@pytest.mark.parametrize("name", ["KFAC", "EKFAC", "AdaFisher"])
def test_what_cannot_be_watched_goes_to_the_rest_and_all_of_it_moves(name):
    torch.manual_seed(0)
    model = Mixed()
    opt = getattr(piste, name)(model)
    main = {n for g in opt.param_groups if g["optimizer"] == name for n in g["param_names"]}
    assert main == {"conv.weight", "conv.bias", "head.weight"}
    before = weights(model)
    x = torch.randint(7, (3, 5), generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        opt.zero_grad()
        cross_entropy(model(x).flatten(0, 1), x.flatten()).backward()
        opt.step()
    assert all(
        not torch.equal(p, before[n]) for n, p in model.named_parameters() if n != "attention.in_proj_bias"
    )


@pytest.mark.parametrize("give", [lambda m: m.parameters(), lambda m: [{"params": list(m.parameters())}]])
def test_parameters_without_their_module_are_refused(give):
    with pytest.raises(TypeError, match=r"pass the module, piste.KFAC\(model\)"):
        piste.KFAC(give(classifier()))
    with pytest.raises(ValueError, match="its module was not given"):
        piste.AdamW([piste.KFAC.group(list(classifier().parameters()))])


def test_a_weight_that_is_used_without_its_layer_is_named():
    model = classifier()
    opt, (x, y) = piste.KFAC(model), batches(1)[0]
    hidden = torch.tanh(nn.functional.linear(x, model[0].weight, model[0].bias))
    cross_entropy(model[2:](hidden), y).backward()
    before = weights(model)
    with pytest.raises(ValueError, match=r"nothing was heard of the layer of '0.weight' and '0.bias'"):
        opt.step()
    assert_same(weights(model), before)
    opt = piste.KFAC(model, overrides={"0.*": "rest"})
    cross_entropy(model[2:](hidden.detach()), y).backward()
    opt.step()


def test_what_cannot_be_watched_cannot_be_sent_there_and_late_parameters_go_to_the_rest():
    with pytest.raises(ValueError, match=r"'norm.weight'.*leave it to rest="):
        piste.KFAC(Mixed(), overrides={"norm.weight": "main"})
    opt = piste.KFAC(classifier())
    opt.add_param_group({"params": [("late", nn.Parameter(torch.randn(3, 3)))]})
    assert opt.param_groups[-1]["optimizer"] == "AdamW"


def test_rules_without_a_sense_in_front_and_functions_without_a_module_are_refused():
    with pytest.raises(ValueError, match="needs 'row_cov', which no sense of the chain provides"):
        piste.chain(notes(), descend(0.1))
    with pytest.raises(ValueError, match="watches the layers of a module"):
        piste.functional.step(piste.KFAC.chain(), {}, {}, {})


def test_long_sides_are_left_as_they_are():
    model = classifier()
    opt = piste.KFAC(model, max_precond_dim=5)
    plainly(model, opt)
    state = opt.state[model[0].weight]
    assert "R" not in state and state["L"].shape == (5, 5)
    assert opt.state_bytes() == opt.forecast_bytes()
    want, free = classifier(), piste.KFAC(classifier(), max_precond_dim=0, kl_clip=0.0, momentum=0.0)
    assert not any("L" in leaf.state for leaves in free.leaves() for leaf in leaves)
    sgd = piste.SGD(want, lr=0.1)
    plainly(want, sgd)
    bare = classifier()
    plainly(bare, piste.KFAC(bare, max_precond_dim=0, kl_clip=0.0, momentum=0.0))
    torch.testing.assert_close(weights(bare), weights(want))


def test_state_in_the_hosts_memory_makes_the_same_step():
    model, twin = classifier(), classifier()
    opt, plain = piste.KFAC(model, offload=True), piste.KFAC(twin)
    for data in batches(3):
        plainly(model, opt, data)
        plainly(twin, plain, data)
    assert_same(weights(model), weights(twin))
