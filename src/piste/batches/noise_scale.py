"""The batch size beyond which a larger one hardly helps."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .._registry import register


class GradientNoiseScale:
    """B = tr Σ / ‖G‖² from the gradient's length at two batch sizes, averaged over steps.

        ‖G‖² ≈ (B ‖g_B‖² - b ‖g_b‖²) / (B - b),    tr Σ ≈ (‖g_b‖² - ‖g_B‖²) / (1/b - 1/B)

    ``beta`` averages each by itself; the scale is the ratio of the averages, since the average of the ratios is far
    off. With data parallelism b is what a worker sees and ‖g_b‖² the mean over workers, B all of it; with accumulation
    b is a micro-batch. Before clipping.

    Reference: "An Empirical Model of Large-Batch Training", Sam McCandlish, Jared Kaplan, Dario Amodei, OpenAI Dota
    Team, 2018, https://arxiv.org/abs/1812.06162, appendix A
    """

    def __init__(self, beta: float = 0.99) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"GradientNoiseScale: beta must be at least 0 and under 1; got {beta!r}")
        self.beta, self.steps = beta, 0
        self.signal, self.noise = 0.0, 0.0

    def update(self, small: float, small_batch: int, large: float, large_batch: int) -> None:
        """Squared lengths of the gradients of a small and a large batch. Errors: ValueError for sizes that do not
        differ or lengths that are not finite."""
        if not 0 < small_batch < large_batch:
            raise ValueError(
                f"GradientNoiseScale: the batches' sizes must be positive and differ; got {small_batch} and "
                f"{large_batch}"
            )
        if not (math.isfinite(small) and math.isfinite(large)):
            raise ValueError(f"GradientNoiseScale: squared lengths must be finite; got {small} and {large}")
        signal = (large_batch * large - small_batch * small) / (large_batch - small_batch)
        noise = (small - large) / (1 / small_batch - 1 / large_batch)
        self.steps += 1
        self.signal = self.beta * self.signal + (1 - self.beta) * signal
        self.noise = self.beta * self.noise + (1 - self.beta) * noise

    @property
    def value(self) -> float:
        """In samples; infinite where the gradient is lost in the noise, NaN before the first update."""
        if not self.steps:
            return math.nan
        return self.noise / self.signal if self.signal > 0 else math.inf

    def state_dict(self) -> dict[str, float]:
        return {"steps": self.steps, "signal": self.signal, "noise": self.noise}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.steps, self.signal, self.noise = int(state["steps"]), state["signal"], state["noise"]


register("batch", "GradientNoiseScale", GradientNoiseScale)
