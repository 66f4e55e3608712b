"""What a race runs on: a seeded model, data, a loss and an evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn

from .._registry import unknown
from ..memory.mxfp4 import mxfp4

PRECISIONS: dict[str, Callable[[nn.Module, int], nn.Module]] = {
    "": lambda model, seed: model,
    "mxfp4": lambda model, seed: mxfp4(model, seed=seed),
}


@dataclass(frozen=True, eq=False)
class Data:
    """Training and validation tensors; the first axis of each counts examples.

    `digest` identifies the content (by default the SHA-256 of all tensors), `source` says in words where it
    comes from, `baselines` are validation losses of things that need no training.
    """

    train: tuple[Tensor, ...]
    valid: tuple[Tensor, ...]
    source: str = ""
    digest: str = ""
    baselines: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest(*self.train, *self.valid))


@dataclass(frozen=True)
class Task:
    """A training problem for `piste race`.

    `model()` builds the network (the race seeds torch before the call), `data()` returns `Data` and is called
    once per process, `loss(model, *batch)` gives a scalar, `evaluate(model, data)` the number to minimise (by
    default the mean loss over `data.valid`). `kind` picks the entries' learning-rate grids (`"lm"`,
    `"autoencoder"`, or anything else for the general ones). `control = (better, worse)` names two entries
    whose order a sound task must reproduce. `noise` is the deviation between seeds seen in pilots: it lets a
    plan say beforehand which differences it can detect. A `diagnostic` task never enters the leaderboard.
    `precision` is one of `PRECISIONS`: how the model of every entry computes, `""` as it was built.
    """

    name: str
    description: str
    model: Callable[[], nn.Module]
    data: Callable[[], Data]
    loss: Callable[..., Tensor]
    steps: int
    batch: int
    evaluate: Callable[[nn.Module, Data], float] | None = None
    kind: str = "general"
    metric: str = "validation loss"
    control: tuple[str, str] | None = None
    noise: float | None = None
    diagnostic: bool = False
    precision: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"task {self.name!r}: {unknown('precision', self.precision, PRECISIONS)}")
        if self.steps < 1 or self.batch < 1:
            raise ValueError(
                f"task {self.name!r}: steps and batch must be at least 1, not {self.steps} and {self.batch}"
            )


def digest(*tensors: Tensor) -> str:
    """SHA-256 over shapes, dtypes and contents."""
    sha = hashlib.sha256()
    for t in tensors:
        sha.update(f"{tuple(t.shape)}{t.dtype}".encode())
        sha.update(t.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


@lru_cache(maxsize=16)
def load(task: Task) -> Data:
    """The task's data, fetched once per process."""
    return task.data()


def build(task: Task, seed: int) -> nn.Module:
    """The task's model in its precision; equal seeds give equal weights, whatever ran before."""
    torch.manual_seed(seed)
    return PRECISIONS[task.precision](task.model(), seed)


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers of `model`; a tied weight counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def batches(data: Data, batch: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
    """Endless batches: a fresh permutation per epoch, a pure function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    count = len(data.train[0])
    size = min(batch, count)
    while True:
        order = torch.randperm(count, generator=generator)
        for start in range(0, count - size + 1, size):
            rows = order[start : start + size]
            yield tuple(t[rows] for t in data.train)


@torch.no_grad()
def validate(task: Task, model: nn.Module, data: Data) -> float:
    """The task's own evaluation, or the mean loss over the validation set; the mode is put back."""
    was_training = model.training
    model.eval()
    try:
        return float(task.evaluate(model, data)) if task.evaluate else _mean_loss(task, model, data)
    finally:
        model.train(was_training)


def _mean_loss(task: Task, model: nn.Module, data: Data) -> float:
    count, size = len(data.valid[0]), max(task.batch, 256)
    total = 0.0
    for start in range(0, count, size):
        part = tuple(t[start : start + size] for t in data.valid)
        total += float(task.loss(model, *part)) * len(part[0])
    return total / count
