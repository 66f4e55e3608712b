"""A data loader whose batch size moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class AdaptiveBatchSampler:
    """Batches of indices, of a size that grows when it is told to: ``DataLoader(data, batch_sampler=sampler)``.

        sampler = AdaptiveBatchSampler(len(data), batch=32, most=4096)
        for epoch in range(epochs):
            for x, y in DataLoader(data, batch_sampler=sampler):
                …
                sampler.grow(norm_test(per_sample_gradients(model, loss, x, y), eta=0.5))

    Each epoch is a new order of all samples, drawn from the seed and the epoch alone; the last batch holds what is
    left. A size takes effect with the next batch that is drawn: with workers, those that they have fetched already are
    of the old one. For batches that do not fit into memory at once see :func:`pieces`.

    ``state_dict()`` is that of the batches drawn: with workers, it is ahead of those that were used by their
    prefetching.

    Errors: ValueError for sizes that are not positive, or a ``most`` under ``batch``.
    """

    def __init__(self, samples: int, batch: int, most: int, seed: int = 0) -> None:
        if samples < 1 or batch < 1 or most < batch:
            raise ValueError(
                f"AdaptiveBatchSampler: samples and batch are at least 1, most at least batch; got {samples}, "
                f"{batch}, {most}"
            )
        self.samples, self.batch, self.most, self.seed = samples, batch, most, seed
        self.epoch, self.drawn = 0, 0

    def grow(self, size: float) -> int:
        """At least this size from now on, never less than before and never more than ``most``; the size is returned.
        NaN asks for nothing."""
        if size > self.batch:
            self.batch = min(self.most, self.most if math.isinf(size) else math.ceil(size))
        return self.batch

    def __iter__(self) -> Iterator[list[int]]:
        """The rest of this epoch, then the next begins."""
        generator = torch.Generator().manual_seed(hash((self.seed, self.epoch)) % (1 << 63))
        order = torch.randperm(self.samples, generator=generator).tolist()
        while self.drawn < self.samples:
            begin, self.drawn = self.drawn, min(self.drawn + self.batch, self.samples)
            yield order[begin : self.drawn]
        self.epoch, self.drawn = self.epoch + 1, 0

    def __len__(self) -> int:
        """Batches left in this epoch at the present size."""
        return math.ceil((self.samples - self.drawn) / self.batch)

    def state_dict(self) -> dict[str, int]:
        return {"batch": self.batch, "epoch": self.epoch, "drawn": self.drawn, "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.batch, self.epoch, self.drawn, self.seed = (
            state[k] for k in ("batch", "epoch", "drawn", "seed")
        )


def pieces(batch: Sequence[Tensor], most: int) -> Iterator[tuple[tuple[Any, ...], float]]:
    """A batch in parts of at most ``most`` samples, each with its share of the batch: multiply the mean loss of the
    part by it before ``backward()``, and the gradient is the whole batch's."""
    if most < 1:
        raise ValueError(f"pieces: most is a count of at least 1; got {most}")
    whole = len(batch[0])
    for i in range(0, whole, most):
        part = tuple(t[i : i + most] for t in batch)
        yield part, len(part[0]) / whole
