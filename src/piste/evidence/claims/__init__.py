"""The claims, by what they speak of."""

from . import adaptive as adaptive
from . import codes as codes
from . import constrained as constrained
from . import descent as descent
from . import dynamics as dynamics
from . import geometry as geometry
from . import identities as identities
from . import matrices as matrices
from . import momentum as momentum
from . import noise as noise
from . import schedules as schedules
from . import selftuning as selftuning
from . import shuffling as shuffling
from . import signs as signs
from . import stochastic as stochastic
from . import tails as tails
