"""A Hugging Face Trainer on a tiny random GPT-2: nothing is downloaded, nothing is left behind."""

from __future__ import annotations

import os

import pytest
import torch
from torch.utils.data import Dataset

import piste
from integration.routed import LR, assert_only_hidden_matrices_are_orthogonalized, weights_of

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TRANSFORMERS_VERBOSITY="error")
transformers = pytest.importorskip("transformers")


class Rows(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, i):
        row = torch.randint(0, 32, (8,), generator=torch.Generator().manual_seed(i))
        return {"input_ids": row, "labels": row}


def gpt():
    torch.manual_seed(0)
    size = {"vocab_size": 32, "n_positions": 8, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = transformers.GPT2Config(
        **size, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False
    )
    return transformers.GPT2LMHeadModel(config)


def trainer(model, folder, steps, **how):
    args = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        disable_tqdm=True, save_strategy=how.pop("save", "no"), save_steps=2, logging_steps=1, max_grad_norm=0.0,
        lr_scheduler_type=how.pop("schedule", "constant"), dataloader_pin_memory=False, seed=0,
        gradient_accumulation_steps=how.pop("accumulate", 1),
    )  # fmt: skip
    return transformers.Trainer(model=model, args=args, train_dataset=Rows(), **how)


@pytest.mark.parametrize("name, hyper", [("AdamW", {"lr": 1e-2}), ("Muon", {"lr": LR})])
def test_the_trainer_trains_saves_and_resumes(name, hyper, tmp_path):
    cls = piste.get(name).target

    def new(folder, steps, **how):
        model = gpt()
        return trainer(model, folder, steps, optimizer_cls_and_kwargs=(cls, {"model": model, **hyper}), **how)

    whole = new(tmp_path / "a", 4, save="steps", schedule="linear", accumulate=2)
    whole.train()
    losses = [row["loss"] for row in whole.state.log_history if "loss" in row]
    assert losses[-1] < losses[0]
    assert isinstance(whole.optimizer.optimizer, cls)
    resumed = new(tmp_path / "b", 4, schedule="linear", accumulate=2)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    for (n, p), q in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(p, q), n


def test_an_optimizer_made_beforehand_is_taken(tmp_path):
    model = gpt()
    opt = piste.Muon(model, lr=LR)
    schedule = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.1, 3)
    made = trainer(model, tmp_path, 3, optimizers=(opt, schedule))
    before = weights_of(model)
    made.train()
    for g in opt.param_groups:
        assert g["lr"] == pytest.approx(0.1 * (LR if g["optimizer"] == "Muon" else 3e-4))
    assert not torch.equal(before["transformer.wte.weight"], model.transformer.wte.weight)


def test_its_own_groups_keep_decay_off_norms_and_biases(tmp_path):
    """Without the model, the Trainer hands over two bare groups: those with decay, those without."""
    made = trainer(gpt(), tmp_path, 1, optimizer_cls_and_kwargs=(piste.AdamW, {"lr": 1e-3}))
    made.args.weight_decay = 0.3
    made.train()
    assert [g["weight_decay"] for g in made.optimizer.param_groups] == [0.3, 0.0]


def test_embeddings_and_head_are_not_orthogonalized(tmp_path):
    def one_step(cls, hyper):
        model = gpt()
        before = weights_of(model)
        made = trainer(model, tmp_path, 1, optimizer_cls_and_kwargs=(cls, {"model": model, **hyper}))
        made.train()
        return made.optimizer.optimizer, before, weights_of(model)

    block = "transformer.h.0."
    assert_only_hidden_matrices_are_orthogonalized(
        one_step,
        hidden={block + n + ".weight" for n in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")},
        outside={"transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"},
    )
