"""Who is measured: each method in every library that has it. Libraries are imported only when asked for."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .workloads import Tensors

Make = Callable[[Tensors], torch.optim.Optimizer]


@dataclass(frozen=True)
class Candidate:
    method: str
    library: str
    variant: str
    make: Make

    @property
    def name(self) -> str:
        return f"{self.method} · {self.library}{' ' + self.variant if self.variant else ''}"

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.library) is not None


def _of(method: str, library: str, variant: str = "", attribute: str = "", **hyper: Any) -> Candidate:
    def make(tensors: Tensors) -> torch.optim.Optimizer:
        where = importlib.import_module("torch.optim" if library == "torch" else library)
        params: Any = tensors.params
        if library == "pytorch_optimizer" and method == "Muon":
            params = [{"params": params, "use_muon": True}]
        if library == "piste" and method == "Muon":
            named = list(zip(tensors.names, params, strict=True))
            params = [{"params": named, "optimizer": attribute or method}]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = getattr(where, attribute or method)(params, **hyper)
        if library == "schedulefree":
            made.train()
        return made

    return Candidate(method, library, variant, make)


_SGD = {"lr": 1e-3, "momentum": 0.9}
_LION = {"lr": 1e-5}
INTERVAL = 10  # steps from one refresh of a preconditioner to the next
_ALL = {"max_precond_dim": 10000}  # every axis has its matrix, as in the peer
CANDIDATES = [
    _of("AdamW", "piste", lr=1e-4),
    _of("AdamW", "piste", "8bit", lr=1e-4, storage="8bit"),
    _of("AdamW", "torch", "fused", lr=1e-4, fused=True),
    _of("AdamW", "torch", "foreach", lr=1e-4, foreach=True),
    _of("AdamW", "heavyball", lr=1e-4),
    _of("SGD", "piste", **_SGD),
    _of("SGD", "torch", "fused", **_SGD, fused=True),
    _of("SGD", "torch", "foreach", **_SGD, foreach=True),
    _of("Lion", "piste", **_LION),
    _of("Lion", "pytorch_optimizer", **_LION),
    _of("ScheduleFreeAdamW", "piste", lr=1e-4),
    _of("ScheduleFreeAdamW", "schedulefree", attribute="AdamWScheduleFree", lr=1e-4),
    _of("ScheduleFreeAdamW", "pytorch_optimizer", lr=1e-4),
    _of("Muon", "piste", lr=1e-3),
    _of("Muon", "piste", "turbo", attribute="TurboMuon", lr=1e-3),
    _of("Muon", "torch", lr=1e-3, weight_decay=0.0),
    _of("Muon", "pytorch_optimizer", lr=1e-3),
    _of("Muon", "heavyball", lr=1e-3),
    _of("SOAP", "piste", precondition_frequency=INTERVAL),
    _of("SOAP", "pytorch_optimizer", precondition_frequency=INTERVAL),
    _of("Shampoo", "piste", precondition_frequency=INTERVAL, **_ALL, lr=1e-3),
    _of("Shampoo", "pytorch_optimizer", preconditioning_compute_steps=INTERVAL),
    _of("PSGDKron", "piste", preconditioner_update_probability=1 / INTERVAL, preconditioner_max_skew=1e4),
    _of("PSGDKron", "pytorch_optimizer", attribute="Kron", pre_conditioner_update_probability=1 / INTERVAL),
]


def candidates(*methods: str, peers: bool = True) -> list[Candidate]:
    """Those of these methods whose library is installed; without peers only piste and torch."""
    return [
        c
        for c in CANDIDATES
        if c.method in methods and (c.library in ("piste", "torch") or (peers and c.installed))
    ]


def named(name: str) -> Candidate:
    """A candidate by its name; any optimizer of piste as ``NAME · piste``, with its defaults."""
    for c in CANDIDATES:
        if c.name == name:
            return c
    method, _, library = name.partition(" · ")
    if library != "piste":
        raise ValueError(f"unknown candidate {name!r}; known: {', '.join(c.name for c in CANDIDATES)}")
    return _of(method, "piste")
