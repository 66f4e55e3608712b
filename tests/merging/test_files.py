"""Checkpoints on disk: what is read, what is refused, and that a merge leaves all of its result or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from piste import merging


def model(seed: int) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "embed.weight": torch.randn(11, 6, generator=g),
        "block.weight": torch.randn(6, 6, generator=g).to(torch.bfloat16),
        "block.bias": torch.randn(6, generator=g),
        "norm.num_batches_tracked": torch.tensor(seed),
        "empty": torch.zeros(0, 3),
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in (1, 2, 3):
        save_file(model(i), f"{i}.safetensors", metadata={"format": "pt"})
        torch.save(model(i), f"{i}.pt")
        merging.merge("soup", [model(i)], f"folder{i}", shard_bytes=200)
    return tmp_path


@pytest.mark.parametrize(
    "names", [["1.safetensors", "2.safetensors"], ["1.pt", "folder2"], ["folder1", "2.safetensors"]]
)
@pytest.mark.parametrize("out", ["out.safetensors", "out.pt", "out"])
def test_from_disk_as_in_memory(here, names, out):
    want = merging.merge("soup", [model(1), model(2)])
    merging.merge("soup", names, out)
    found = merging.Checkpoint(out)
    assert found.rows.keys() == want.keys()
    for name, t in want.items():
        assert found.read(name).dtype == t.dtype
        assert torch.equal(found.read(name), t)
    assert want["norm.num_batches_tracked"] == 1  # whole numbers are the first model's
    if out == "out.safetensors":
        assert load_file(out).keys() == want.keys()  # the library reads it, too


def test_shards_are_as_hugging_faces(here):
    index = json.loads(Path("folder1/model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(model(1))
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(f"folder1/{file}")[name], model(1)[name])
    assert index["metadata"]["total_size"] == sum(t.numel() * t.element_size() for t in model(1).values())


def test_a_state_dict_inside_a_checkpoint_is_found(here):
    torch.save({"epoch": 3, "state_dict": model(1)}, "lightning.ckpt")
    assert torch.equal(merging.Checkpoint("lightning.ckpt").read("block.bias"), model(1)["block.bias"])


def test_the_dtype_of_the_result_may_be_named(here):
    found = merging.merge("soup", ["1.pt", "2.pt"], dtype="float16")
    assert {t.dtype for t in found.values()} == {torch.float16, torch.int64}


# what is refused ----------------------------------------------------------------------------------------------------


def changed(seed: int, **tensors) -> dict[str, torch.Tensor]:
    return {n: t for n, t in {**model(seed), **tensors}.items() if t is not None}


@pytest.mark.parametrize("other, said", [
    ({"block.bias": torch.zeros(7)}, r"block.bias: \[6\] in 1.pt, \[7\] in model 1"),
    ({"block.bias": torch.zeros(6, dtype=torch.float16)}, "block.bias: float32 in 1.pt, float16 in model 1"),
    ({"block.bias": None}, "block.bias: in 1.pt, not in model 1"),
    ({"head.weight": torch.zeros(2)}, "head.weight: in model 1, not in 1.pt"),
])  # fmt: skip
def test_models_that_do_not_fit(here, other, said):
    with pytest.raises(merging.Mismatch, match=said):
        merging.merge("soup", ["1.pt", changed(2, **other)], "out.safetensors")
    assert not Path("out.safetensors").exists()


def test_every_mismatch_is_listed(here):
    other = changed(2, **{"block.bias": torch.zeros(7), "embed.weight": None, "more": torch.zeros(1)})
    with pytest.raises(merging.Mismatch, match="3 mismatches") as error:
        merging.merge("soup", ["1.pt", other])
    assert all(name in str(error.value) for name in ("block.bias", "embed.weight", "more"))


def test_what_does_not_fit_may_be_kept_or_dropped(here):
    other = changed(2, **{"block.bias": torch.zeros(7), "head.weight": torch.zeros(2)})
    rules = {"block.bias": {"method": "keep"}, "head.*": {"method": "drop"}}
    found = merging.merge("soup", ["1.pt", other], tensors=rules)
    assert torch.equal(found["block.bias"], model(1)["block.bias"])
    assert "head.weight" not in found


def test_tied_weights(here):
    def tied(seed: int):
        m = model(seed)
        return {**m, "head.weight": m["embed.weight"]}

    found = merging.merge("soup", [tied(1), tied(2)])
    assert found["head.weight"].data_ptr() == found["embed.weight"].data_ptr()
    loose = {**model(2), "head.weight": torch.zeros(11, 6)}
    with pytest.raises(merging.Mismatch, match=r"embed.weight and head.weight: tied in model 0 only"):
        merging.merge("soup", [tied(1), loose])


def test_numbers_that_are_not_finite_are_named(here):
    bad = changed(2, **{"block.bias": torch.tensor([1.0, torch.nan, 0, 0, 0, 0])})
    save_file(bad, "bad.safetensors")
    with pytest.raises(ValueError, match=r"block.bias: the result is not finite; bad.safetensors is not"):
        merging.merge("soup", ["1.pt", "bad.safetensors"], "out.safetensors")
    assert sorted(p.name for p in here.iterdir() if "out" in p.name) == []


def test_missing_and_broken_files(here):
    with pytest.raises(FileNotFoundError, match=r"nowhere.safetensors"):
        merging.merge("soup", ["nowhere.safetensors"])
    shards = sorted(Path("folder1").glob("model-*.safetensors"))
    shards[1].unlink()
    with pytest.raises(
        merging.Unreadable, match=f"1 of {len(shards)} shards are missing: '{shards[1].name}'"
    ):
        merging.merge("soup", ["folder1"])
    whole = Path("1.safetensors").read_bytes()
    for text in (whole[:-3], whole[:40], b"", whole + b"x", b"\xff" * 64):
        Path("cut.safetensors").write_bytes(text)
        with pytest.raises(merging.Unreadable, match=r"cut.safetensors: not a whole safetensors file"):
            merging.merge("soup", ["cut.safetensors"])
    Path("cut.pt").write_bytes(Path("1.pt").read_bytes()[:200])
    with pytest.raises(merging.Unreadable, match=r"cut.pt: torch.load"):
        merging.merge("soup", ["cut.pt"])
    torch.save({"a": [1, 2]}, "other.pt")
    with pytest.raises(merging.Unreadable, match="not a state dict"):
        merging.merge("soup", ["other.pt"])
    Path("model.txt").write_text("")
    with pytest.raises(merging.Unreadable, match="name ends in"):
        merging.merge("soup", ["model.txt"])


def test_an_index_cannot_point_elsewhere(here):
    index = Path("folder1/model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"block.bias": "../1.safetensors"}}))
    with pytest.raises(merging.Unreadable, match="outside the folder"):
        merging.Checkpoint("folder1")


def test_nothing_is_overwritten(here):
    Path("out.safetensors").write_text("mine")
    with pytest.raises(FileExistsError, match=r"out.safetensors is there already"):
        merging.merge("soup", ["1.pt", "2.pt"], "out.safetensors")
    assert Path("out.safetensors").read_text() == "mine"
    merging.merge("soup", ["1.pt", "2.pt"], "out.safetensors", overwrite=True)
    assert load_file("out.safetensors")
    with pytest.raises(FileExistsError, match="folder that is there already"):
        merging.merge("soup", ["1.pt", "2.pt"], "folder1", overwrite=True)


SLOW = """
import time, sys
from piste import merging
def slow(name, done, total):
    print(name, flush=True)
    time.sleep(0.2)
