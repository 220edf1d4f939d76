"""Is the C library the head that numpy computes? 12,550 random courses through both, every answer and byte compared."""

from __future__ import annotations

import os
from collections.abc import Mapping
from unittest import mock

from benchmarks.context import Context
from benchmarks.identity.courses import DifferenceError, Tally, play
from benchmarks.markdown import table
from benchmarks.results import Param, Result
from edge_imprint.head.engine import VARIABLE

# Courses with each method at each dimension.
COURSES = {"proxies": {64: 6000, 256: 3000, 1024: 1000}, "ridge": {16: 2000, 64: 500, 256: 50}}
QUICK_COURSES = {"proxies": {64: 6, 256: 3, 1024: 1}, "ridge": {16: 6, 64: 3, 256: 1}}
STEPS = 24


def run(context: Context, result: Result) -> None:
    """Play the courses with numpy on one side and the C library, compiled here, on the other."""
    result.settings = {"steps_per_course": STEPS, VARIABLE: "numpy"}
    with mock.patch.dict(os.environ, {VARIABLE: "numpy"}):
        for method, dims in (QUICK_COURSES if context.quick else COURSES).items():
            for dim, courses in dims.items():
                _play(context, result, method, dim, courses)


def _play(context: Context, result: Result, method: str, dim: int, courses: int) -> None:
    tally, different = Tally(), 0
    for seed in context.track(range(courses), f"courses, {method}, dim {dim}"):
        try:
            play(seed, dim, STEPS, tally, method)
        except DifferenceError as error:
            different += 1
            result.skip(f"DIFFERENT: {error}")
    where = {"dim": dim, "method": method}
    result.add("courses", "", [float(tally.courses + different)], where, "max")
    result.add("operations", "", [float(sum(tally.operations.values()))], where, "max")
    result.add("refused", "", [float(tally.refused)], where, "max")
    result.add("answers", "", [float(tally.answers)], where, "max")
    result.add("snapshot_bytes", "bytes", [float(tally.snapshot_bytes)], where, "max")
    rule = "C and numpy agree in every answer and every byte of every snapshot"
    result.promise(f"identity: {method}, dim {dim}", rule, float(different), "courses that differ", different == 0)


def tables(result: Result) -> dict[str, str]:
    """What was played at each dimension; dimensions without a method are those of proxies."""
    head = ["dim", "random courses", "operations", "refused by both", "answers compared", "snapshot bytes compared"]
    names = ("courses", "operations", "refused", "answers", "snapshot_bytes")
    rows = [
        [_place(found[0].params), *(f"{measured.value:,.0f}" for measured in found)]
        for found in zip(*(result.select(name) for name in names), strict=True)
    ]
    return {"identity": table(head, rows)}


def _place(params: Mapping[str, Param]) -> str:
    ridge = params.get("method") == "ridge"
    return f"{params['dim']}, ridge" if ridge else str(params["dim"])
