"""Save and load: resume is exact, the newest whole one is taken, and no interruption loses anything."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from piste import checkpoint
from piste.checkpoint import _files, _folder
from piste.schedules import cosine
from tiny import assert_same, every_optimizer, make, refused, snapshot, tiny, train, weights


def steps(folder):
    return [step for step, _ in _folder.listed(Path(folder))]


def test_nothing_there_is_none(tmp_path):
    assert checkpoint.load(tmp_path / "nowhere", model=tiny()) is None
    assert checkpoint.load(tmp_path) is None


@every_optimizer
def test_a_run_resumes_as_if_it_had_never_stopped(name, tmp_path):
    whole = tiny()
    opt = make(name, whole)
    train(whole, opt, 3)
    checkpoint.save(tmp_path, step=3, model=whole, optimizer=opt)
    train(whole, opt, 3, 3)
    resumed = tiny(seed=1)
    again = make(name, resumed)
    found = checkpoint.load(tmp_path, model=resumed, optimizer=again)
    assert found is not None and found.step == 3 and found.extra == {}
    train(resumed, again, 3, 3)
    assert_same(weights(whole), weights(resumed))
    assert_same(snapshot(opt), snapshot(again))


def test_bf16_torch_optimizers_schedulers_and_scalers(tmp_path):
    def fresh(seed, scale=512.0):
        model = tiny(seed, torch.bfloat16)
        opt = torch.optim.AdamW(model.parameters(), lr=1e-2)
        sched = torch.optim.lr_scheduler.MultiStepLR(opt, [2, 4])
        return model, opt, sched, torch.amp.GradScaler("cpu", init_scale=scale)

    model, opt, sched, scaler = fresh(0)
    train(model, opt, 3), sched.step(), sched.step()
    checkpoint.save(tmp_path, step=3, model=model, optimizer=opt, scheduler=sched, scaler=scaler)
    twin, other, sched2, scaler2 = fresh(1, 2.0)
    checkpoint.load(tmp_path, model=twin, optimizer=other, scheduler=sched2, scaler=scaler2)
    assert_same(sched.state_dict(), sched2.state_dict())
    assert isinstance(sched2.state_dict()["milestones"], Counter)
    assert scaler2.get_scale() == 512.0
    assert_same(opt.state_dict(), other.state_dict())
    train(model, opt, 2, 3), train(twin, other, 2, 3)
    assert_same(weights(model), weights(twin))


def test_schedules_continue_by_the_clock_in_the_groups(tmp_path):
    model, twin = tiny(), tiny(seed=1)
    opt, other = make("AdamW", model), make("AdamW", twin)
    opt.schedules["lr"] = other.schedules["lr"] = cosine(1e-2, 8)
    train(model, opt, 4)
    checkpoint.save(tmp_path, step=4, model=model, optimizer=opt)
    train(model, opt, 4, 4)
    checkpoint.load(tmp_path, model=twin, optimizer=other)
    train(twin, other, 4, 4)
    assert_same(weights(model), weights(twin))


def test_extra_comes_back_with_memory_of_its_own(tmp_path):
    given = {"epoch": 3, "best": (0.5, None), "ema": {"w": torch.randn(2)}, "ids": np.arange(4)}
    path = checkpoint.save(tmp_path, step=7, model={"w": torch.ones(3)}, **given)
    found = checkpoint.load(tmp_path)
    assert found is not None and found.step == 7 and found.path == path
    assert np.array_equal(found.extra.pop("ids"), given.pop("ids"))
    assert_same(found.extra, {"model": {"w": torch.ones(3)}, **given})
    assert found.extra["ema"]["w"].untyped_storage().nbytes() == 8
    target = {"w": torch.zeros(3)}
    held = target["w"]
    checkpoint.load(tmp_path, model=target)
    assert held is target["w"] and torch.equal(held, torch.ones(3))


def test_loaded_state_is_not_the_file_s_memory(tmp_path):
    model = tiny()
    opt = torch.optim.AdamW(model.parameters())
    train(model, opt, 1)
    checkpoint.save(tmp_path, step=1, model=model, optimizer=opt)
    checkpoint.load(tmp_path, model=model, optimizer=opt)
    held = next(iter(opt.state.values()))["exp_avg"]
    assert held.untyped_storage().nbytes() == held.numel() * 4


def test_random_states_are_set_again_if_they_were_asked_for(tmp_path):
    def draw():
        return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()

    checkpoint.save(tmp_path, step=1, rng=True)
    first = draw()
    other = draw()
    checkpoint.load(tmp_path, rng=False)
    assert draw() not in (first, other)
    checkpoint.load(tmp_path)
    assert draw() == first
    checkpoint.save(tmp_path, step=2)
    checkpoint.load(tmp_path)
    assert draw() == other


def test_the_last_k_are_kept_and_the_newest_is_the_one_saved_last(tmp_path):
    for step in (10, 20, 30, 40):
        checkpoint.save(tmp_path, step=step, keep=3, x=step)
    assert steps(tmp_path) == [40, 30, 20]
    assert checkpoint.load(tmp_path, step=20).extra == {"x": 20}
    checkpoint.save(tmp_path, step=25, keep=3, x=25)  # a run that went back
    checkpoint.save(tmp_path, step=25, keep=3, x="again")
    assert steps(tmp_path) == [25, 25, 40]
    assert checkpoint.load(tmp_path).extra == {"x": "again"}
    with pytest.raises(KeyError, match="no checkpoint of step 20; it has 25, 25, 40"):
        checkpoint.load(tmp_path, step=20)


def test_names_that_wrappers_put_in_front_do_not_matter(tmp_path):
    model, twin = tiny(), nn.Module()
    twin.module = tiny(seed=1)
    checkpoint.save(tmp_path, step=0, model=model)
    checkpoint.load(tmp_path, model=twin)
    assert_same(weights(model), weights(twin.module))


# misfits ------------------------------------------------------------------------------------------------------------


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    with pytest.raises(TypeError, match=r"sampler \(a function\)"):
        checkpoint.save(tmp_path / "new", step=0, sampler=lambda: 0)
    assert not (tmp_path / "new").exists()
    for bad in ({"step": -1}, {"step": 0, "keep": 0}):
        with pytest.raises(ValueError, match="step must not be negative and keep at least 1"):
            checkpoint.save(tmp_path, **bad)


def test_a_model_or_optimizer_that_does_not_fit_changes_nothing(tmp_path):
    model = tiny()
    opt = make("AdamW", model)
    train(model, opt, 2)
    checkpoint.save(tmp_path, step=2, model=model, optimizer=opt)
    twin = tiny(seed=1)
    other, lion = make("AdamW", twin), make("Lion", twin)
    twin.head = nn.Linear(8, 12)
    twin.extra = nn.Linear(2, 2)
    names = ["extra.weight", "head.weight: shape (11, 8), not (12, 8)", "nothing was loaded"]
    refused(other, lambda: checkpoint.load(tmp_path, model=twin, optimizer=other), ValueError, *names)
    twin = tiny(seed=1)
    before = weights(twin)
    refused(lion, lambda: checkpoint.load(tmp_path, model=twin, optimizer=lion), ValueError, "saved by AdamW")
    assert_same(before, weights(twin))
    with pytest.raises(KeyError, match="holds no 'scheduler', only model, optimizer"):
        checkpoint.load(tmp_path, model=twin, scheduler=object())
    assert_same(before, weights(twin))
    checkpoint.save(tmp_path, step=3, epoch=1)
    with pytest.raises(TypeError, match=r"take it from \.extra\['epoch'\]"):
        checkpoint.load(tmp_path, epoch=0)


# damage -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path):
    """Two checkpoints, and the files of the newer one."""
    for step in (1, 2):
        checkpoint.save(tmp_path, step=step, x=torch.full((5,), float(step)), note="η")
    newest = _folder.listed(tmp_path)[0][1]
    return tmp_path, sorted(newest.iterdir())


def assert_falls_back(folder, file):
    with pytest.warns(checkpoint.CheckpointWarning, match=f"passed over: .*{file.name}"):
        found = checkpoint.load(folder)
    assert found.step == 1 and torch.equal(found.extra["x"], torch.ones(5))


def test_every_truncation_and_every_changed_byte_falls_back(two):
    folder, files = two
    for file in files:
        whole = file.read_bytes()
        for n in range(len(whole)):
            file.write_bytes(whole[:n])
            assert_falls_back(folder, file)
            file.write_bytes(whole[:n] + bytes([whole[n] ^ (1 << n % 8)]) + whole[n + 1 :])
            assert_falls_back(folder, file)
        file.write_bytes(whole + b"\0")
        assert_falls_back(folder, file)
        file.unlink()
        assert_falls_back(folder, file)
        file.write_bytes(whole)
    assert checkpoint.load(folder).step == 2


def test_when_none_is_whole_all_reasons_are_given(two):
    folder, _ = two
    for _, path in _folder.listed(folder):
        shutil.rmtree(path / "rank-00000.safetensors", ignore_errors=True)
        (path / "rank-00000.safetensors").write_bytes(b"")
    with (
        pytest.warns(checkpoint.CheckpointWarning),
        pytest.raises(checkpoint.Damaged, match=r"000002-step-2.*0 bytes.*000001-step-1.*0 bytes"),
    ):
        checkpoint.load(folder)


def test_a_damaged_one_does_not_count_among_those_kept(two):
    folder, files = two
    files[-1].write_bytes(b"")
    checkpoint.save(folder, step=3, keep=2)
    assert steps(folder) == [3, 2, 1]
    checkpoint.save(folder, step=4, keep=2)
    assert steps(folder) == [4, 3]


def test_a_newer_format_is_passed_over_by_name(two):
    folder, files = two
    file = next(f for f in files if f.name == _folder.MANIFEST)
    said = json.loads(file.read_bytes())
    said.pop("sum")
    file.write_bytes(_folder._signed({**said, "format": 99}))
    with pytest.warns(checkpoint.CheckpointWarning, match="format 99, and this piste reads 1"):
        assert checkpoint.load(folder).step == 1


# interruption -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here: nothing behind it runs."""


