"""From numbers to a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .claim import Claim

CONFIDENCE = 0.99
CONFIRMED, NOT_CONFIRMED, INCONCLUSIVE = "confirmed", "not confirmed", "inconclusive"
NEEDS_HARDWARE, ERROR = "needs hardware", "error"
VERDICTS = (CONFIRMED, NOT_CONFIRMED, INCONCLUSIVE, NEEDS_HARDWARE, ERROR)


@dataclass(frozen=True)
class Finding:
    """What a claim came to: one row of the ledger."""

    name: str
    method: str
    paper: str
    kind: str
    statement: str
    prediction: str
    tolerance: float
    seen: float | None
    low: float | None
    high: float | None
    seeds: int
    seconds: float
    verdict: str
    scale: str = ""
    note: str = ""
    cost: str = "quick"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def interval(values: Sequence[float], in_mean: bool = True) -> tuple[float, float, float]:
    """(low, mean, high): Student's 99 % interval of the mean (of equal numbers, or of one, the number itself); else,
    where every instance counts, the least and the largest."""
    x = np.asarray(values, dtype=float)
    mid = float(x.mean())
    if not in_mean:
        return float(x.min()), mid, float(x.max())
    if not math.isfinite(mid) or len(x) == 1 or np.ptp(x) == 0:
        return mid, mid, mid
    from scipy import stats  # here: `piste list` imports this package without the extra that brings scipy

    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
    return mid - half, mid, mid + half


def judge(claim: Claim, values: Sequence[float]) -> str:
    """Confirmed where the interval lies wholly within the prediction widened by the tolerance, not confirmed where it
    lies wholly outside (a number that is not finite does), inconclusive between. A claim of every instance is not
    confirmed as soon as one falls outside."""
    low, mid, high = interval(values, claim.in_mean)
    least, most = claim.prediction.low - claim.tolerance, claim.prediction.high + claim.tolerance
    if not math.isfinite(mid):
        return NOT_CONFIRMED
    if least <= low and high <= most:
        return CONFIRMED
    outside = high < least or low > most or not claim.in_mean
    return NOT_CONFIRMED if outside else INCONCLUSIVE
