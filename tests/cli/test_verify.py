"""`piste verify`, and what `piste show` says of the ledger."""

from __future__ import annotations

import json

from click.testing import CliRunner

from piste.cli.app import app
from piste.evidence import ledger

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
    assert done.exit_code == 0 and "1 claims of 1 papers: 1 confirmed." in done.output


def test_an_unknown_name_is_met_with_the_nearest():
    done = piste("verify", "Lyon")
    assert done.exit_code != 0 and "Lion" in done.output


def test_findings_are_written_where_the_ledger_is(monkeypatch, tmp_path):
    monkeypatch.setattr(ledger.write, "__defaults__", (tmp_path / "ledger.json", None))
    monkeypatch.setattr(ledger.read, "__defaults__", (tmp_path / "ledger.json",))
    assert piste("verify", "LAMB", "--write").exit_code == 0
    assert set(json.loads((tmp_path / "ledger.json").read_text())["findings"][0]) >= KEYS | {
        "date",
        "code",
        "torch",
    }


def test_show_prints_the_verdicts():
    done = piste("show", "LAMB")
    assert done.exit_code == 0 and "Evidence" in done.output and "lambs step is a share" in done.output