def test_killed_at_every_operation_the_checkpoint_before_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "CHUNK", 4096)
    checkpoint.save(tmp_path, step=1, x=torch.ones(5000))
    count, limit = 0, 0

    def dies(real):
        def act(*args, **kwargs):
            nonlocal count
            count += 1
            if count > limit:
                raise Killed
            return real(*args, **kwargs)

        return act

    for name in ("fsync", "rename", "open"):
        monkeypatch.setattr(os, name, dies(getattr(os, name)))
    monkeypatch.setattr(_files, "fold", dies(_files.fold))  # before each piece is written
    outcomes = []
    for many in range(100):
        count, limit = 0, many
        try:
            checkpoint.save(tmp_path, step=2, keep=100, x=torch.full((5000,), 2.0))
            break
        except Killed:
            count = -1000
            found = checkpoint.load(tmp_path)
            assert torch.equal(found.extra["x"], torch.full((5000,), float(found.step)))
            outcomes.append(found.step)
    assert outcomes == sorted(outcomes) and {*outcomes} == {1, 2}  # old until the rename, new after it
    assert len(outcomes) > 10
    assert not list(tmp_path.glob(".writing-*")), "a later save clears what was left"


SAVER = """
import sys, torch
from piste import checkpoint
torch.set_num_threads(1)
for step in range(int(sys.argv[2]), 1000000):
    x = torch.full((300_000,), float(step))
    checkpoint.save(sys.argv[1], step=step, model={"w": x, "b": x[:3] + 1}, keep=2)
    print(step, flush=True)
"""


