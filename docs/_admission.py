"""Write docs/admission.md from finished races: `python docs/_admission.py RACE.log [RACE.log …]`.

The table is what the races found, nothing else; which races to run is said at its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from piste import race
from piste.race.results import Results
from piste.race.score import TaskScore, score

HEAD = """# Which tasks say anything about optimizers

A task enters the leaderboard of `piste race` only if it *discriminates*: the best and the worst entry differ by at
least five pooled deviations between seeds, and, where a positive control is declared, it holds (on `code`: tuned AdamW
is not worse than tuned SGD). Any other task is shown as a diagnostic. A race judges this anew from its own runs; the
table below is one such judgement, with the entries and the protocol of the default race.

| task | parameters | steps | seeds | best | worst | pooled deviation | spread | control | verdict |
|---|---:|---:|---:|---|---|---:|---:|---|---|
"""

LOSSES = """
## Final losses on fresh seeds

Mean of the fresh seeds, at the learning rate that tuning chose among four (one seed each). A star marks a rate at the
edge of its grid: a better one may lie beyond. Small models, short runs: none of this extrapolates to large ones.

"""


def main(storages: list[str]) -> None:
    races = [race.results(path) for path in storages]
    scored = [(found, s) for found in races for s in score(found).values()]
    rows = "\n".join(_row(s) for _, s in scored)
    tables = "\n\n".join(_losses(s) for _, s in scored)
    text = f"{HEAD}{rows}\n{LOSSES}{tables}\n\n{_origin(races)}"
    Path(__file__).with_name("admission.md").write_text(text)


def _row(s: TaskScore) -> str:
    ranked = [e for e in s.entries if e.state == "ranked"]
    best, worst = ranked[0], ranked[-1]
    control = {True: "holds", False: "fails", None: "none declared"}[s.admission.control]
    verdict = "leaderboard" if s.admission.admitted else "diagnostic"
    return (
        f"| `{s.info.name}` | {s.info.parameters:,} | {s.info.steps:,} | {s.seeds} | {best.entry} {best.loss:.4g} | "
        f"{worst.entry} {worst.loss:.4g} | {s.pooled.deviation:.2g} | {s.admission.spread:.1f} | {control} | {verdict} |"
    )


def _losses(s: TaskScore) -> str:
    lines = [f"### `{s.info.name}`", "", f"{s.info.description}. {s.info.data}.", ""]
    lines += ["| entry | final loss | of each seed | learning rate |", "|---|---:|---|---:|"]
    for e in s.entries:
        edge = "*" if any("edge" in flag for flag in e.flags) else ""
        each = " · ".join(f"{x:.4g}" for x in e.losses)
        lines.append(f"| {e.entry} | {e.loss:.4g} | {each} | {e.rate:.3g}{edge} |")
    known = ", ".join(f"{name} {loss:.4g}" for name, loss in s.info.baselines.items())
    return "\n".join([*lines, "", f"For comparison: {known}. Data {s.info.data_hash[:16]}."])


def _origin(races: list[Results]) -> str:
    said = races[0].environment
    tasks = " ".join(f"--task {name}" for found in races for name in found.tasks)
    return (
        f"Ran on {said['date'][:10]} with torch {said['torch']}, Python {said['python']}, {said['cores']} cores "
        f"({said['processor']}). To repeat it: `piste race {tasks}`, then `python docs/_admission.py` and the journal.\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
