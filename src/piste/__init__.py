"""piste: training neural networks by descent. Every optimizer a few lines of mathematics, one engine for all."""

from . import functional as functional
from . import laws as laws
from . import linalg as linalg
from . import schedules as schedules
from . import transforms as transforms
from ._closure import closure as closure
from ._define import optimizer as optimizer
from ._evaluate import Evaluate as Evaluate
from ._explain import explain as explain
from ._optimizer import Optimizer as Optimizer
from ._registry import Entry as Entry
from ._registry import get as get
from ._registry import registry as registry
from ._release import Release as Release
from ._release import release_gradients as release_gradients
from ._routing import RoutingWarning as RoutingWarning
from ._transform import Chain as Chain
from ._transform import basis as basis
from ._transform import chain as chain
from ._transform import factor as factor
from ._transform import index as index
from ._transform import largest as largest
from ._transform import mean as mean
from ._transform import moment as moment
from ._transform import oracle as oracle
from ._transform import probe as probe
from ._transform import ring as ring
from ._transform import scalar as scalar
from ._transform import search as search
from ._transform import square as square
from ._transform import total as total
from ._transform import transform as transform
from ._transform import weights as weights
from .optimizers import *  # noqa: F403
