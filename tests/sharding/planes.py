"""The cases that want four ranks: every other way to cut a tensor up."""

from __future__ import annotations

import functools

from sharding.cases import any_mesh, no_drift, tensor_parallel_under_fsdp
from sharding.given import each

LONG = ("AdamW", "LAMB", "Muon", "ScheduleFreeAdamW", "SOAP")

CASES = {
    **each(any_mesh),
    **each(tensor_parallel_under_fsdp),
    **{f"{name}: no_drift": functools.partial(no_drift, name) for name in LONG},
}
