"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import attention as attention
from . import codes as codes
from . import collapse as collapse
from . import constrained as constrained
from . import descent as descent
from . import dynamics as dynamics
from . import geometry as geometry
from . import identities as identities
from . import implicit_bias as implicit_bias
from . import kernels as kernels
from . import landscape as landscape
from . import linear_nets as linear_nets
from . import matrices as matrices
from . import noise as noise
from . import schedules as schedules
from . import stability as stability
