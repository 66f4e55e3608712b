"""piste inside other people's training loops: schedules as torch's, averages in Lightning and Hugging Face's Trainer.

`piste.interop.lightning` and `piste.interop.huggingface` import those libraries, and are imported by name only.
"""

from .schedulers import ScheduleLR as ScheduleLR
