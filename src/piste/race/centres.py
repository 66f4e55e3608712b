"""Middles of learning-rate grids, by kind of task."""

from __future__ import annotations

import math
from collections.abc import Mapping

# From pilots of whole runs (docs/admission.md shows losses).
_KINDS = ("general", "lm", "autoencoder", "image", "vit", "tabular")
_DEFAULT = {
    "SGD": (0.1, 0.2, 0.7, 0.4, 0.1, 0.06),
    "AdamW": (3e-3, 5e-3, 6e-3, 4e-3, 8e-3, 3e-3),
    "Lion": (4e-4, 1.4e-3, 5e-4, 1.2e-3, 2.5e-3, 5e-4),
    "Muon": (0.02, 0.15, 0.018, 0.03, 0.015, 7e-3),
    "SOAP": (4e-3, 2e-2, 1.2e-2, 6e-3, 6e-3, 2e-3),
    "ScheduleFreeAdamW": (4e-3, 5e-3, 1.8e-2, 6e-3, 6e-3, 2e-3),
}
# On language alone; on other kinds these are searched around their default rate.
_LANGUAGE = {
    "AdaHessian": 0.7, "ASGO": 0.02, "DistributedShampoo": 7e-3, "PSGDKron": 0.012, "TurboMuon": 0.3,
}  # fmt: skip
# On language (`code`) and an autoencoder (`digits-ae`): runs of a quarter of the steps at rates four apart, and the
# vertex of the parabola through the best three. Of DoG's, D-Adaptation's and Mechanic's kind, which start slowly, some
# runs of full length. On other kinds between the two.
_BOTH = {
    "AdaBelief": (0.07, 0.07), "Adafactor": (0.2, 0.07), "Adagrad": (0.015, 0.03), "AdaGradSN": (10, 1),
    "Adam": (0.007, 0.01), "AdaMax": (0.01, 0.016), "AdamMini": (0.006, 0.004), "AdaMomentum": (0.0015, 0.001),
    "AdamP": (0.007, 0.01), "AdamSN": (0.05, 0.03), "AdamSNSM": (0.05, 0.03), "Adan": (0.007, 0.03),
    "AdEMAMix": (0.007, 0.01), "ADOPT": (0.009, 0.004), "AEGD": (0.4, 1), "AEPG": (0.004, 0.013),
    "AMSGrad": (0.007, 0.01), "Ano": (0.003, 0.002), "Anolog": (0.004, 0.002), "ArmijoSGD": (40, 1300),
    "CAME": (0.0005, 0.0003), "CautiousAdamW": (0.005, 0.01), "CautiousLion": (0.003, 0.002), "ClippedSEG": (0.6, 2),
    "ClippedSGD": (1, 2), "ClippedSSTM": (2, 1.6), "ClipRAdaGradD": (0.7, 0.7), "DAdaptAdam": (0.4, 0.1),
    "DAdaptLion": (0.7, 0.7), "DAdaptSGD": (2, 0.7), "DiffGrad": (0.014, 0.02), "DoG": (1.4, 1.4),
    "ExactMARSAdamW": (0.006, 0.016), "EXAdam": (0.0013, 0.002), "FiraAdamW": (0.007, 0.013),
    "GaLoreAdamW": (0.02, 0.02), "Grams": (0.007, 0.016), "GrassAdamW": (0.016, 0.03), "Gravity": (3, 3),
    "LAMB": (0.05, 0.02), "LaProp": (0.006, 0.005), "LDoG": (1, 1), "LionK": (0.004, 0.005), "LOMO": (0.5, 1.3),
    "LowRankMFAC": (0.016, 0.004), "MARSAdamW": (0.009, 0.024), "MARSLion": (0.003, 0.0016), "MARSM": (0.03, 0.02),
    "MARSShampoo": (0.03, 0.03), "MechanicAdamW": (64, 16), "MechanicLion": (64, 16), "MechanicSGD": (300, 300),
    "MedianSGD": (4, 4), "MicroAdam": (0.03, 0.006), "NAdam": (0.009, 0.004), "NAGGS": (0.9, 7),
    "NormalizedSGD": (0.5, 0.3), "NormalizedSPIDER": (0.3, 0.2), "O2NC": (0.3, 0.14),
    "OnlineSubspaceAdamW": (0.02, 0.02), "OnlineSubspaceLion": (0.004, 0.005), "OptimisticAMSGrad": (0.0024, 0.003),
    "OptimisticMirrorDescent": (3, 2), "OrthogradAdamW": (0.01, 0.008), "OrthogradSGD": (0.3, 2),
    "PolyakSGD": (0.08, 0.5), "Prodigy": (0.5, 0.4), "PSPS": (0.15, 0.5), "PSPSAdaGrad": (0.13, 0.4),
    "PSPSAdam": (0.13, 0.3), "PSPSL1": (0.8, 10), "PSPSL2": (0.8, 10), "QAGD": (0.1, 0.4), "QASGD": (0.04, 0.2),
    "QHAdam": (0.007, 0.005), "QHM": (3, 3), "RAdam": (0.07, 0.07), "RandomlyScaledSGDM": (0.04, 0.016),
    "RMSProp": (0.0015, 0.0013), "SampleMedianSGD": (0.5, 2), "SGDP": (0.5, 2), "Shampoo4bit": (0.006, 0.009),
    "SignSGD": (0.005, 0.01), "Signum": (0.004, 0.0016), "SM3": (0.02, 0.5), "SM3I": (0.04, 0.014),
    "SparseGGT": (0.4, 0.3), "SparseMFAC": (0.014, 0.004), "SPS": (0.8, 1), "StochasticProximalPoint": (0.3, 5),
    "UDoG": (1.4, 1), "Yogi": (0.03, 0.1),
}  # fmt: skip


def centres(name: str, default: float) -> Mapping[str, float]:
    """By kind of task, ``"general"`` for all others; ``default``: where there were no pilots."""
    if name in _DEFAULT:
        return dict(zip(_KINDS, _DEFAULT[name], strict=True))
    if name in _BOTH:
        lm, autoencoder = _BOTH[name]
        return {"general": float(f"{math.sqrt(lm * autoencoder):.2g}"), "lm": lm, "autoencoder": autoencoder}
    return {"general": default} | ({"lm": _LANGUAGE[name]} if name in _LANGUAGE else {})
