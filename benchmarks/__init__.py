"""Step time, first step, state and peak memory of piste beside torch and its peers, measured in one run.

``python -m benchmarks`` (or ``make bench``) measures, writes ``benchmarks/results/<date>-<machine>.json`` and the
tables of ``docs/benchmarks.md``. How each number is defined stands there.
"""