def test_kill_9_loses_nothing(tmp_path):
    draw, reached = random.Random(0), -1
    for _ in range(3):
        command = [sys.executable, "-c", SAVER, str(tmp_path), str(reached + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            said = [int(run.stdout.readline())]
            time.sleep(draw.uniform(0.0, 0.06))
            run.send_signal(signal.SIGKILL)
            said += [int(line) for line in run.stdout.read().splitlines()]
        found = checkpoint.load(tmp_path)
        assert found is not None and found.step in (
            said[-1],
            said[-1] + 1,
        )  # the last one named may have a successor
        reached = found.step
        w, b = found.extra["model"]["w"], found.extra["model"]["b"]
        assert torch.equal(w, torch.full((300_000,), float(reached))) and torch.equal(b, w[:3] + 1)


FULL = """
import resource, sys, torch
from piste import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    checkpoint.save(sys.argv[1], step=2, x=torch.zeros(100_000))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_full_disk_leaves_the_others_as_they_were(tmp_path):
    checkpoint.save(tmp_path, step=1, x=1)
    out = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), "300000"], capture_output=True, text=True, check=True
    ).stdout
    assert "checkpoint of step 2 not saved" in out and "untouched" in out
    assert [p.name for p in tmp_path.iterdir()] == ["000001-step-1"]
    assert checkpoint.load(tmp_path).extra == {"x": 1}
