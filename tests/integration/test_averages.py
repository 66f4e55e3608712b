"""Averaged weights where Lightning and Hugging Face evaluate, raw ones where they train."""

from __future__ import annotations

import os
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import piste
from integration.quiet import LIGHTNING
from piste import chain
from piste.transforms import descend, ema_weights

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRANSFORMERS_VERBOSITY="error")
pytestmark = LIGHTNING


@piste.optimizer
def Averaged(lr=0.05, decay=0.8):
    return chain(descend(lr), ema_weights(decay))


X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)


def shown(opt, net) -> torch.Tensor:
    with opt.averaged(net):
        return net.weight.detach().clone()


def test_lightning_validates_with_the_averages(tmp_path):
    lightning = pytest.importorskip("lightning")
    from piste.interop.lightning import AveragedValidation

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net, self.raw, self.seen, self.wanted = nn.Linear(4, 1), [], [], []

        def training_step(self, batch, index):
            return (self.net(batch[0]) - batch[1]).square().mean()

        def on_train_batch_end(self, *rest):
            self.raw.append(self.net.weight.detach().clone())
            self.wanted.append(shown(self.opt, self.net))

        def validation_step(self, batch, index):
            self.seen.append(self.net.weight.detach().clone())

        def configure_optimizers(self):
            self.opt = Averaged(self)
            return self.opt

    def fitted(keep):
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path, num_sanity_val_steps=0,
            callbacks=[AveragedValidation(keep=keep)],
        )  # fmt: skip
        data = DataLoader(TensorDataset(X, Y), batch_size=8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            trainer.fit(module, data, DataLoader(TensorDataset(X, Y), batch_size=32))
        return module

    module = fitted(keep=False)
    assert torch.equal(module.seen[0], module.wanted[3]) and torch.equal(module.seen[1], module.wanted[7])
    assert not torch.equal(module.seen[0], module.raw[3])
    assert torch.equal(module.net.weight.detach(), module.raw[-1])
    kept = fitted(keep=True)
    assert torch.equal(kept.raw[-1], module.raw[-1])
    assert torch.equal(kept.net.weight.detach(), module.wanted[-1])


def test_hugging_face_evaluates_with_the_averages(tmp_path):
    transformers = pytest.importorskip("transformers")
    from piste.interop.huggingface import AveragedEvaluation

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net, self.seen, self.raw = nn.Linear(4, 1), [], []

        def forward(self, x, labels):
            (self.raw if self.training else self.seen).append(self.net.weight.detach().clone())
            out = self.net(x)
            return {"loss": (out - labels).square().mean(), "logits": out}

    class Rows(Dataset):
        def __len__(self):
            return 32

        def __getitem__(self, i):
            return {"x": X[i], "labels": Y[i]}

    def trained(keep):
        net = Net()
        opt = Averaged(net)
        wanted = []

        class Look(transformers.TrainerCallback):
            def on_step_end(self, *rest, **given):
                wanted.append(shown(opt, net.net))

        args = transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=8, per_device_eval_batch_size=32,
            report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no", eval_strategy="steps", eval_steps=3,
            max_grad_norm=0.0, lr_scheduler_type="constant", dataloader_pin_memory=False, seed=0,
        )  # fmt: skip
        transformers.Trainer(
            model=net, args=args, train_dataset=Rows(), eval_dataset=Rows(), optimizers=(opt, None),
            callbacks=[Look(), AveragedEvaluation(keep=keep)],
        ).train()  # fmt: skip
        return net, wanted

    net, wanted = trained(keep=False)
    assert torch.equal(net.seen[0], wanted[2]) and torch.equal(net.seen[1], wanted[5])
    assert not torch.equal(net.raw[3], net.seen[0])  # it trained on from the raw ones
    kept, _ = trained(keep=True)
    assert torch.equal(kept.net.weight.detach(), wanted[-1])
    assert not torch.equal(net.net.weight.detach(), wanted[-1])
