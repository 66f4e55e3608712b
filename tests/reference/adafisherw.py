"""AdaFisherW: AdaFisher with the weight decay outside of the averages, W ← W - η (m̂ / F + weight_decay W).

Source as `adafisher`.
"""

from __future__ import annotations

import functools

from reference import adafisher

CASES = adafisher.CASES
reference = functools.partial(adafisher.reference, decoupled=True)
