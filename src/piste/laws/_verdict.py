"""What a law says of a rule."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Verdict:
    """One law tried on one rule. ``detail`` says what was seen, and where it fails, what to declare instead."""

    rule: str
    law: str
    holds: bool
    detail: str = ""

    def __str__(self) -> str:
        return f"{'ok  ' if self.holds else 'FAIL'} {self.rule}: {self.law}{' - ' + self.detail if self.detail else ''}"


def differs(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the larger of 1 and what was expected."""
    a, b = a.detach(), b.detach()
    scale = max(1.0, float(b.abs().max()) if b.numel() else 1.0)
    return float((a - b).abs().max()) / scale if a.numel() else 0.0
