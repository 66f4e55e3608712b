"""Language modelling on source code that every Python installation carries.

The files are a fixed list of standard-library modules, split by file. Their text changes a little between
Python versions, so a report names its hash, and machines that share a race must agree on it.
"""

from __future__ import annotations

import hashlib
import math
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import RaceError
from ..task import Data, Task
from .bpe import train_encoder
from .gpt import GPT

VOCABULARY = 1024
CONTEXT = 64
VALIDATION_WINDOWS = 128

TRAIN_FILES = """
_pydecimal _strptime argparse ast asyncio/base_events asyncio/events asyncio/locks asyncio/streams asyncio/tasks
base64 bdb calendar cmd codecs collections/__init__ concurrent/futures/_base configparser contextlib copy csv
dataclasses difflib dis doctest email/feedparser email/header email/message enum fileinput fractions functools
gettext gzip heapq html/parser http/client http/server imaplib inspect ipaddress json/decoder json/encoder locale
logging/__init__ logging/handlers mailbox mimetypes multiprocessing/pool ntpath optparse os pdb pickle platform
plistlib pprint pstats random selectors shlex shutil smtplib ssl statistics string subprocess tarfile tempfile
textwrap threading timeit tokenize trace traceback typing unittest/case unittest/mock urllib/request uuid weakref
xml/dom/minidom xmlrpc/client
""".split()  # noqa: SIM905 -- a list of words reads best as words

VALID_FILES = """
asyncio/proactor_events bisect compileall email/charset graphlib http/cookies json/__init__
multiprocessing/shared_memory posixpath queue sched shelve socket unittest/suite urllib/parse warnings webbrowser
xml/etree/ElementTree xmlrpc/server
""".split()  # noqa: SIM905 -- a list of words reads best as words


@cache
def code_data() -> Data:
    """Windows of 65 tokens: training windows start at every token, validation windows are a fixed spread."""
    train_text, valid_text = _read(TRAIN_FILES), _read(VALID_FILES)
    encoder = train_encoder(train_text, VOCABULARY)
    train = torch.tensor(encoder.encode(train_text))
    valid = torch.tensor(encoder.encode(valid_text))
    windows = valid.unfold(0, CONTEXT + 1, CONTEXT)
    spread = torch.linspace(0, len(windows) - 1, VALIDATION_WINDOWS).round().long()
    return Data(
        train=(train.unfold(0, CONTEXT + 1, 1),),
        valid=(windows[spread].clone(),),
        source=f"{len(TRAIN_FILES)} + {len(VALID_FILES)} files of Python's standard library, split by file; "
        f"{len(train):,} training tokens",
        digest=hashlib.sha256((train_text + "\0" + valid_text).encode()).hexdigest(),
        baselines=_baselines(train, windows[spread]),
    )


def next_token_loss(model: nn.Module, window: Tensor) -> Tensor:
    """Mean cross-entropy of each next token, in nats; `window` is [batch, context + 1]."""
    logits = model(window[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())


def code_task(name: str = "code", steps: int = 400) -> Task:
    """Predict the next token of Python source."""
    return Task(
        name=name,
        description="next-token prediction on Python source: GPT, 2 blocks, width 64, RoPE, QK-norm, "
        f"context {CONTEXT}, {VOCABULARY:,} byte-pair tokens",
        model=lambda: GPT(vocabulary=VOCABULARY, width=64, blocks=2, heads=4, context=CONTEXT),
        data=code_data,
        loss=next_token_loss,
        steps=steps,
        batch=16,
        kind="lm",
        metric="validation loss (nats per token)",
        control=("AdamW", "SGD"),
        noise=0.026,
    )


def code_large_task() -> Task:
    """Predict the next token of Python source, with eight times as many tokens in a step."""
    return replace(code_task("code-large", 200), batch=128)


def code_800_task() -> Task:
    """Predict the next token of Python source, twice as long."""
    return code_task("code-800", 800)


def code_1600_task() -> Task:
    """Predict the next token of Python source, four times as long."""
    return code_task("code-1600", 1600)


def _baselines(train: Tensor, windows: Tensor) -> dict[str, float]:
    counts = torch.bincount(train, minlength=VOCABULARY).double() + 1
    unigram = -(counts / counts.sum()).log()[windows[:, 1:]].mean()
    return {"uniform": math.log(VOCABULARY), "unigram": float(unigram)}


def _read(names: Sequence[str]) -> str:
    root = Path(sysconfig.get_path("stdlib"))
    try:
        return "\n".join((root / f"{name}.py").read_text(encoding="utf-8") for name in names)
    except FileNotFoundError as error:
        raise RaceError(
            f"task 'code' reads Python's own sources, and {error.filename} is missing; install the full "
            "standard library (Debian, Ubuntu: apt install python3), or choose other tasks"
        ) from error
