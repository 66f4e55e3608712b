"""A race that never ran, with known truth: final losses are drawn around chosen means."""

from __future__ import annotations

import math

import numpy as np

from piste.race.results import EntryInfo, Record, Results, TaskInfo

MEANS = {
    "code": {"SGD": 4.95, "AdamW": 4.41, "Lion": 4.43, "Muon": 4.21, "SOAP": 4.22, "ScheduleFreeAdamW": 4.40},
    "digits-ae": {
        "SGD": 0.101,
        "AdamW": 0.085,
        "Lion": 0.083,
        "Muon": 0.042,
        "SOAP": 0.038,
        "ScheduleFreeAdamW": 0.079,
    },
}
NOISE = {"code": 0.015, "digits-ae": 0.003}
START = {"code": 6.93, "digits-ae": 0.98}
HORIZONS = {"code": {0.5: 4.62, 2.0: 4.25}, "digits-ae": {0.5: 0.098, 2.0: 0.071}}
STEPS = {"code": 400, "digits-ae": 800}
CENTRES = {"SGD": 0.15, "AdamW": 6e-3, "Lion": 7e-4, "Muon": 0.04, "SOAP": 6e-3, "ScheduleFreeAdamW": 1e-2}
RATES = {name: tuple(lr * 2.0**k for k in (-1.5, -0.5, 0.5, 1.5)) for name, lr in CENTRES.items()}


def results(
    seeds: int = 3, noise: float = 1.0, entries: tuple[str, ...] | None = None, seed: int = 0
) -> Results:
    """A finished race of six entries on two tasks; `noise` scales the deviation between seeds."""
    rng = np.random.default_rng(seed)
    names = entries or tuple(MEANS["code"])
    records = []
    for task, means in MEANS.items():
        spread = noise * NOISE[task]
        for name in names:
            records += [_tune(task, name, i, lr, means[name]) for i, lr in enumerate(RATES[name])]
            for s in range(1, seeds + 1):
                records.append(_run(task, name, "final", s, means[name] + spread * rng.normal()))
        for horizon, mean in HORIZONS[task].items():
            for s in range(1, seeds + 1):
                loss = mean + spread * rng.normal()
                records.append(_run(task, "AdamW", "horizon", s, loss, horizon))
    return Results(
        records=tuple(records),
        tasks={t: _task(t) for t in MEANS},
        entries={n: EntryInfo(n, f"{n} in one sentence.", "5% warm-up, then cosine to zero") for n in names},
        environment={"date": "2026-11-22T12:00:00+00:00", "torch": "2.13.0", "cores": 2},
        protocol={"mode": "default", "points": 4, "seeds": seeds, "reference": "AdamW", "threads": 1},
        routing={t: {n: f"0.weight  hidden matrix  {n}\n0.bias  bias  {n}" for n in names} for t in MEANS},
        planned=len(records),
    )


def failed(record: Record, error: str = "loss is NaN at step 37") -> Record:
    """The same run, diverged early."""
    from dataclasses import replace

    return replace(record, status="diverged", val_loss=None, curve=record.curve[:2], error=error)


def _tune(task: str, name: str, choice: int, lr: float, mean: float) -> Record:
    best = 1.5 if name != "Lion" else 3.0
    loss = mean * (1 + 0.03 * (choice - best) ** 2)
    return _run(task, name, "tune", 0, loss, lr=lr, choice=choice)


def _run(
    task: str,
    name: str,
    phase: str,
    seed: int,
    loss: float,
    horizon: float = 1.0,
    lr: float | None = None,
    choice: int = 0,
) -> Record:
    steps = round(STEPS[task] * horizon)
    points = [round(steps * i / 10) for i in range(11)]
    curve = tuple((s, loss + (START[task] - loss) * math.exp(-7 * s / steps)) for s in points)
    return Record(
        key=f"{task}/{name}/{phase}-{horizon:g}/{choice}/{seed}",
        task=task,
        entry=name,
        phase=phase,  # type: ignore[arg-type]
        lr=lr or RATES[name][1 if name != "Lion" else 3],
        seed=seed,
        steps=steps,
        status="ok",
        val_loss=float(loss),
        horizon=horizon,
        curve=curve,
        train_curve=curve,
        step_seconds=0.02 + 0.001 * len(name),
        optimizer_seconds=0.0005 * len(name),
        seconds=steps * 0.03,
        state_bytes=8 * 100_000,
        parameters=100_000,
        edge=name == "Lion" and phase != "tune",
    )


def _task(name: str) -> TaskInfo:
    return TaskInfo(
        name=name,
        description="a small GPT on Python's standard library"
        if name == "code"
        else "an autoencoder on digits",
        steps=STEPS[name],
        batch=16,
        parameters=229_504,
        data_hash="9f" * 32,
        data="sources of 40 standard-library modules",
        baselines={"untrained": START[name]},
        control=("AdamW", "SGD") if name == "code" else None,
    )
