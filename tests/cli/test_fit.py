"""`piste fit`: what it prints, what it draws, and its errors."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from piste.cli.app import app


def piste(*arguments):
    return CliRunner().invoke(app, ["fit", *(str(a) for a in arguments)])


@pytest.fixture
def runs(tmp_path):
    n = np.geomspace(1e6, 1e9, 16)
    rows = [f"{size:.6g},{1.7 + 400 * size**-0.34:.8f}" for size in n]
    path = tmp_path / "runs.csv"
    path.write_text("N,loss\n" + "\n".join(rows) + "\n\n")
    return path


@pytest.fixture
def two(tmp_path):
    rows = [
        f"{n:.6g},{d:.6g},{1.69 + 406.4 * n**-0.34 + 410.7 * d**-0.28:.8f},later"
        for n in np.geomspace(1e7, 1e10, 6)
        for d in np.geomspace(1e9, 1e12, 6)
    ]
    path = tmp_path / "two.csv"
    path.write_text("params, tokens,loss,note\n" + "\n".join(rows))
    return path


def test_json_holds_parameters_intervals_and_the_checklist(runs):
    done = piste(runs, "--json", "--at", "1e11")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["law"] == "power+floor" and found["points"] == 16
    alpha = found["parameters"]["α"]
    assert alpha["low"] <= alpha["value"] <= alpha["high"] and abs(alpha["value"] - 0.34) < 1e-4
    assert found["foretold"][0]["loss"] == pytest.approx(1.7 + 400 * 1e11**-0.34, rel=1e-5)
    assert {"form", "starts", "held out", "intervals"} <= {item["topic"] for item in found["checklist"]}


def test_the_law_of_chinchilla_takes_two_columns(two):
    done = piste(two, "--law", "chinchilla", "--x", "params", "--x", "tokens", "--at", "1e11,1e12")
    assert done.exit_code == 0, done.output
    for text in ("0.34", "0.28", "N ∝ (N·D)^", "0.4516", "at 1e+11, 1e+12", "held out"):
        assert text in done.output


def test_compute_is_split_in_the_best_way(two):
    done = piste(two, "--law", "chinchilla", "--x", "params", "--x", "tokens", "--flops", "6e21", "--json")
    (best,) = json.loads(done.stdout)["best"]
    assert best["N"] * best["D"] == pytest.approx(1e21)
    loss = {
        c: 1.69 + 406.4 * (c * best["N"]) ** -0.34 + 410.7 * (best["D"] / c) ** -0.28 for c in (0.9, 1, 1.1)
    }
    assert best["loss"] == pytest.approx(loss[1], rel=1e-5) and loss[1] < min(loss[0.9], loss[1.1])
    assert (
        "6e+21 flops: params ="
        in piste(two, "--law", "chinchilla", "--x", "params", "--x", "tokens", "--flops", "6e21").output
    )


@pytest.mark.parametrize("ending", ["html", "png", "svg"])
def test_a_picture_is_written(two, tmp_path, ending):
    out = tmp_path / f"law.{ending}"
    done = piste(two, "--law", "chinchilla", "--x", "params", "--x", "tokens", "--out", out, "--samples", 20)
    assert done.exit_code == 0 and out.stat().st_size > 5000
    if ending == "html":
        page = out.read_text()
        assert "<svg" in page and "Checklist" in page and "<script" not in page and "held out" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--law", "powr"), "chinchilla"),
        (("--x", "n"), "did you mean 'N'"),
        (("--y", "accuracy"), "no column 'accuracy'"),
        (("--law", "chinchilla", "--x", "N"), "give --x 2 times"),
        (("--flops", "1e20"), "nothing to split"),
        (("--at", "big"), "--at big"),
        (("--at", "1e9,1e9"), "give 1 positive number"),
        (("--out", "law.doc"), "ends in none of"),
    ],
)
def test_what_is_asked_wrongly_is_met_with_one_line(runs, arguments, said):
    done = piste(runs, *arguments)
    assert done.exit_code != 0 and said in done.output and "Traceback" not in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("N,loss\n", "too few"),
        ('N,loss\n"' + "1" * 200_000, "not a CSV file"),
        ("N,loss\n1,2\n2,x\n", "line 3: loss is 'x'"),
        ("N,loss\n1,2\n2\n", "line 3: loss is 'empty'"),
        ("N,loss\n0,2\n", "line 2: N is 0"),
        ("N,loss\n1,-2\n", "line 2: loss is -2"),
        ("N,loss\n1,2\n2,1.5\n4,1.2\n", "too few"),
    ],
)
def test_a_bad_file_is_met_with_its_line(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    done = piste(path)
    assert done.exit_code == 1 and said in done.output and str(path) in done.output


def test_without_matplotlib_it_says_what_to_install(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert piste(runs).exit_code == 0
    done = piste(runs, "--out", tmp_path / "law.png")
    assert done.exit_code == 1 and "piste[fit]" in done.output
