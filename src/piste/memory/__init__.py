"""Training in little memory: what surrounds an optimizer."""

from .activations import FewBit as FewBit
from .activations import few_bit as few_bit
from .activations import optimal_levels as optimal_levels
from .embedding import StableEmbedding as StableEmbedding
from .embedding import plain_embeddings as plain_embeddings
from .measure import Bytes as Bytes
from .measure import measure as measure
from .mxfp4 import MXFP4Linear as MXFP4Linear
from .mxfp4 import mxfp4 as mxfp4
from .mxfp4 import rounded as rounded
from .precision import Mismatch as Mismatch
from .precision import cast as cast
from .precision import precision_mismatch as precision_mismatch
