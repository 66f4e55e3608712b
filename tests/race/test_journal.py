from __future__ import annotations

import json
import resource

import pytest

from piste.race.errors import RaceError
from piste.race.journal import JournalFile, append_lines, read_lines


def test_a_torn_tail_is_ignored_on_reading_and_cut_before_the_next_append(tmp_path):
    path = tmp_path / "journal.log"
    append_lines(path, [{"a": 1}, {"a": 2}])
    with open(path, "ab") as file:
        file.write(b'{"a": 3, "b"')
    assert read_lines(path) == [{"a": 1}, {"a": 2}]
    append_lines(path, [{"a": 4}])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"a": 2}, {"a": 4}]


def test_a_file_that_is_one_torn_line_longer_than_a_block_becomes_empty(tmp_path):
    path = tmp_path / "journal.log"
    path.write_bytes(b"x" * 10_000)
    append_lines(path, [{"a": 1}])
    assert read_lines(path) == [{"a": 1}]


def test_a_full_disk_leaves_nothing_half_written_and_says_what_to_do(tmp_path):
    path = tmp_path / "journal.log"
    append_lines(path, [{"a": "x" * 100}])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(RaceError, match=r"no space left .*journal.log.*--resume"):
            append_lines(path, [{"a": "y" * 100}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    append_lines(path, [{"a": 1}])
    assert len(read_lines(path)) == 2


def test_the_journal_is_one_optuna_can_read(tmp_path):
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    path = tmp_path / "journal.log"
    ours = JournalStorage(JournalFile(path))  # type: ignore[arg-type]
    study = optuna.create_study(storage=ours, study_name="s")
    with open(path, "ab") as file:
        file.write(b'{"op_code": 4, "wor')
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    theirs = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [t.value for t in theirs.trials] == [t.value for t in study.trials]
