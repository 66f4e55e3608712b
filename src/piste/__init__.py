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
from ._migrate import Migration as Migration
from ._migrate import migrate as migrate
from ._optimizer import Optimizer as Optimizer
from ._registry import Entry as Entry
from ._registry import get as get
from ._registry import registry as registry
from ._release import Release as Release
from ._release import release_gradients as release_gradients
from ._routing import RoutingWarning as RoutingWarning
from ._signals import report as report
from ._signals import signal as signal
from ._torch_state import from_torch as from_torch
from ._torch_state import to_torch as to_torch
from ._transform import Chain as Chain
from ._transform import basis as basis
from ._transform import chain as chain
from ._transform import counter as counter
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
from ._transform import sense as sense
from ._transform import square as square
from ._transform import total as total
from ._transform import transform as transform
from ._transform import weights as weights
from .optimizers import *  # noqa: F403


def __getattr__(name: str) -> object:
    if name in ("checkpoint", "cost"):  # on first use: an optimizer alone needs neither their files nor numpy
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'piste' has no attribute {name!r}")
