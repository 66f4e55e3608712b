"""The named optimizers: each a short chain, its equations and its sources."""

from .adam import Adam as Adam
from .adam import AdaMax as AdaMax
from .adam import AdamW as AdamW
from .adam import AMSGrad as AMSGrad
from .lion import Lion as Lion
from .muon import Muon as Muon
