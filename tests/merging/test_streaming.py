"""Merging piece by piece: the same numbers, little memory, what goes wrong in a thread is heard."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from merging.given import model
from piste import merging
from piste.merging import streaming
from piste.merging.streaming import ahead, cuts

ELEMENTWISE = {
    "soup": {},
    "wise_ft": {"base": model(0)},
    "task_arithmetic": {"base": model(0)},
    "ties": {"base": model(0), "density": 0.4},
    "fisher": {"statistics": [{k: v.abs() for k, v in model(s).items()} for s in (7, 8)]},
    "gradient_matching": {
        "base": model(0),
        "statistics": [{k: v.abs() for k, v in model(s).items()} for s in (7, 8)],
        "base_statistics": {k: v.abs() for k, v in model(9).items()},
    },
}


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("out", [None, "out.safetensors", "folder"])
def test_pieces_of_any_size_give_the_same(name, out, tmp_path, monkeypatch):
    models = [model(1)] if name == "wise_ft" else [model(1), model(2)]
    whole = merging.merge(name, models, **ELEMENTWISE[name])
    monkeypatch.setattr(streaming, "PIECE", 5)
    if out is None:
        found = merging.merge(name, models, **ELEMENTWISE[name])
    else:
        merging.merge(name, models, tmp_path / out, shard_bytes=40, **ELEMENTWISE[name])
        on_disk = merging.Checkpoint(tmp_path / out)
        found = {n: on_disk.read(n) for n in on_disk.rows}
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[n], t) for n, t in whole.items())


@pytest.mark.parametrize("kept", ["1.pt", "1.safetensors"])
def test_a_cut_is_read_from_its_place(kept, tmp_path):
    merging.merge("soup", [model(1)], tmp_path / kept)
    on_disk = merging.Checkpoint(tmp_path / kept)
    for name, t in model(1).items():
        assert torch.equal(on_disk.read(name, slice(1, 4)), t.flatten()[1:4])


def test_every_element_is_in_one_piece(monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 4)
    assert [len(range(10)[c]) for c in cuts(10)] == [4, 4, 2]
    assert cuts(8) == [slice(0, 4), slice(4, 8)] and cuts(0) == [slice(0, 0)]


def test_one_item_is_made_ahead_and_no_more():
    made: list[int] = []

    def count():
        for i in range(4):
            made.append(i)
            yield i

    for i, item in enumerate(ahead(count())):
        time.sleep(0.02)  # whoever runs ahead has the time to
        assert item == i and len(made) == min(i + 2, 4)


def test_what_goes_wrong_in_the_thread_is_raised_and_the_thread_ends():
    def broken():
        yield 1
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        list(ahead(broken()))
    before = threading.active_count()
    for _ in ahead(iter(range(100))):
        break
    assert threading.active_count() <= before + 1
