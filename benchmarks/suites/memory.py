"""Does the head stay inside its budget, and the process with it, over 100,000 single shots?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT
from benchmarks.markdown import table
from benchmarks.results import Param, Result

DIM = 256
BUDGETS_KB = (16, 64, 256)
CLASSES = {16: 10, 64: 150, 256: 100}
"""150 are more than 64 KB hold: what is refused, and that refusing costs no memory, is part of the stream."""
SHOTS, QUICK_SHOTS = 100_000, 2_000
EXTRA_BYTES = 64 * 1024


def run(context: Context, result: Result) -> None:
    """One process per budget."""
    shots = QUICK_SHOTS if context.quick else SHOTS
    result.settings = {
        "dim": DIM,
        "shots": shots,
        "warm_up": "300 shots to a second, 16 KB head, which stays alive so that its memory cannot be "
        "used again; then gc.collect(); growth is counted from there, before the measured head is made",
        "anonymous": "Anonymous of /proc/self/smaps_rollup, exact; RssAnon of /proc/self/status lags by "
        "up to 128 KiB per core: recorded beside it",
    }
    for budget_kb in context.track(BUDGETS_KB[:1] if context.quick else BUDGETS_KB, "memory"):
        found = measure(DIM, budget_kb, CLASSES[budget_kb], shots, seed=0)
        where: dict[str, Param] = {"budget_kb": budget_kb, "classes": CLASSES[budget_kb]}
        budget = budget_kb * 1024
        nbytes = result.add("nbytes", "bytes", found["nbytes"], where, "max").value
        growth = result.add("anonymous_growth", "bytes", found["anonymous_growth"], where, "max").value
        result.add("rss_anon_growth", "bytes", found["rss_anon_growth"], where, "max")
        result.add("refused_shots", "shots", found["refused"], where, "max")
        name = f"memory: {budget_kb} KB, {CLASSES[budget_kb]} classes, {shots:,} shots"
        result.promise(name, "head.nbytes never above the budget", nbytes, "bytes", nbytes <= budget)
        limit = budget + EXTRA_BYTES
        result.promise(
            name,
            f"the process grows by at most budget + 64 KiB ({limit:,})",
            growth,
            "bytes",
            growth <= limit,
        )


def measure(dim: int, budget_kb: int, classes: int, shots: int, seed: int) -> dict[str, list[float]]:
    """Run the stream in a process of its own; samples of nbytes and of growth since before the head was made.

    Raises:
        BenchmarkError: the process failed.
    """
    arguments = [str(number) for number in (dim, budget_kb, classes, shots, seed)]
    # Run as a file: as a module of this package it would load all that the package imports.
    command = [sys.executable, str(Path(__file__).with_name("memory_child.py")), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"the measured process failed: {done.stderr.strip()[-500:]}")
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def tables(result: Result) -> dict[str, str]:
    """One table: a row per budget."""
    rows = []
    for found in result.select("nbytes"):
        growth = result.one("anonymous_growth", **found.params).value
        budget = int(found.params["budget_kb"]) * 1024
        rows.append(
            [
                f"{found.params['budget_kb']} KB",
                str(found.params["classes"]),
                f"{found.value:,.0f}",
                f"{growth:,.0f}",
                f"{growth - budget:+,.0f}",
            ]
        )
    head = ["budget", "classes", "`head.nbytes`, most", "process growth, most (bytes)", "beyond the budget"]
    note = f"{result.settings['shots']:,} single shots at {DIM}-d; anonymous memory of the process."
    return {"memory": f"{table(head, rows)}\n\n{note}"}
