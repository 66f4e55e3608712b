"""What every test shares: repeatable random numbers, and property tests without a stopwatch."""

from __future__ import annotations

import importlib

import pytest
import torch
from hypothesis import settings

from piste import _registry
from piste.cli.registered import everything

# derandomized: a failing example fails again; no deadline: the first example also pays for warming up
settings.register_profile("piste", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("piste")

everything()  # a module first imported within a test would lose its registrations with that test

torch.set_num_threads(1)  # the tensors of tests are small: a second thread waits more than it works


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers or claims is forgotten after it."""
    claim = importlib.import_module("piste.evidence.claim")  # its package names a function so, too
    monkeypatch.setattr("piste._registry._entries", dict(_registry._entries))
    monkeypatch.setattr(claim, "_claims", dict(claim._claims))
