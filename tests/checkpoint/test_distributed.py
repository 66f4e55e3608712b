"""torch's distributed checkpoint hands over a state key by key, into the tensors that the optimizer has."""

from __future__ import annotations

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

import piste

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def stepped(storage, steps):
    torch.manual_seed(0)
    net = torch.nn.Linear(128, 128)
    opt = piste.AdamW(net, storage=storage)
    for _ in range(steps):
        for p in net.parameters():
            p.grad = torch.randn_like(p)
        opt.step()
    return net, opt


def carried(folder, saved, own):
    """The optimizer that saved, and one of another storage that has loaded."""
    net, opt = stepped(saved, 3)
    dcp.save({"optimizer": get_optimizer_state_dict(net, opt)}, checkpoint_id=folder, no_dist=True)
    other, theirs = stepped(own, 1)
    state = {"optimizer": get_optimizer_state_dict(other, theirs)}
    dcp.load(state, checkpoint_id=folder, no_dist=True)
    set_optimizer_state_dict(other, theirs, state["optimizer"])
    return opt, theirs


@pytest.mark.parametrize("storage", [None, "8bit", {"moment": "int4"}])
def test_the_same_storage_comes_back(tmp_path, storage):
    opt, theirs = carried(tmp_path, storage, storage)
    for mine, leaf in zip(opt.leaves()[0], theirs.leaves()[0], strict=True):
        assert leaf.state["step"] == 3
        assert torch.equal(mine.read("exp_avg"), leaf.read("exp_avg"))


@pytest.mark.parametrize(
    ("saved", "own", "says"),
    [
        ("8bit", None, "made with storage='8bit', then piste.migrate"),
        ("8bit", {"moment": "int4"}, "Size mismatch"),  # torch's own
        (None, "8bit", "Missing key"),
    ],
)
def test_codes_are_never_taken_for_numbers(tmp_path, saved, own, says):
    with pytest.raises((ValueError, CheckpointException)) as caught:
        carried(tmp_path, saved, own)
    assert says in str(caught.value)
