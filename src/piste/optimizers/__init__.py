"""The named optimizers: each a short chain, its equations and its sources."""

from .adagrad import Adagrad as Adagrad
from .adam import Adam as Adam
from .adam import AdaMax as AdaMax
from .adam import AdamW as AdamW
from .adam import AMSGrad as AMSGrad
from .armijo import ArmijoSGD as ArmijoSGD
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
from .galore import GaLoreAdamW as GaLoreAdamW
from .klshampoo import KLSOAP as KLSOAP
from .klshampoo import KLShampoo as KLShampoo
from .soap import SOAP as SOAP
from .soap import OneSidedSOAP as OneSidedSOAP
from .soap import SOAPAdEMAMix as SOAPAdEMAMix
from .soap import SOAPLion as SOAPLion
