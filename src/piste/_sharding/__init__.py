"""Where the parts of a tensor live. The only package that may name torch.distributed.

A parameter is either whole here or a DTensor (FSDP2, HSDP, tensor parallelism, and their products). The rest of the
engine works on the part that lives here, a plain tensor, and knows a few verbs: ``whole`` gathers, ``put_back`` keeps
this rank's part of a whole result, ``totals`` completes numbers that every rank has summed over its part, ``indices``
tells which elements of the whole live here; ``collect`` makes tensors whole at one rank each, their owners, and
``hand_out`` sends everyone's parts back.
"""

from .owners import Owner as Owner
from .owners import collect as collect
from .owners import hand_out as hand_out
from .owners import home as home
from .owners import owner as owner
from .owners import show as show
from .owners import waves as waves
from .places import Place as Place
from .places import agreed as agreed
from .places import aligned as aligned
from .places import combined as combined
from .places import copies as copies
from .places import everywhere as everywhere
from .places import fill as fill
from .places import indices as indices
from .places import largest as largest
from .places import local as local
from .places import mean_over_ranks as mean_over_ranks
from .places import number as number
from .places import over_ranks as over_ranks
from .places import place as place
from .places import put_back as put_back
from .places import reduce as reduce
from .places import replicas as replicas
from .places import totals as totals
from .places import whole as whole
from .places import wrap as wrap
