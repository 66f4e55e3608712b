"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import barriers as barriers
from . import codes as codes
from . import composite as composite
from . import constrained as constrained
from . import descent as descent
from . import dynamics as dynamics
from . import finite_sums as finite_sums
from . import geometry as geometry
from . import identities as identities
from . import limits as limits
from . import matrices as matrices
from . import mirrors as mirrors
from . import noise as noise
from . import regions as regions
from . import sampling as sampling
from . import schedules as schedules
from . import steps as steps
