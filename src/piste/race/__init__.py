"""`piste race`: which optimizer to use on a problem, found out the way a careful experimenter would.

Importing this is cheap; Optuna and scikit-learn come in when a race is planned.
"""

from __future__ import annotations

from .entries import Entry as Entry
from .entries import entry as entry
from .entries import every as every
from .errors import RaceError as RaceError
from .events import Event as Event
from .planning import Plan as Plan
from .planning import plan as plan
from .protocol import Protocol as Protocol
from .protocol import Trial as Trial
from .results import EntryInfo as EntryInfo
from .results import Record as Record
from .results import Results as Results
from .results import TaskInfo as TaskInfo
from .running import results as results
from .running import resume as resume
from .running import run as run
from .task import Data as Data
from .task import Task as Task
from .tasks import find_task as find_task
