"""Averages in Hugging Face's Trainer."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]

from ._shared import keep, ours


class AveragedEvaluation(TrainerCallback):
    """Evaluates with the averaged weights of a piste optimizer, and trains on with the raw ones.

        Trainer(model, args, optimizers=(opt, None), callbacks=[AveragedEvaluation()])

    ``view``: which average, where a chain keeps several. ``keep``: the averaged weights are those that the model is
    left with after ``train``. What the Trainer evaluates by itself is seen with the averages; calls of ``evaluate()``
    of your own go inside ``with opt.averaged(model):``.
    """

    def __init__(self, view: str | None = None, keep: bool = False) -> None:
        self.view, self.keep = view, keep
        self._shown = ExitStack()

    def _show(self, control: Any, optimizer: Any, model: Any) -> None:
        if control.should_evaluate:
            for mine in ours([optimizer]):
                self._shown.enter_context(mine.averaged(model, view=self.view))

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._show(control, given["optimizer"], given["model"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._show(control, given["optimizer"], given["model"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._shown.close()

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._shown.close()
        if self.keep:
            for mine in ours([given["optimizer"]]):
                keep(mine, given["model"], self.view, None)
