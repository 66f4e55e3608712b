"""Snapshots of two averages while a run goes on, from which an average of any length is made afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .._chain import Part
from .._registry import register
from .._views import view_part
from ..linalg.profiles import mixture
from ..merging.files import Checkpoint, Unreadable
from ..merging.fitting import wide
from ..merging.writing import Row, replacing, write

if TYPE_CHECKING:
    from .._optimizer import Optimizer

NAME = "snapshot-{:09d}.safetensors"
ENDS = ("short", "long")  # the slots of power_ema; a file's tensors are called END/NAME


class Snapshots:
    """Writes both averages of ``power_ema`` into a folder, every so many steps or whenever asked.

        opt = Mine(model)                            # its chain ends with piste.transforms.power_ema()
        snapshots = Snapshots(opt, model, "run", every=4096)
        …
            opt.step(); snapshots.step()

    The weights of parameters that keep no averages are written as they are, and so are buffers. A file is written whole
    or not at all; one of the same step is replaced, so that a resumed run may write it again. Averages are kept in
    ``dtype``: float16, as the authors do, or what you name.

    Errors: ValueError where no parameter of the model keeps a ``power_ema``, or where one is sharded.
    """

    def __init__(
        self, optimizer: Optimizer, model: nn.Module, folder: str | Path, every: int = 4096,
        dtype: torch.dtype = torch.float16,
    ) -> None:  # fmt: skip
        if every < 1:
            raise ValueError(f"Snapshots: every is a count of steps, at least 1; got {every}")
        self.optimizer, self.model, self.folder = optimizer, model, Path(folder)
        self.every, self.dtype = every, dtype
        self.names = {p: n for n, p in model.named_parameters()}
        kept = [leaf.given for part, leaves in self._parts() for leaf in leaves if leaf.given in self.names]
        if not kept:
            raise ValueError(
                f"Snapshots: {optimizer.factory.name} keeps no power_ema of this model's parameters: end its chain "
                f"with piste.transforms.power_ema()"
            )
        sharded = next((p for p in kept if hasattr(p, "device_mesh")), None)
        if sharded is not None:
            raise ValueError(
                f"Snapshots: {self.names[sharded]} is sharded; write torch.distributed.checkpoint's instead"
            )

    def _parts(self) -> Iterator[tuple[Part, Any]]:
        for chain, leaves in zip(self.optimizer.chains(), self.optimizer.leaves(), strict=True):
            if any(p.transform.name == "power_ema" for p in chain.parts):
                part = view_part(chain, "power_ema")
                assert part is not None
                yield part, leaves

    def step(self) -> Path | None:
        """After an optimizer step: a snapshot each ``every`` of them. The optimizer's own count decides."""
        steps = {int(leaf.state["step"]) for _, leaves in self._parts() for leaf in leaves}
        return self.write() if max(steps) % self.every == 0 else None

    def write(self) -> Path:
        """A snapshot now."""
        found: dict[str, Tensor] = {}
        gammas: dict[str, float] = {}
        time = 0
        with torch.no_grad():
            for part, leaves in self._parts():
                gammas = {end: float(part.hyper[f"gamma_{end}"]) for end in ENDS}
                for leaf in leaves:
                    if leaf.given in self.names:
                        time = max(time, int(leaf.state["step"]))
                        found.update(
                            {f"{e}/{self.names[leaf.given]}": leaf.read(e).to(self.dtype) for e in ENDS}
                        )
            if not time:
                raise ValueError(
                    "Snapshots: the averages begin with the first step: there is nothing to write before"
                )
            for name, t in self.model.state_dict().items():
                found.update({f"{e}/{name}": t for e in ENDS if f"{e}/{name}" not in found})
        rows = {
            n: Row(tuple(t.shape), t.dtype)
            for n, t in sorted(found.items(), key=lambda i: -i[1].element_size())
        }
        path = self.folder / NAME.format(time)
        said = {"piste": json.dumps({"time": time, **{f"gamma_{e}": g for e, g in gammas.items()}})}
        with replacing(path, overwrite=True) as place:
            write(place, rows, ((n, found[n].cpu()) for n in rows), said)
        return path


def post_hoc(
    folder: str | Path, length: float, out: str | Path | None = None, at: int | None = None,
    overwrite: bool = False, on_tensor: Callable[[str, int, int], None] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """The average of this ``length`` (a standard deviation, as a share of the run so far) at the step ``at`` (the last
    snapshot's), from a folder of :class:`Snapshots`. Written to ``out``, or returned.

    A weighted sum of all snapshots until then whose profile is nearest to the wanted one; its error falls with the
    fourth power of how many there are. Tensor by tensor, in float32.

    Errors: FileNotFoundError where there are no snapshots; ValueError for a length out of range, a time before the
    first snapshot, or snapshots of different models.

    Reference: "Analyzing and Improving the Training Dynamics of Diffusion Models", Tero Karras, Miika Aittala, Jaakko
    Lehtinen, Janne Hellsten, Timo Aila, Samuli Laine, 2023, https://arxiv.org/abs/2312.02696, section 3.2
    """
    files = sorted(Path(folder).glob("snapshot-*.safetensors"))
    if not files:
        raise FileNotFoundError(
            f"{folder}: no snapshots there; piste.averaging.Snapshots writes them while a run goes on"
        )
    found = [(Checkpoint(f), _said(f)) for f in files]
    end = at if at is not None else max(said["time"] for _, said in found)
    found = [(c, said) for c, said in found if said["time"] <= end]
    if not found or end < 1:
        raise ValueError(f"{folder}: no snapshot at step {end} or before; the first is {files[0].name}")
    first = found[0][0].rows
    for c, _ in found:
        odd = sorted(n for n in {**first, **c.rows} if first.get(n) != c.rows.get(n))
        if odd:
            raise ValueError(f"{c.name} is of another model than {found[0][0].name}: {', '.join(odd[:5])}")
    profiles = [(said[f"gamma_{e}"], float(said["time"])) for _, said in found for e in ENDS]
    shares = mixture(profiles, length, float(end)).tolist()
    names = [n.removeprefix("short/") for n in first if n.startswith("short/")]
    rows = {n: Row(first[f"short/{n}"].shape, wide(first[f"short/{n}"].dtype)) for n in names}
    total, done = sum(r.bytes for r in rows.values()), 0

    def tensors() -> Iterator[tuple[str, Tensor]]:
        nonlocal done
        for name, row in rows.items():
            parts = (c.read(f"{e}/{name}") for c, _ in found for e in ENDS)
            yield name, _sum(parts, shares, row)
            done += row.bytes
            if on_tensor is not None:
                on_tensor(name, done, total)

    if out is None:
        return dict(tensors())
    with replacing(Path(out), overwrite) as place:
        write(place, rows, tensors(), {"format": "pt", "ema_length": str(length), "step": str(end)})
    return {}


def _sum(parts: Iterator[Tensor], shares: list[float], row: Row) -> Tensor:
    """Numbers that are no averages are those of the last snapshot."""
    if not row.dtype.is_floating_point:
        return [*parts][-1]
    total = torch.zeros(row.shape, dtype=row.dtype)
    for part, share in zip(parts, shares, strict=True):
        total.add_(part.to(row.dtype), alpha=share)
    return total


def _said(file: Path) -> Mapping[str, Any]:
    try:
        return json.loads(Checkpoint(file).metadata["piste"])
    except (KeyError, ValueError) as error:
        raise Unreadable(f"{file}: not a snapshot of piste.averaging.Snapshots ({error})") from error


register("average", "Snapshots", Snapshots)
register("average", "post_hoc", post_hoc)
