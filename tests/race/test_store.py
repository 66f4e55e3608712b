from __future__ import annotations

import errno

import pytest

from piste.race import store as storage
from piste.race.errors import RaceError
from piste.race.journal import read_lines
from piste.race.results import Record


def record(key: str = "t/AdamW/tune/0", loss: float | None = 0.1) -> Record:
    status = "ok" if loss is not None else "diverged"
    return Record(key, "t", "AdamW", "tune", 0.1, 0, 10, status, loss, curve=((1, 0.1 + 0.2),))


@pytest.fixture(params=["journal.log", "sqlite:///{}/race.db"])
def opened(request, tmp_path):
    url = str(tmp_path / request.param) if "://" not in request.param else request.param.format(tmp_path)
    return lambda: storage.open_store(url, jsonl=tmp_path / "race.jsonl")


def test_a_run_is_claimed_once_and_its_record_comes_back_bit_for_bit(opened):
    here, there = opened(), opened()
    trial = storage.claim(here, record().key, {"lr": 0.1})
    assert trial is not None and storage.claim(there, record().key, {"lr": 0.1}) is None
    assert storage.note(here, trial, 5, float("nan")) and storage.note(here, trial, 10, 0.1)
    assert storage.finish(here, trial, record())
    assert storage.records(there) == {record().key: record()}
    assert storage.claim(there, record().key, {"lr": 0.1}) is None
    assert read_lines(here.jsonl)[0]["val_loss"] == 0.1


def test_failures_are_kept_like_any_result(opened):
    here = opened()
    trial = storage.claim(here, record().key, {})
    storage.finish(here, trial, record(loss=None))
    assert storage.records(opened())[record().key].status == "diverged"
    assert storage.claim(opened(), record().key, {}) is None


def test_of_two_claims_at_once_the_first_counts(opened, monkeypatch):
    """Both look before either has written, as two machines on a database server may."""
    here, there = opened(), opened()
    living = storage._living
    blind = iter([{}])
    monkeypatch.setattr(storage, "_living", lambda s: next(blind, None) or living(s))
    first = storage.claim(here, "k", {})
    monkeypatch.setattr(storage, "_living", living)
    blind = iter([{}])
    monkeypatch.setattr(storage, "_living", lambda s: next(blind, None) or living(s))
    assert first is not None and storage.claim(there, "k", {}) is None
    assert living(there)["k"][0] == first


def test_a_run_whose_process_has_ended_is_free_again(opened, monkeypatch):
    here = opened()
    gone = storage.Owner(storage.Owner.here().place, 2**22 + 1, "0")
    with monkeypatch.context() as patch:
        patch.setattr(storage.Owner, "here", classmethod(lambda cls: gone))
        trial = storage.claim(here, "k", {})
    other = opened()
    assert storage.reclaim(other) == ["k"] and storage.reclaim(other) == []
    assert storage.claim(other, "k", {}) is not None
    assert not storage.finish(here, trial, record("k")) and storage.records(other) == {}


def test_a_live_process_keeps_its_run_until_it_gives_up_even_if_it_cannot_say_so(opened, monkeypatch):
    here = opened()
    trial = storage.claim(here, "k", {})
    assert storage.reclaim(opened()) == []
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(type(here.optuna), "set_trial_state_values", lambda *_: raises(full))
        with pytest.raises(RaceError, match="no space left"):
            storage.give_up(here, trial)
    assert storage.reclaim(opened()) == ["k"]


def raises(error: Exception) -> None:
    raise error


def test_elsewhere_only_a_heartbeat_that_stops_frees_a_run(opened, monkeypatch):
    here, other = opened(), opened()
    with monkeypatch.context() as patch:
        patch.setattr(storage.Owner, "here", classmethod(lambda cls: cls("another machine", 1, "0")))
        trial = storage.claim(here, "k", {})
    now = 1000.0
    monkeypatch.setattr(storage.time, "monotonic", lambda: now)
    assert storage.reclaim(other) == []
    now += storage.LEASE - 1
    assert storage.reclaim(other) == []
    storage.beat(here, trial, 1)
    now += 2
    assert storage.reclaim(other) == []
    now += storage.LEASE + 1
    assert storage.reclaim(other) == ["k"]
    assert not storage.beat(here, trial, 2)


def test_a_record_written_before_the_end_came_is_kept(opened, monkeypatch):
    import json

    from piste.race.results import record_to_dict

    here = opened()
    gone = storage.Owner(storage.Owner.here().place, 2**22 + 1, "0")
    with monkeypatch.context() as patch:
        patch.setattr(storage.Owner, "here", classmethod(lambda cls: gone))
        trial = storage.claim(here, "k", {})
    here.optuna.set_trial_user_attr(trial, "record", json.dumps(record_to_dict(record("k"))))
    assert storage.reclaim(here) == [] and storage.records(here) == {"k": record("k")}


def test_a_long_plan_comes_back_and_another_is_refused(opened):
    plan = {"text": "ä" * 100_000}
    half = opened()
    half.optuna.set_study_user_attr(half.study, "plan/0", "killed while it was writ")
    storage.save_plan(opened(), "one", plan)
    storage.save_plan(opened(), "one", plan)
    assert storage.load_plan(opened()) == plan
    with pytest.raises(RaceError, match="holds another race"):
        storage.save_plan(opened(), "two", {})


@pytest.mark.parametrize(
    "url",
    [
        "/proc/nowhere/journal.log",
        "sqlite:////proc/nowhere/race.db",
        "postgresql+nodriver://host/db",
        "nonsense://",
    ],
)
def test_unreachable_storage_is_named_with_a_remedy(url):
    with pytest.raises(RaceError, match=r"cannot be used .*check") as caught:
        storage.open_store(url)
    assert url in str(caught.value)


def test_resuming_nothing_says_so(tmp_path):
    with pytest.raises(RaceError, match="no race"):
        storage.open_store(tmp_path / "none.log", create=False)
    assert not (tmp_path / "none.log").exists()
    storage.open_store(tmp_path / "empty.log")
    with pytest.raises(RaceError, match="no race yet"):
        storage.load_plan(storage.open_store(tmp_path / "empty.log", create=False))
