"""The cases that want four ranks: every other way to cut a tensor up."""

from __future__ import annotations

from sharding.cases import any_mesh, loaded_onto_any_mesh, no_drift, tensor_parallel_under_fsdp
from sharding.given import each, of

LONG = ("AdamW", "LAMB", "Muon", "ScheduleFreeAdamW", "SOAP")

CASES = {
    **each(any_mesh),
    **each(tensor_parallel_under_fsdp),
    **of(LONG, loaded_onto_any_mesh),
    **of(LONG, no_drift),
}
