"""The named optimizers: each a short chain, its equations and its sources."""

from .adagrad import Adagrad as Adagrad
from .adam import Adam as Adam
from .adam import AdaMax as AdaMax
from .adam import AdamW as AdamW
from .adam import AMSGrad as AMSGrad
from .armijo import ArmijoSGD as ArmijoSGD
from .asgo import ASGO as ASGO
from .asgo import DASGO as DASGO
from .distributedshampoo import DistributedShampoo as DistributedShampoo
from .lamb import LAMB as LAMB
from .lbfgs import LBFGS as LBFGS
from .lion import Lion as Lion
from .muon import Muon as Muon
from .rmsprop import RMSProp as RMSProp
from .sam import SAM as SAM
from .sam import SAMAdamW as SAMAdamW
from .schedulefree import ScheduleFreeAdamW as ScheduleFreeAdamW
from .schedulefree import ScheduleFreeSGD as ScheduleFreeSGD
from .sgd import SGD as SGD
from .shampoo import Shampoo as Shampoo
from .shampoo4bit import Shampoo4bit as Shampoo4bit
from .soap import SOAP as SOAP
