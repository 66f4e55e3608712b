from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import piste
from piste._registry import KINDS
from piste.cli.app import app


def run(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_list_as_json_gives_every_registered_thing_with_its_six_facts():
    found = json.loads(run("list", "--json").output)
    assert all(list(e) == ["name", "kind", "paper", "module", "summary", "needs"] for e in found)
    assert {e["kind"] for e in found} <= set(KINDS)
    assert {"optimizer", "transform", "schedule", "view", "oracle", "task"} <= {e["kind"] for e in found}
    names = {(e["kind"], e["name"]) for e in found}
    assert len(names) == len(found)
    assert {(e.kind, e.name) for e in piste.registry() if e.module.startswith("piste.")} <= names
    assert ("task", "code") in names
    adamw = next(e for e in found if e["name"] == "AdamW")
    assert "Decoupled Weight Decay Regularization" in adamw["paper"]
    assert adamw["needs"] == []


def test_list_keeps_one_kind():
    found = json.loads(run("list", "--json", "--kind", "schedule").output)
    assert {e["kind"] for e in found} == {"schedule"}
    assert "cosine" in run("list", "--kind", "schedule").output
    assert run("list", "--kind", "optimiser").exit_code == 2


def test_list_in_words_names_everything():
    text = run("list").output
    for entry in piste.registry("optimizer"):
        assert entry.name in text


@pytest.mark.parametrize(
    "entry", [e for e in piste.registry() if e.module.startswith("piste.")], ids=lambda e: e.name
)
def test_show_knows_every_registered_thing(entry):
    result = run("show", entry.name, "--kind", entry.kind)
    assert result.exit_code == 0, result.output
    assert entry.module in result.output
    assert entry.summary.split()[0] in result.output


def test_show_gives_equations_slots_and_hyperparameters():
    text = run("show", "AdamW").output
    for part in (
        "β₁m + (1-β₁)g",
        "arxiv.org/abs/1711.05101",
        "exp_avg_sq",
        "square",
        "m n",
        "weight_decay",
        "0.01",
    ):
        assert part in text
    assert "in_eigenbasis(scale_by_raw_adam)" in run("show", "SOAP").output


def test_show_of_a_transform_tells_its_scope_and_inputs():
    text = run("show", "orthogonalize").output
    assert "scope tensor" in text
    assert "steps" in text


@pytest.mark.parametrize("arguments, hint", [
    (("show", "AdamV"), "did you mean"),
    (("show", "Muonn"), "'Muon'"),
    (("lst",), "list"),
    (("explain", "no-such-file.py"), "does not exist"),
])  # fmt: skip
def test_what_does_not_exist_is_one_clear_line(arguments, hint):
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert hint in result.output
    assert "Traceback" not in result.output


def test_the_module_and_the_command_are_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "piste", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("piste ")


def test_without_the_extra_the_command_says_what_to_install(tmp_path):
    """As in an environment that has no click."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(\"No module named 'click'\", name='click')")
    code = "import sys; sys.path.insert(0, sys.argv.pop()); from piste.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith('pip install "piste[cli]"')
    assert "Traceback" not in done.stderr


def test_commands_start_without_the_race_extras():
    heavy = "optuna", "sklearn", "matplotlib", "scipy"
    code = f"import sys, piste.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_are_listed_and_shown_without_the_extras():
    blocked = "optuna", "sklearn", "matplotlib", "scipy", "jinja2"
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); from piste.cli import main; main()"
    for arguments in (["list"], ["show", "SGD"], ["verify", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_option_is_explained():
    for name in ("list", "show", "explain", "check", "race"):
        text = run(name, "--help").output
        assert "Usage:" in text
        assert len(text.splitlines()) > 5
    assert Path(piste.__file__).with_name("py.typed").exists()
