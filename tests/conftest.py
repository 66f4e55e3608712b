"""What every test shares: repeatable random numbers, and property tests without a stopwatch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

# derandomized: a failing example fails again; no deadline: the first example also pays for warming up
settings.register_profile("piste", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("piste")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
