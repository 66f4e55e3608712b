"""What saves memory around an optimizer: blocks that take turns, adapters, few weights trained of many.

What an optimizer itself keeps in fewer bytes is `storage=`, `offload=`, :func:`piste.release_gradients`, and the
optimizers that run in a subspace.
"""

from .blocks import Blocks as Blocks
from .blocks import by_layer as by_layer
from .freezing import FreezeNet as FreezeNet
from .low_rank import ChainOfLoRA as ChainOfLoRA
from .low_rank import LowRankLinear as LowRankLinear
from .masks import Reduced as Reduced
from .masks import chance as chance
from .masks import magnitude as magnitude
from .masks import snip as snip
from .masks import top as top
from .sparse_delta import SaRA as SaRA
