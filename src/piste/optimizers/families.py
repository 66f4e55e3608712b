"""What kind of method each file here holds: what `piste race --entries family:NAME` runs together."""

from __future__ import annotations

from collections.abc import Mapping

from .._registry import Entry, registry

FAMILIES: Mapping[str, tuple[str, str]] = {
    "adaptive": (
        "Element by element, or by sums: momentum, signs, Adam's house, step sizes found by the run itself, clipping.",
        "adabelief adagrad adam adamomentum adamp adan ademamix adopt aegd ano armijo cautious clipped "
        "clipradagradd dadaptation diffgrad dog exadam grams gravity lamb laprop lion lionk mars mechanic "
        "mediansgd modelbased nadam naggs normalized o2nc optamsgrad optimistic orthograd polyaksgd prodigy "
        "psps qhm quasar radam randomscaling rmsprop sgd signsgd udog yogi",
    ),
    "averaged": ("Steered by an average of its own path.", "lookahead schedulefree"),
    "curvature": (
        "From second derivatives, the Fisher matrix, or what gradients tell of them.",
        "adafisher adahessian conjugate fosi kfac lbfgs levenberg newton oasis polynomial psgd_newton sophia",
    ),
    "matrix": (
        "A matrix as a matrix: factors, roots, orthogonal directions, windows of gradients.",
        "asgo distributedshampoo ggt induced klshampoo mfac muon muons psgd psgd_lra scaledgd scion shampoo soap "
        "steepest trust_region",
    ),
    "memory": (
        "State in few bytes.",
        "adafactor adammini came efcp fira galore grass lomo microadam onlinesubspace shampoo4bit sm3 subsetnorm",
    ),
    "sharpness": ("The slope where the neighbourhood is worst.", "sam"),
}


def family(entry: Entry) -> str:
    """The family of a registered optimizer; "own" for one that is not piste's."""
    package, _, name = entry.module.rpartition(".")
    if package != __package__:
        return "own"
    return next((f for f, (_, files) in FAMILIES.items() if name in files.split()), "own")


def members(name: str) -> list[str]:
    """The optimizers of a family. Errors (KeyError): there is none of that name."""
    if name not in (*FAMILIES, "own"):
        raise KeyError(name)
    return [e.name for e in registry("optimizer") if family(e) == name]
