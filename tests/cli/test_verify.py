"""`piste verify`, and what `piste show` says of the ledger."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from piste.cli.app import app
from piste.evidence import ledger, many

KEYS = {
    "method", "paper", "statement", "prediction", "seen", "tolerance", "seeds", "seconds", "verdict", "kind", "name",
}  # fmt: skip


def piste(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_json_is_a_list_of_findings():
    done = piste("verify", "lambs_step_is_a_share_of_the_weights_norm", "--json")
    (found,) = json.loads(done.stdout)
    assert done.exit_code == 0 and found.keys() >= KEYS
    assert found["verdict"] == "confirmed" and found["method"] == "LAMB" and found["seeds"] == 4


def test_the_table_counts_verdicts_and_sabotage_is_found_out():
    done = piste("verify", "LAMB", "--sabotage")
    assert done.exit_code == 0 and "2 claims of 1 papers: 2 confirmed." in done.output
    assert "Wrong methods found out: 2 of 2." in done.output


def test_an_unknown_name_is_met_with_the_nearest():
    done = piste("verify", "Lyon")
    assert done.exit_code != 0 and "Lion" in done.output


@pytest.fixture
def own_ledger(monkeypatch, tmp_path):
    """A ledger that nothing is in yet, in the place of the committed one."""
    path = tmp_path / "ledger.json"
    for f, rest in ((ledger.write, (None, None)), (ledger.write_sabotaged, ()), (ledger.read, ())):
        monkeypatch.setattr(f, "__defaults__", (path, *rest))
    return path


def test_findings_are_written_where_the_ledger_is(monkeypatch, own_ledger):
    assert piste("verify", "LAMB", "--write").exit_code == 0
    assert set(json.loads(own_ledger.read_text())["findings"][0]) >= KEYS | {
        "date",
        "code",
        "torch",
    }
    again = piste("verify", "LAMB", "--stale")
    assert again.exit_code == 0 and "0 claims" in again.output
    betrayed = piste("verify", "LAMB", "--stale", "--sabotage", "--write")
    assert "0 claims" in betrayed.output and "found out: 2 of 2." in betrayed.output
    assert all(row["sabotaged"] == row["code"] for row in ledger.read().values())
    assert "found out: 0 of 0." in piste("verify", "LAMB", "--stale", "--sabotage").output
    assert piste("verify", "LAMB", "--write").exit_code == 0  # keeps what is known of the wrong methods
    assert all(row["sabotaged"] == row["code"] for row in ledger.read().values())
    monkeypatch.setattr(ledger, "code_of", lambda claim: "other")
    assert "2 claims" in piste("verify", "LAMB", "--stale").output


def test_a_claim_that_any_method_meets_is_not_noted_as_one_that_can_fail(monkeypatch, own_ledger):
    monkeypatch.setattr(many, "sabotaged", lambda c: "confirmed" if "share" in c.name else "not confirmed")
    done = piste("verify", "LAMB", "--sabotage", "--write")
    assert done.exit_code == 1 and "found out: 1 of 2." in done.output
    assert "was not found out (confirmed)" in done.output
    for name, row in ledger.read().items():
        assert row["sabotaged"] == ("" if "share" in name else row["code"])


def test_show_prints_the_verdicts():
    done = piste("show", "LAMB")
    assert done.exit_code == 0 and "Evidence" in done.output and "lambs step is a share" in done.output


OWN = '''
import torch
from piste.evidence import Problem, at_most, claim, descend, problem


@problem
def bowl(depth=0.0):
    """A round bowl."""
    return Problem("bowl", lambda x: x.square().sum(), torch.ones(2, dtype=torch.float64), depth)


def faster(params, lr):
    return torch.optim.SGD(params, lr=2 * lr)


@claim("SGD", "A Paper", kind="theorem", predicts=at_most(0.01), tolerance=0.0, wrong=faster)
def halves(method, seed):
    """The bowl is solved by one step of the rate 1/L."""
    return descend(bowl(), method, 1, lr=0.5).losses[-1]
'''


def test_a_file_of_claims_is_run_and_its_problems_are_checked(tmp_path, no_trace):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    done = piste("verify", path, "--sabotage")
    assert done.exit_code == 0 and "1 claims of 1 papers: 1 confirmed." in done.output
    path.write_text(OWN.replace("depth=0.0", "depth=0.5"))
    done = piste("verify", path)
    assert done.exit_code == 1 and "'bowl': the minimum is said to be 0.5, and f is" in done.output
    path.write_text(OWN.replace(" tolerance=0.0,", ""))
    done = piste("verify", path)
    assert done.exit_code == 1 and "'halves': a tolerance is needed" in done.output
    assert piste("verify", path, "--write").exit_code == 2
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert "declares no claim" in piste("verify", empty).output
