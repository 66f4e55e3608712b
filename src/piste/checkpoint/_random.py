"""The states of the random generators a training loop draws from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """torch's (CPU and every CUDA device), numpy's and Python's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    kind, keys, *place = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": list(cuda),
        "numpy": (kind, keys, *place),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """The states that :func:`random_state` gave; devices that are not here are passed over."""
    torch.set_rng_state(state["torch"].clone())
    for device, held in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(held.clone(), device)
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
