"""`examples/fsdp2_gpt.py` under torchrun on two gloo ranks: interrupted = uninterrupted, bitwise; bytes as forecast."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tiny import assert_same

SCRIPT = Path(__file__).parents[2] / "examples" / "fsdp2_gpt.py"
pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch was built without torch.distributed")


def torchrun(folder, *arguments):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(SCRIPT),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [*command, "--folder", str(folder), *arguments], env=env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def contents(checkpoint, file):
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    dcp_to_torch_save(checkpoint, file)
    return torch.load(file, weights_only=True)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    told = torchrun(whole, "--steps", "4", "--save-every", "2", "--every", "1", "--storage", "8bit")
    held, forecast = re.search(r"([\d,]+) bytes of state, ([\d,]+) as forecast", told).groups()
    assert held == forecast
    losses = [float(x) for x in re.findall(r"loss ([\d.]+)", told)]
    assert len(losses) == 4 and losses[-1] < losses[0]
    shutil.copytree(whole / "step-000002", stopped / "step-000002")
    again = torchrun(stopped, "--steps", "4", "--every", "1", "--storage", "8bit", "--resume")
    assert "from step 2 to 4" in again
    assert [float(x) for x in re.findall(r"loss ([\d.]+)", again)] == losses[2:]
    a, b = (contents(run / "step-000004", tmp_path / f"{run.name}.pt") for run in (whole, stopped))
    assert_same(a, b)
    assert any(name.endswith("momentum_buffer") for name in a["optimizer"]["state"]["blocks.0.up.weight"])
