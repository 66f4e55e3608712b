"""Where the slope comes from. Without an oracle in the chain it is what the user's ``backward`` left in ``p.grad``."""

from .backprop import backprop as backprop
from .hutchinson import hutchinson as hutchinson
from .recursive import recursive as recursive
from .sam import sam as sam