merging.merge("soup", ["1.safetensors", "2.safetensors"], sys.argv[1], overwrite=True, shard_bytes=200, on_tensor=slow)
"""


@contextmanager
def merging_slowly(out: str, tensors: int):
    """Another process that is at work on this output, having read so many tensors."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-c", SLOW, out], stdout=subprocess.PIPE, env=env) as running:
        assert running.stdout is not None
        for _ in range(tensors):
            running.stdout.readline()
        yield running


@pytest.mark.parametrize("out", ["out.safetensors", "shards"])
@pytest.mark.parametrize("tensors", [1, 3])
def test_a_killed_merge_leaves_what_was_there(here, out, tensors):
    if out == "out.safetensors":
        Path(out).write_text("before")
    with merging_slowly(out, tensors) as running:
        running.send_signal(signal.SIGKILL)
    assert [p.name for p in here.glob(".*.part")]  # it was at work
    assert Path(out).read_text() == "before" if out == "out.safetensors" else not Path(out).exists()
    merging.merge("soup", ["1.safetensors", "2.safetensors"], out, overwrite=True)
    assert merging.Checkpoint(out).rows.keys() == model(1).keys()
    assert not list(here.glob(".*.part"))  # what was left is gone


def test_two_merges_to_one_place_do_not_meet(here):
    with merging_slowly("out.safetensors", 1) as running:
        merging.merge("soup", ["1.safetensors", "2.safetensors"], "out.safetensors")
        assert running.wait(timeout=60) == 0
    assert merging.Checkpoint("out.safetensors").rows.keys() == model(1).keys()
