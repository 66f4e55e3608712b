"""What saves memory around an optimizer: blocks that take turns, adapters, few weights trained of many.

What an optimizer itself keeps in fewer bytes is `storage=`, `offload=`, :func:`piste.release_gradients`, and the
optimizers that run in a subspace.
"""

from .activations import FewBit as FewBit
from .activations import few_bit as few_bit
from .activations import optimal_levels as optimal_levels
from .blocks import Blocks as Blocks
from .blocks import by_layer as by_layer
from .embedding import StableEmbedding as StableEmbedding
from .embedding import plain_embeddings as plain_embeddings
from .freezing import FreezeNet as FreezeNet
from .low_rank import ChainOfLoRA as ChainOfLoRA
from .low_rank import LowRankLinear as LowRankLinear
from .masks import Reduced as Reduced
from .masks import chance as chance
from .masks import magnitude as magnitude
from .masks import snip as snip
from .masks import top as top
from .measure import Bytes as Bytes
from .measure import measure as measure
from .mxfp4 import MXFP4Linear as MXFP4Linear
from .mxfp4 import mxfp4 as mxfp4
from .mxfp4 import rounded as rounded
from .precision import Mismatch as Mismatch
from .precision import cast as cast
from .precision import precision_mismatch as precision_mismatch
from .sparse_delta import SaRA as SaRA
