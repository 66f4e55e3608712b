"""`piste show NAME --model`: bytes before anything is allocated, and the plan of a mesh."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

import piste
from piste.cli.app import app
from piste.cost import plan

MODEL = """
import torch
from torch import nn

def make_model():
    return nn.Sequential(nn.Embedding(512, 64), nn.Linear(64, 192), nn.GELU(), nn.Linear(192, 64), nn.Linear(64, 512))
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return str(path)


def show(*arguments):
    return CliRunner().invoke(app, ["show", *arguments])


def bytes_of(text):
    return [int(n.replace(",", "")) for n in re.findall(r"^([\d,]+) bytes of state", text, re.M)]


@pytest.mark.parametrize("storage", [None, "8bit", "exp_avg_sq=int8,exp_avg=bf16"])
def test_bytes_are_those_of_the_optimizer(model, storage):
    space = {}
    exec(MODEL, space)
    given = dict(p.split("=") for p in storage.split(",")) if storage and "=" in storage else storage
    opt = piste.AdamW(space["make_model"](), storage=given)
    result = show("AdamW", "--model", model, *(["--storage", storage] if storage else []))
    assert result.exit_code == 0, result.output
    assert bytes_of(result.output) == [opt.state_bytes()]
    for word in ("embedding", "hidden", "head", "exp_avg_sq", "gradients"):
        assert word in result.output


def test_a_mesh_shows_the_busiest_rank(model):
    space = {}
    exec(MODEL, space)
    result = show("Muon", "--model", model, "--mesh", "dp=3,tp=2", "--cut", "4.*=none")
    assert result.exit_code == 0, result.output
    planned = plan(piste.Muon(space["make_model"]()), "dp=3,tp=2", {"4.*": None})
    assert bytes_of(result.output)[1] == planned.largest.state_bytes
    assert "6 ranks (dp=3, tp=2)" in result.output
    assert "2 parameters are gathered by every rank" in result.output
    assert "2 parameters go whole to one rank each" in show("Muon", "--model", model, "--mesh", "dp=3").output


def test_nothing_is_allocated(tmp_path):
    path = tmp_path / "large.py"
    path.write_text(
        "from torch import nn\nmodel = nn.Sequential(*(nn.Linear(100_000, 100_000) for _ in range(20)))"
    )
    result = show("AdamW", "--model", str(path), "--mesh", "dp=4096")
    assert result.exit_code == 0, result.output
    assert "TiB" in result.output


def test_a_file_that_needs_its_weights_is_run_with_them(tmp_path):
    path = tmp_path / "scaled.py"
    path.write_text(
        "from torch import nn\nmodel = nn.Linear(4, 4)\nsize = float(model.weight.detach().norm())"
    )
    assert show("AdamW", "--model", str(path)).exit_code == 0


@pytest.mark.parametrize("arguments, says", [
    (("--mesh", "dq=4"), "did you mean 'dp'"),
    (("--mesh", "dp=0"), "needs a whole number of ranks"),
    (("--storage", "8bits"), "did you mean '8bit'"),
    (("--storage", "exp_avg_sw=int8"), "did you mean 'exp_avg_sq'"),
    (("--storage", "exp_avg=int7"), "unknown codec 'int7'"),
    (("--storage", "exp_avg=int8,exp_avg=bf16"), "'exp_avg' twice"),
    (("--mesh", "tp=2", "--cut", "9.*=0"), "'9.*' fits no parameter"),
    (("--mesh", "tp=2", "--cut", "1.weight=left"), "is not PATTERN=AXIS"),
    (("--cut", "1.weight=0"), "give one with --mesh"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(model, arguments, says):
    result = show("AdamW", "--model", model, *arguments)
    assert result.exit_code in (1, 2)
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("option", [("--storage", "8bit"), ("--mesh", "dp=2"), ("--cut", "*=0")])
def test_options_of_a_model_need_one(option):
    result = show("AdamW", *option)
    assert result.exit_code == 2 and "--model FILE.py" in result.output and option[0] in result.output
