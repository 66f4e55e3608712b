"""Averages in Lightning."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from lightning.pytorch.callbacks import Callback  # pyright: ignore[reportMissingImports]

from ._shared import keep, ours


class AveragedValidation(Callback):
    """Validates and tests with the averaged weights of piste's optimizers, and trains on with the raw ones.

        Trainer(callbacks=[AveragedValidation()])

    ``view``: which average, where a chain keeps several. ``batches``: loaders to re-estimate BatchNorm with. ``keep``:
    the averaged weights are those that the module is left with after ``fit``. Both are in every checkpoint: the raw
    ones in the module's state, the averages in the optimizer's.
    """

    def __init__(
        self, view: str | None = None, batches: Iterable[Any] | None = None, keep: bool = False
    ) -> None:
        self.view, self.batches, self.keep = view, batches, keep
        self._shown = ExitStack()

    def _show(self, trainer: Any, module: Any) -> None:
        for optimizer in ours(trainer.optimizers):
            self._shown.enter_context(optimizer.averaged(module, view=self.view, batches=self.batches))

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._show(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._shown.close()

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        if not self.keep:
            self._show(trainer, pl_module)

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._shown.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._shown.close()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        if self.keep:
            for optimizer in ours(trainer.optimizers):
                keep(optimizer, pl_module, self.view, self.batches)
