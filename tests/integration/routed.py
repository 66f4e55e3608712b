"""What "embeddings and head are not orthogonalized" means, after one training step of three copies of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import piste

REST = {"lr": 3e-4, "betas": (0.9, 0.95), "eps": 1e-10, "weight_decay": 0.0}  # of Muon's authors
LR = 0.02


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone().cpu() for n, p in model.named_parameters()}


def assert_only_hidden_matrices_are_orthogonalized(
    one_step: Callable[[type[piste.Optimizer], Mapping[str, Any]], tuple[Any, dict, dict]],
    hidden: set[str],
    outside: set[str],
) -> None:
    """``one_step(cls, hyper)`` trains a fresh copy for one step: (the optimizer, weights before, weights after).

    ``hidden``: names of all matrices that Muon must take; ``outside``: matrices that it must not, such as embeddings.
    """
    opt, before, after = one_step(piste.Muon, {"lr": LR})
    _, same, plain = one_step(piste.AdamW, REST)
    groups = {n: g["optimizer"] for g in opt.param_groups for n in g["param_names"]}
    assert {n for n, who in groups.items() if who == "Muon"} == hidden
    assert set(groups) == set(before) and outside <= set(before) - hidden
    for name in before:
        assert torch.equal(before[name], same[name])
        if name in hidden:
            s = torch.linalg.svdvals((after[name] - before[name]).double()) / LR
            assert 0.6 < s[0] < 2.5 and s[len(s) // 2] > s[0] / 3, f"{name} was not orthogonalized: {s}"
        else:
            assert torch.equal(after[name], plain[name]), f"{name} did not get AdamW's step"
            assert not torch.equal(after[name], before[name]), f"{name} did not move"
