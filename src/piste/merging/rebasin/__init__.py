"""Permuting the hidden units of one network so that it lies in another's basin."""

from .matching import match_activations as match_activations
from .matching import match_weights as match_weights
from .matching import merge_many as merge_many
from .straight import match_straight_through as match_straight_through
from .symmetry import Symmetries as Symmetries
from .symmetry import symmetries as symmetries
