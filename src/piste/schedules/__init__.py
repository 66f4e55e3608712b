"""Schedules: pure functions step → value, for any number that moves (a rate, a decay, a beta, a clip).

    opt.schedules["lr"] = cosine(3e-4, steps=10_000)
    opt.schedules["weight_decay"] = linear(0.1, 0.0, steps=10_000)

The clock ``t`` counts from 0: ``f(0)`` is what the first step uses, ``f(T - 1)`` what the last of T uses,
as with torch's LR schedulers. Past its end a schedule holds its last value. Below, each is written as the
function of ``t`` that it is; calling it with the other arguments gives the schedule. That is a value: it
compares, hashes, prints and pickles by its arguments and knows nothing else, so that resuming takes only
the step count.

A bad number is refused on construction with a ValueError, a bad or missing argument with a TypeError.
"""

from ._schedule import Clock as Clock
from ._schedule import Count as Count
from ._schedule import Schedule as Schedule
from ._schedule import Shape as Shape
from ._schedule import Steps as Steps
from ._schedule import schedule as schedule
from .averages import ema_warmup as ema_warmup
from .averages import share_of_the_past as share_of_the_past
from .budgeted import power as power
from .budgeted import rewarm as rewarm
from .budgeted import uba as uba
from .combining import join as join
from .combining import repeat as repeat
from .combining import scale as scale
from .combining import times as times
from .combining import warmup as warmup
from .decays import constant as constant
from .decays import cosine as cosine
from .decays import exponential as exponential
from .decays import half_life as half_life
from .decays import inverse_sqrt as inverse_sqrt
from .decays import linear as linear
from .decays import piecewise as piecewise
from .decays import points as points
from .decays import polynomial as polynomial
from .draws import drawn_exponentially as drawn_exponentially
from .draws import drawn_uniformly as drawn_uniformly
from .drifting import drifting as drifting
from .moments import chance as chance
from .moments import evenly as evenly
from .moments import every as every
from .refining import read as read
from .refining import refined as refined
from .refining import save as save
from .runs import d2z as d2z
from .runs import one_cycle as one_cycle
from .runs import sgdr as sgdr
from .runs import wsd as wsd
from .shapes import half_cosine as half_cosine
from .shapes import mirrored_cosine as mirrored_cosine
from .shapes import one_minus_sqrt as one_minus_sqrt
from .shapes import one_minus_square as one_minus_square
from .shapes import straight as straight
