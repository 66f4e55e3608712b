"""Files that know whether they are whole: written through one checksum, read through the same.

Tensors lie in safetensors format: eight bytes of length, a JSON header (name -> dtype, shape, place), the numbers.
"""

from __future__ import annotations

import io
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

CHUNK = 1 << 20  # part of the format; stays in a core's cache between being copied, summed and written
_ROW = 512  # words of eight bytes

DTYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "F16": torch.float16,
    "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Written(NamedTuple):
    """What a manifest says of a file."""

    bytes: int
    sum: str


class Damaged(ValueError):
    """A file that is not what was written; the message names it and says why."""


def fold(chunk: np.ndarray, crc: int) -> int:
    """The checksum so far, with a chunk more.

    A chunk's words of 64 bits are laid out in rows of 512. Every row's and every column's sum modulo 2⁶⁴ goes through
    CRC-32. A change within one word always changes its row's sum, rows that change places change the order of those
    sums, words that change places within a row two columns; and sums are taken at the speed of memory, which a CRC of
    the bytes themselves is not.
    """
    if len(chunk) % (8 * _ROW):
        chunk = np.concatenate([chunk, np.zeros(-len(chunk) % (8 * _ROW), np.uint8)])
    words = chunk.view("<u8").reshape(-1, _ROW)
    crc = zlib.crc32(words.sum(axis=1, dtype=np.uint64).tobytes(), crc)
    return zlib.crc32(words.sum(axis=0, dtype=np.uint64).tobytes(), crc)


def write(path: Path, pieces: Iterable[Any]) -> Written:
    """A new file of these bytes, on the disk when this returns."""
    total, crc = 0, 0
    with open(path, "xb", buffering=0) as file:
        for chunk in _chunks(pieces):
            crc, total = fold(chunk, crc), total + len(chunk)
            rest = chunk.data
            while rest:
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    return Written(total, f"{crc:08x}")


def _chunks(pieces: Iterable[Any]) -> Iterator[np.ndarray]:
    """The bytes in chunks of one size, so that the checksum does not depend on how they came."""
    held, n = np.empty(CHUNK, np.uint8), 0
    for piece in pieces:
        left = np.frombuffer(piece, np.uint8)
        while len(left):
            if n == 0 and len(left) >= CHUNK:  # no copy
                yield left[:CHUNK]
                left = left[CHUNK:]
                continue
            m = min(CHUNK - n, len(left))
            held[n : n + m] = left[:m]
            left, n = left[m:], n + m
            if n == CHUNK:
                yield held
                n = 0
    if n:
        yield held[:n]


def read(path: Path, said: Written) -> Tensor:
    """The file's bytes, mapped. Errors: :class:`Damaged` where they are not those that were written.

    They are read once through a small buffer to be summed: a disk that fails then says so, where under a mapping it
    would end the process. What is mapped afterwards comes from the page cache and is copied once, to where it goes.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != said.bytes:
                raise Damaged(f"{path}: {size} bytes, of {said.bytes} written")
            found = _sum_of(file)
            if found != said.sum:
                raise Damaged(f"{path}: its checksum is {found}, {said.sum} when it was written")
            return torch.from_numpy(np.frombuffer(mmap(file.fileno(), 0, access=ACCESS_COPY), np.uint8))
    except OSError as error:
        raise Damaged(f"{path}: {error.strerror or error}") from error


def _sum_of(file: io.FileIO) -> str:
    held, n, crc = np.empty(CHUNK, np.uint8), 0, 0
    while got := file.readinto(held[n:].data):
        n += got
        if n == CHUNK:
            crc, n = fold(held, crc), 0
    return f"{fold(held[:n], crc) if n else crc:08x}"


# safetensors --------------------------------------------------------------------------------------------------------


def to_safetensors(tensors: Mapping[str, Tensor]) -> Iterator[Any]:
    """The bytes of the file, one tensor at a time. Wide elements come first, so that each is aligned."""
    order = sorted(tensors, key=lambda k: -tensors[k].element_size())
    return _bytes(head({k: (tensors[k].shape, tensors[k].dtype) for k in order}), [tensors[k] for k in order])


def head(
    rows: Mapping[str, tuple[Sequence[int], torch.dtype]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The length and the table of a file of these shapes and dtypes, whose numbers follow in this order."""
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for key, (shape, dtype) in rows.items():
        if dtype not in _NAMES:
            raise TypeError(f"{key}: safetensors has no {dtype}; convert it before saving")
        end = at + math.prod(shape) * dtype.itemsize
        table[key] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(table).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text


def _bytes(table: bytes, tensors: Iterable[Tensor]) -> Iterator[Any]:
    yield table
    for t in tensors:
        if t.numel():
            yield t.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def from_safetensors(whole: Tensor) -> dict[str, Tensor]:
    """The tensors, each a view of the file's bytes."""
    size = int.from_bytes(whole[:8].numpy().tobytes(), "little")
    header = json.loads(whole[8 : 8 + size].numpy().tobytes())
    data, found = whole[8 + size :], {}
    for key, row in header.items():
        begin, end = row["data_offsets"]
        found[key] = data[begin:end].view(DTYPES[row["dtype"]]).reshape(row["shape"])
    return found
