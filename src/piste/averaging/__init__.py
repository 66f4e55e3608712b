"""Averages that need more than the optimizer sees: validation losses, snapshots on disk, several copies of a layer.

Those that need no more are transforms, and :meth:`piste.Optimizer.averaged` shows them: ``ema_weights``, ``swa``,
``latest_weights``, ``power_ema``, ``switch_ema``, ``lookahead``, ``schedule_free``, ``primal_averaging``.
"""

from .aggregation import DeepCombination as DeepCombination
from .magnitude import MPConv as MPConv
from .magnitude import MPFourier as MPFourier
from .magnitude import MPLinear as MPLinear
from .magnitude import mp_cat as mp_cat
from .magnitude import mp_silu as mp_silu
from .magnitude import mp_sum as mp_sum
from .magnitude import normalize as normalize
from .snapshots import Snapshots as Snapshots
from .snapshots import post_hoc as post_hoc
from .valley import SWAD as SWAD
