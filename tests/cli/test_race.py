"""`piste race` on a task that takes milliseconds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from piste.cli.app import app

TASK = """
import torch
from torch import nn
import piste

def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=g)
    y = x @ torch.randn(6, 2, generator=g) + 0.01 * torch.randn(96, 2, generator=g)
    return piste.race.Data((x[:64], y[:64]), (x[64:], y[64:]))

def loss(model, x, y):
    return nn.functional.mse_loss(model(x), y)

task = piste.race.Task("line", "a straight line", lambda: nn.Linear(6, 2), data, loss, steps=6, batch=16)
"""
SMALL = ("--entries", "AdamW, SGD", "--workers", "1")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.py").write_text(TASK)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, ["race", *arguments])


def test_a_race_ends_with_a_leaderboard_and_a_report(here):
    result = run("--task", "line.py", *SMALL)
    assert result.exit_code == 0, result.output
    assert re.search(r"20 runs, about", result.output)
    assert "«does not extrapolate»" in result.output
    assert len(re.findall(r"^line +AdamW +seed \d", result.output, flags=re.MULTILINE)) == 9
    report = Path(result.output.split("report: ")[1].strip())
    assert report.suffix == ".html"
    assert report.with_suffix(".journal").exists()
    assert report.with_suffix(".jsonl").read_text().count("\n") == 20
    assert "piste race" in report.read_text(encoding="utf-8")


def test_a_finished_race_resumes_to_the_same_report(here):
    run("--task", "line.py", *SMALL)
    first = next(here.glob("races/*/race.html")).read_text()
    result = run("--resume", "--workers", "1", "--out", "again/report.html")
    assert result.exit_code == 0, result.output
    assert (here / "again" / "report.html").read_text() == first


def test_a_storage_of_ones_own_keeps_everything_together(here):
    result = run("--task", "line.py", *SMALL, "--storage", "mine.journal")
    assert result.exit_code == 0, result.output
    assert (here / "mine.html").exists()
    assert not (here / "races").exists()
    joined = run("--task", "line.py", *SMALL, "--storage", "mine.journal")
    assert joined.exit_code == 0
    assert "seed 1" not in joined.output  # nothing left to run
    other = run("--task", "line.py", "--entries", "AdamW", "--workers", "1", "--storage", "mine.journal")
    assert other.exit_code == 1
    assert "holds another race" in other.output


def test_a_plan_starts_nothing(here):
    result = run("--task", "line.py", *SMALL, "--plan")
    assert result.exit_code == 0, result.output
    for part in ("2 entries: AdamW, SGD", "14", "20 runs", "deviations", "«does not extrapolate»"):
        assert part in result.output
    assert list(here.iterdir()) == [here / "line.py"]


def test_minutes_fit_the_plan(here):
    result = run("--task", "line.py", *SMALL, "--plan", "--minutes", "3")
    assert result.exit_code == 0
    runs = int(re.search(r"(\d+) runs, about", result.output)[1])
    assert runs > 20  # more seeds and rates, since they fit
    short = run("--task", "line.py", *SMALL, "--plan", "--minutes", "0.001")
    assert short.exit_code == 1
    assert "no plan fits" in short.output


def test_points_are_settings_of_each_entry(here):
    result = run("--task", "line.py", *SMALL, "--plan", "--points", "6")
    assert result.exit_code == 0
    assert "24 runs" in result.output  # 20 with four


@pytest.mark.parametrize("arguments, code, said", [
    (("--task", "cod"), 1, "did you mean 'code'"),
    (("--task", "line.py", "--entries", "AdamV"), 1, "did you mean 'Adam"),
    (("--task", "none.py"), 1, "does not exist"),
    (("--quick", "--full"), 2, "exclude each other"),
    (("--resume",), 1, "no race to resume"),
    (("--resume", "--quick", "--task", "x"), 2, "leave out --quick, --task"),
    (("--resume", "--precision", "mxfp4"), 2, "leave out --precision"),
    (("--precision", "fp5"), 2, "mxfp4"),
    (("--resume", "--storage", "nothing.journal"), 1, "nothing.journal"),
    (("--minutes", "0"), 2, "0"),
    (("--minutes", "1", "--points", "3"), 2, "leave out --points"),
    (("--points", "1"), 2, "x>=2"),
    (("--task", "line.py", "--entries", "SGD", "--storage", "line.py/x.journal"), 1, "line.py/x.journal"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(here, arguments, code, said):
    result = run(*arguments)
    assert result.exit_code == code
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_task_file_that_raises_is_named(here):
    (here / "bad.py").write_text("1 / 0")
    result = run("--task", "bad.py")
    assert result.exit_code == 1
    assert "bad.py" in result.output
    assert "ZeroDivisionError" in result.output


def test_a_report_that_cannot_be_written_says_so(here):
    (here / "wall").write_text("")
    result = run("--task", "line.py", "--entries", "SGD", "--workers", "1", "--out", "wall/report.html")
    assert result.exit_code == 1
    assert "give another --out" in result.output


def test_missing_extras_are_named(here, monkeypatch):
    import piste.cli.race as command

    monkeypatch.setattr(command, "NEEDED", {"no_such_module": "no-such-package"})
    result = run("--plan")
    assert result.exit_code == 1
    assert 'needs no-such-package: pip install "piste[race]"' in result.output


def test_stopping_tells_how_to_go_on(here, monkeypatch):
    import piste.race

    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(piste.race, "run", stop)
    result = run("--task", "line.py", *SMALL)
    assert result.exit_code == 130
    assert "go on with: piste race --resume --storage races/" in result.output


def test_branches_are_raced_shown_and_added_to(here):
    result = run("--branch", "--lengths", "0.5", "--points", "2", "--task", "line.py", *SMALL)
    assert result.exit_code == 0, result.output
    assert "branching does" in result.output and "final loss after so many steps" in result.output
    more = run("--branch", "--resume", "--lengths", "2", "--workers", "1")
    assert more.exit_code == 0, more.output
    assert re.search(r"^entry +3 +6 +12 *$", more.output, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--lengths", "0.5"), "belong to --branch"),
        (("--cooldown", "0.1"), "belong to --branch"),
        (("--branch", "--lengths", "half"), "not a list of numbers"),
        (("--branch", "--lengths", "-1"), "above 0"),
        (("--branch", "--minutes", "1"), "does not fit branches"),
        (("--branch", "--lengths", "0.01"), "leave out that length"),
    ],
)
def test_branches_that_cannot_be_are_refused(here, given, said):
    result = run("--task", "line.py", *SMALL, *given)
    assert result.exit_code != 0 and said in " ".join(result.output.split())
