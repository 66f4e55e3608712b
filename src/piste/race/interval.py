"""An estimate with its bounds: apart from how they are found, which takes scipy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate between its bounds; a bound may be infinite."""

    low: float
    mid: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0
