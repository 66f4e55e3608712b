"""Lightning's remarks that are no failures, kept out of tests that turn warnings into errors."""

from __future__ import annotations

import logging

import pytest

LIGHTNING = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*number of training batches.*"),
    pytest.mark.filterwarnings("ignore:.*litmodels.*"),
]
for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.ERROR)
