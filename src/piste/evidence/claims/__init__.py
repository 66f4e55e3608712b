"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import arithmetic as arithmetic
from . import averages as averages
from . import codes as codes
from . import constrained as constrained
from . import descent as descent
from . import dynamics as dynamics
from . import elementwise as elementwise
from . import geometry as geometry
from . import horizons as horizons
from . import identities as identities
from . import kronecker as kronecker
from . import matrices as matrices
from . import noise as noise
from . import orthogonal as orthogonal
from . import races as races
from . import schedules as schedules
from . import secants as secants
from . import protocol as protocol
from . import rankings as rankings
from . import schedules as schedules
from . import votes as votes
