"""`piste merge`, `piste average`, `piste refine` and `piste show schedule`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import piste
from merging.given import model, three_on_disk
from piste import merging
from piste.averaging import Snapshots
from piste.cli.app import app
from piste.transforms import descend, power_ema


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    three_on_disk()
    return tmp_path


def test_a_merge_by_options(here):
    result = run(
        "merge", "1.safetensors", "2.safetensors", "--method", "ties", "--base", "0.safetensors", "--weights", "1,0.5",
        "--set", "density=0.5", "--keep", "head.*", "--out", "out.safetensors",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "wrote out.safetensors" in result.output
    base, a, b = (model(i) for i in range(3))
    want = merging.merge("ties", [a, b], base=base, weights=[1, 0.5], density=0.5)
    assert torch.equal(load_file("out.safetensors")["a.weight"], want["a.weight"])
    assert torch.equal(load_file("out.safetensors")["head.weight"], base["head.weight"])


def test_a_dry_run_prints_the_plan_and_writes_nothing(here):
    Path("recipe.yaml").write_text(
        "method: soup\nmodels: [1.safetensors, 2.safetensors]\ntensors: {'head.*': {method: keep}}\n"
        "out: out.safetensors\n"
    )
    result = run("merge", "recipe.yaml", "--dry-run")
    assert result.exit_code == 0, result.output
    for part in ("soup", "keep", "a.weight", "head.weight", "0.5 × ", "out.safetensors"):
        assert part in result.output
    assert not Path("out.safetensors").exists()
    assert run("merge", "recipe.yaml").exit_code == 0
    assert Path("out.safetensors").exists()


def test_the_loss_between_two_models(here):
    Path("task.py").write_text("def evaluate(state):\n    return float(state['a.weight'].square().sum())\n")
    result = run(
        "merge", "1.safetensors", "2.safetensors", "--evaluate", "task.py", "--points", "3", "--out", "p.png"
    )
    assert result.exit_code == 0, result.output
    assert "barrier" in result.output and "picture: p.png" in result.output
    assert Path("p.png").stat().st_size > 2000


@pytest.mark.parametrize("arguments, code, said", [
    ((), 2, "give a recipe, or --method and models"),
    (("1.safetensors",), 2, "give a recipe, or --method and models"),
    (("1.safetensors", "--method", "soop"), 1, "did you mean 'soup'"),
    (("1.safetensors", "2.safetensors", "--method", "soup"), 2, "--out says where the result goes"),
    (("1.safetensors", "x.safetensors", "--method", "soup", "--out", "o.pt"), 1, "x.safetensors is not there"),
    (("1.safetensors", "--method", "ties", "--out", "o.pt"), 1, "ties needs base="),
    (("1.safetensors", "2.safetensors", "--method", "soup", "--weights", "1,2", "--out", "o.pt"), 1, "must sum to 1"),
    (("1.safetensors", "--method", "soup", "--set", "density", "--out", "o.pt"), 2, "is not NAME=VALUE"),
    (("recipe.yaml", "--method", "soup"), 2, "a recipe says all but where it goes: leave out --method"),
    (("1.safetensors", "--evaluate", "none.py"), 2, "none.py"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(here, arguments, code, said):
    Path("recipe.yaml").write_text("method: soup\nmodels: [1.safetensors]\n")
    result = run("merge", *arguments)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not Path("o.pt").exists()


@piste.optimizer
def Lengthened(lr=0.1):
    return piste.chain(descend(lr), power_ema())


def test_an_average_chosen_after_the_run(here):
    net = torch.nn.Linear(3, 2)
    opt = Lengthened(net)
    snapshots = Snapshots(opt, net, "run", every=4, dtype=torch.float32)
    for _ in range(12):
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        opt.step()
        snapshots.step()
    result = run("average", "run", "--ema-length", "0.07", "--out", "ema.safetensors")
    assert result.exit_code == 0, result.output
    from piste.averaging import post_hoc

    assert torch.equal(load_file("ema.safetensors")["weight"], post_hoc("run", 0.07)["weight"])
    net.load_state_dict(load_file("ema.safetensors"))
    again = run("average", "run", "--ema-length", "0.07", "--out", "ema.safetensors")
    assert again.exit_code == 1 and "is there already" in again.output
    wrong = run("average", "run", "--ema-length", "0.7", "--out", "x.safetensors")
    assert wrong.exit_code == 1 and "as a share of the run" in wrong.output


def test_the_schedule_of_the_next_run(here):
    Path("log.csv").write_text("step,grad_norm\n" + "\n".join(f"{i},{1 + 5 / (1 + i)}" for i in range(60)))
    result = run("refine", "log.csv", "--peak", "0.01", "--out", "next.json", "--picture", "next.png")
    assert result.exit_code == 0, result.output
    assert "rises to 0.01 at step" in result.output
    made = piste.schedules.read("next.json")
    assert made == piste.schedules.refined([1 + 5 / (1 + i) for i in range(60)], 0.01, 60)
    assert Path("next.png").stat().st_size > 2000
    lines = "\n".join(json.dumps({"grad_norm": 1 + 5 / (1 + i)}) for i in range(60))
    Path("log.jsonl").write_text(lines)
    assert (
        run("refine", "log.jsonl", "--peak", "0.01").output.splitlines()[:10]
        == result.output.splitlines()[:10]
    )


@pytest.mark.parametrize("text, said", [
    ("step,loss\n1,2\n", "no column 'grad_norm'; it has step, loss"),
    ("grad_norm\n1\nnan\n", "that of step 1 is nan"),
    ("grad_norm\n1\nx\n", "row 2: 'x' is not a number"),
])  # fmt: skip
def test_logs_that_cannot_be_used(here, text, said):
    Path("log.csv").write_text(text)
    result = run("refine", "log.csv", "--peak", "0.01")
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())


def test_a_schedule_is_drawn(here):
    result = run("show", "schedule", "warmup(10, cosine(3e-4, 90))", "--steps", "100", "--picture", "s.png")
    assert result.exit_code == 0, result.output
    assert "0.0003 ┤" in result.output and "at most 0.0003" in result.output
    assert Path("s.png").stat().st_size > 2000
    flags = run("show", "schedule", "every(10)")
    assert flags.exit_code == 0 and "█" in flags.output


@pytest.mark.parametrize("text, said", [
    ("cosine(3e-4)", "cosine: missing"),
    ("cosinus(3e-4, 9)", "'cosinus' is not a schedule"),
    ("3e-4", "is a number, not a schedule"),
    ("cosine(", "is not an expression"),
    ("(lambda t: t)", "is not a schedule"),
    ("__import__('os')", "is not a schedule"),
])  # fmt: skip
def test_expressions_that_are_no_schedules(here, text, said):
    result = run("show", "schedule", text)
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.output.split())
    assert run("show", "cosine", text).exit_code == 2
