"""One worker process of a race: `python -m piste.race STORAGE JSONL`, started by `piste.race.run`.

It writes events as JSON lines to the standard output it was given and ends when its standard input closes, so that
it never outlives the race that started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from .errors import RaceError
from .events import event_to_dict
from .planning import plan_from_dict
from .store import load_plan, open_store
from .worker import work


def main(arguments: Sequence[str]) -> int:
    """Work until nothing is left. What a task prints goes to standard error: standard output is for events."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        store = open_store(arguments[0], create=False, jsonl=Path(arguments[1]))
        plan = plan_from_dict(load_plan(store))
        work(plan, store, lambda event: print(json.dumps(event_to_dict(event)), file=events))
    except RaceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
