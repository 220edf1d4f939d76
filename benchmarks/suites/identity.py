"""Is the C library the head that numpy computes? 10,000 random courses through both, every answer and byte compared."""

from __future__ import annotations

import os
from unittest import mock

from benchmarks.context import Context
from benchmarks.identity.courses import DifferenceError, Tally, play
from benchmarks.markdown import table
from benchmarks.results import Result
from edge_imprint.head.engine import VARIABLE

# Courses at each dimension: 10,000 in all.
COURSES = {64: 6000, 256: 3000, 1024: 1000}
QUICK_COURSES = {64: 6, 256: 3, 1024: 1}
STEPS = 24


def run(context: Context, result: Result) -> None:
    """Play the courses with numpy on one side and the C library, compiled here, on the other."""
    result.settings = {"steps_per_course": STEPS, VARIABLE: "numpy"}
    with mock.patch.dict(os.environ, {VARIABLE: "numpy"}):
        for dim, courses in (QUICK_COURSES if context.quick else COURSES).items():
            tally, different = Tally(), 0
            for seed in context.track(range(courses), f"courses, dim {dim}"):
                try:
                    play(seed, dim, STEPS, tally)
                except DifferenceError as error:
                    different += 1
                    result.skip(f"DIFFERENT: {error}")
            where = {"dim": dim}
            result.add("courses", "", [float(tally.courses + different)], where, "max")
            result.add("operations", "", [float(sum(tally.operations.values()))], where, "max")
            result.add("refused", "", [float(tally.refused)], where, "max")
            result.add("answers", "", [float(tally.answers)], where, "max")
            result.add("snapshot_bytes", "bytes", [float(tally.snapshot_bytes)], where, "max")
            rule = "C and numpy agree in every answer and every byte of every snapshot"
            result.promise(f"identity: dim {dim}", rule, float(different), "courses that differ", different == 0)


def tables(result: Result) -> dict[str, str]:
    """What was played at each dimension."""
    head = ["dim", "random courses", "operations", "refused by both", "answers compared", "snapshot bytes compared"]
    names = ("courses", "operations", "refused", "answers", "snapshot_bytes")
    rows = [
        [str(found.params["dim"]), *(f"{result.one(name, **found.params).value:,.0f}" for name in names)]
        for found in result.select("courses")
    ]
    return {"identity": table(head, rows)}
