"""Commands that read a user's Python file: explain, check, show --model."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from piste.cli.app import app

MODEL = """
import torch
from torch import nn

def make_model():
    return nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 50))
"""

RULES = """
from piste import chain, moment, optimizer, transform
from piste.transforms import descend, ema

@transform(exp_avg=moment)
def scale_by_mine(g, exp_avg, *, beta: float = 0.9):
    m = exp_avg.lerp(g, 1 - beta)
    return m.sign(), m

@optimizer
def Mine(lr: float = 1e-3, beta: float = 0.9):
    return chain(scale_by_mine(beta), descend(lr))
"""

WRONG = """
from piste import transform

@transform
def divide_by_mean(u):
    return u / u.abs().mean()
"""


@pytest.fixture
def write(tmp_path):
    def put(text: str, name: str = "mine.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return put


def run(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_explain_prints_who_updates_what(write):
    text = run("explain", write(MODEL)).output
    for part in ("0.weight", "embedding", "1.weight", "hidden", "2.weight", "norm", "head", "Muon", "AdamW"):
        assert part in text
    assert "Lion" in run("explain", write(MODEL), "--optimizer", "Lion").output


def test_show_with_a_model_adds_the_routing_and_the_bytes(write):
    text = run("show", "SOAP", "--model", write(MODEL)).output
    assert "Q_L" in text
    assert "1.weight" in text
    assert "of state" in text
    result = run("show", "cosine", "--model", write(MODEL))
    assert result.exit_code == 2
    assert "cosine is a schedule" in result.output


def test_a_module_named_model_will_do(write):
    path = write("from torch import nn\nmodel = nn.Linear(3, 3)\n")
    assert run("explain", path).exit_code == 0


@pytest.mark.parametrize("text, said", [
    ("x = 1", "defines no model"),
    ("def make_model():\n    return 3", "defines no model"),
    ("def make_model():\n    raise RuntimeError('no luck')", "make_model() failed: no luck"),
    ("import nothing_of_that_name", "line 1: ModuleNotFoundError"),
    ("model = (", "line 1: SyntaxError"),
])  # fmt: skip
def test_a_broken_model_file_is_one_clear_line(write, text, said):
    result = run("explain", write(text))
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output
    assert result.output.count("\n") == 1


def test_explain_suggests_the_nearest_optimizer(write):
    result = run("explain", write(MODEL), "--optimizer", "Muom")
    assert result.exit_code == 1
    assert "did you mean 'Muon'" in result.output


def test_files_may_import_their_neighbours(write):
    write("from torch import nn\nclass Net(nn.Linear): ...\n", "neighbour_of_mine.py")
    assert run("explain", write("from neighbour_of_mine import Net\nmodel = Net(2, 2)")).exit_code == 0


def test_check_runs_the_laws_on_what_the_file_defines(write):
    result = run("check", write(RULES, "sound.py"))
    assert result.exit_code == 0, result.output
    for part in (
        "scale_by_mine",
        "Mine",
        "inputs unchanged",
        "element commutes with cutting",
        "holds",
        "laws hold",
    ):
        assert part in result.output
    assert "ema" not in result.output  # imported, not defined


def test_check_catches_a_wrong_scope_and_ends_with_one(write):
    result = run("check", write(WRONG, "unsound.py"))
    assert result.exit_code == 1
    assert "BROKEN" in result.output
    assert "declare" in result.output


def test_check_of_a_file_without_rules_says_so(write):
    result = run("check", write("x = 1", "empty.py"))
    assert result.exit_code == 1
    assert "nothing to check" in result.output
