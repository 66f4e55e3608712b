"""A Lightning Trainer, and tools that read a class's signature."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.utils.data import DataLoader

import piste
from integration.quiet import LIGHTNING
from integration.routed import LR, assert_only_hidden_matrices_are_orthogonalized, weights_of
from tiny import assert_same, snapshot, tiny, weights, words

lightning = pytest.importorskip("lightning")
pytestmark = LIGHTNING


class Module(lightning.LightningModule):
    """The tiny model without its spare layer."""

    def __init__(self, make, seed=0):
        super().__init__()
        self.model = tiny(seed)
        del self.model.spare
        self.make = make
        self.losses = []

    def training_step(self, batch, index):
        loss = self.model.loss(batch)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        opt = self.make(self)
        return {
            "optimizer": opt,
            "lr_scheduler": {
                "scheduler": torch.optim.lr_scheduler.ExponentialLR(opt, 0.9),
                "interval": "step",
            },
        }


def fit(module, folder, steps, ckpt_path=None, batch_size=4, **how):
    trainer = lightning.Trainer(
        max_steps=steps, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder, **how,
    )  # fmt: skip
    data = DataLoader(words(0, rows=16), batch_size=batch_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trainer.fit(module, data, ckpt_path=ckpt_path)
    return trainer


MAKERS = {
    "AdamW": lambda m: piste.AdamW(m.parameters(), lr=1e-2),
    "Muon": lambda m: piste.Muon(m, lr=LR),
    "LBFGS": lambda m: piste.LBFGS(m),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_trainer_trains_on_its_own_closures(name, tmp_path):
    module = Module(MAKERS[name])
    trainer = fit(module, tmp_path, 8, gradient_clip_val=None if name == "LBFGS" else 1.0)
    assert isinstance(trainer.optimizers[0], piste.get(name).target)
    assert sum(module.losses[-4:]) < sum(module.losses[:4])  # the last epoch's against the first's
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(
        trainer.optimizers[0].param_groups[0]["initial_lr"] * 0.9**8
    )


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_a_checkpoint_continues_bitwise(name, tmp_path):
    # one batch an epoch: where Lightning resumes inside an epoch is its own affair
    fit(Module(MAKERS[name]), tmp_path, 4, batch_size=16).save_checkpoint(tmp_path / "half.ckpt")
    resumed, whole = Module(MAKERS[name], seed=1), Module(MAKERS[name])
    again = fit(resumed, tmp_path, 8, ckpt_path=tmp_path / "half.ckpt", batch_size=16)
    full = fit(whole, tmp_path, 8, batch_size=16)
    assert_same(weights(whole.model), weights(resumed.model))
    assert_same(snapshot(full.optimizers[0]), snapshot(again.optimizers[0]))


def test_embeddings_and_head_are_not_orthogonalized(tmp_path):
    def one_step(cls, hyper):
        module = Module(lambda m: cls(m, **hyper))
        before = weights_of(module)
        trainer = fit(module, tmp_path, 1)
        return trainer.optimizers[0], before, weights_of(module)

    assert_only_hidden_matrices_are_orthogonalized(
        one_step,
        hidden={"model.inner.weight", "model.outer.weight"},
        outside={"model.table.weight", "model.head.weight"},
    )


@pytest.mark.parametrize("name", ["AdamW", "Muon"])
def test_a_configuration_file_builds_it_from_its_signature(name):
    """What LightningCLI does with a class path and its arguments."""
    pytest.importorskip("jsonargparse")
    from lightning.pytorch.cli import LightningArgumentParser

    cls = piste.get(name).target
    parser = LightningArgumentParser()
    parser.add_optimizer_args(cls)
    given = parser.parse_args(["--optimizer.lr=0.125", "--optimizer.weight_decay=0.25"])
    assert given.optimizer.lr == 0.125
    assert set(given.optimizer.as_dict()) >= set(cls.factory.defaults)
    with pytest.raises(SystemExit):
        parser.parse_args(["--optimizer.learning_rate=1"])
    model = tiny()
    made = cls(model, **given.optimizer.as_dict())
    assert made.param_groups[0]["lr"] == 0.125 and made.param_groups[0]["weight_decay"] == 0.25
