"""Checkpoints on disk, tensor by tensor: a file or a folder of files, safetensors or torch's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checkpoint._files import DTYPES
from .writing import Row

INDEX = ("model.safetensors.index.json", "pytorch_model.bin.index.json")  # Hugging Face's sharded folders
ALONE = ("model.safetensors", "pytorch_model.bin")
TORCH = (".bin", ".pt", ".pth", ".ckpt")


class Place(NamedTuple):
    """Where a tensor lies."""

    file: Path
    at: int = -1  # byte; none in torch's files


class Unreadable(ValueError):
    """A file that is not a checkpoint, or not all of one; the message names it and says why."""


class Checkpoint:
    """The tensors of one model. ``tensors``: what there is, by name; ``ties``: names that share their numbers.

    ``path``: a file of safetensors or of torch's, or a folder with one of these or with shards and their index.
    Errors: :class:`Unreadable`; FileNotFoundError.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.name = Path(path), str(path)
        self.rows: dict[str, Row] = {}
        self._places: dict[str, Place] = {}
        self.ties: list[tuple[str, ...]] = []
        self.metadata: dict[str, str] = {}
        self._mapped: dict[Path, dict[str, Tensor]] = {}
        for file, names in _files(self.path).items():
            found = self._opened(file)
            lost = [n for n in names or () if n not in found]
            if lost:
                raise Unreadable(f"{file}: the index has {few(lost)} in it, and they are not there")
            for name in found if names is None else names:
                self.rows[name], self._places[name] = found[name]
        if not self.rows:
            raise Unreadable(f"{self.path}: no tensors in it")

    def read(self, name: str, cut: slice | None = None) -> Tensor:
        """The tensor, or a ``cut`` of its elements as a vector, in memory of its own."""
        place, row = self._places[name], self.rows[name]
        if place.at < 0:
            t = self._mapped[place.file][name]
            return (t if cut is None else t.reshape(-1)[cut]).clone()
        out = torch.empty(row.shape if cut is None else cut.stop - cut.start, dtype=row.dtype)
        if out.numel():
            with open(place.file, "rb", buffering=0) as file:
                file.seek(place.at + (0 if cut is None else cut.start * row.dtype.itemsize))
                rest = out.reshape(-1).view(torch.uint8).numpy().data
                while rest:
                    n = file.readinto(rest)
                    if not n:
                        raise Unreadable(f"{place.file}: it ends within {name!r}; copy it again")
                    rest = rest[n:]
        return out

    def _opened(self, file: Path) -> dict[str, tuple[Row, Place]]:
        if file.suffix == ".safetensors":
            found, metadata = _header(file)
            self.metadata.update(metadata)
            return found
        tensors = self._mapped[file] = _torch_file(file)
        self.ties += tied(tensors)
        return {n: (Row(tuple(t.shape), t.dtype), Place(file)) for n, t in tensors.items()}


def _files(path: Path) -> dict[Path, list[str] | None]:
    """The files of a checkpoint, each with the names that its index wants of it (None: all)."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    if path.is_file():
        if path.suffix not in (".safetensors", *TORCH):
            raise Unreadable(f"{path}: a checkpoint's name ends in .safetensors, {', '.join(TORCH)}")
        return {path: None}
    for name in INDEX:
        if (path / name).exists():
            return _shards(path / name)
    for name in ALONE:
        if (path / name).exists():
            return {path / name: None}
    single = [f for f in sorted(path.iterdir()) if f.suffix == ".safetensors"]
    if len(single) == 1:
        return {single[0]: None}
    raise Unreadable(
        f"{path}: a folder holds one .safetensors file, {' or '.join(ALONE)}, or shards with "
        f"{' or '.join(INDEX)}; {len(single)} .safetensors files are here and no index"
    )


def _shards(index: Path) -> dict[Path, list[str] | None]:
    try:
        where: Mapping[str, str] = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{index}: not an index of shards ({error})") from error
    found: dict[Path, list[str]] = {}
    for name, file in where.items():
        if Path(file).name != file:
            raise Unreadable(f"{index}: {name!r} is said to be in {file!r}, outside the folder")
        found.setdefault(index.parent / file, []).append(name)
    missing = [f.name for f in found if not f.exists()]
    if missing:
        raise Unreadable(f"{index.parent}: {len(missing)} of {len(found)} shards are missing: {few(missing)}")
    return {**found}


def _header(file: Path) -> tuple[dict[str, tuple[Row, Place]], dict[str, str]]:
    """The table of a safetensors file; that it is as long as it says, without a gap, is checked."""
    size = file.stat().st_size
    try:
        with open(file, "rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError(f"its header would be {length} bytes, of {size} in all")
            table = json.loads(opened.read(length))
        metadata = table.pop("__metadata__", {})
        found, end = {}, 0
        for name, row in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
            said, (begin, stop) = Row(tuple(row["shape"]), DTYPES[row["dtype"]]), row["data_offsets"]
            if begin != end or stop - begin != said.bytes:
                raise ValueError(f"{name!r} does not lie where its shape says")
            found[name] = said, Place(file, 8 + length + begin)
            end = stop
        if 8 + length + end != size:
            raise ValueError(f"{8 + length + end} bytes are in its table, {size} in the file")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{file}: not a whole safetensors file ({error}); copy it again") from error
    return found, metadata


def _torch_file(file: Path) -> dict[str, Tensor]:
    """A state dict, mapped and not read. Nothing in it is run."""
    try:
        loaded: Any = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:
        raise Unreadable(
            f"{file}: torch.load(weights_only=True) says: {str(error).splitlines()[0]}"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(t, Tensor) for t in loaded.values()):
        raise Unreadable(f"{file}: not a state dict: save model.state_dict()")
    return dict(loaded)


def tied(tensors: Mapping[str, Tensor]) -> list[tuple[str, ...]]:
    """Names of one and the same memory."""
    shared: dict[tuple[Any, ...], list[str]] = {}
    for name, t in tensors.items():
        if t.numel():
            key = (t.untyped_storage().data_ptr(), t.storage_offset(), t.shape, t.stride())
            shared.setdefault(key, []).append(name)
    return [tuple(names) for names in shared.values() if len(names) > 1]


def few(names: list[str], most: int = 5) -> str:
    shown = ", ".join(repr(n) for n in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def companions(source: object) -> list[Path]:
    """What lies beside the weights in a folder, such as a configuration and a tokenizer."""
    if not isinstance(source, Checkpoint) or not source.path.is_dir():
        return []
    weights = (".safetensors", ".index.json", *TORCH)
    return [f for f in sorted(source.path.iterdir()) if f.is_file() and not f.name.endswith(weights)]
