"""Costs against the number of classes, of proxies and of dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.context import Context
from benchmarks.harness import MIN_REPEATS, interleave
from benchmarks.results import Param, Result
from benchmarks.scaling import tasks
from benchmarks.scaling.fit import LEAST_POINTS, exponent

REPEATS = 11
WARMUPS = 1
SAMPLE_NS, QUICK_SAMPLE_NS = 2_000_000, 200_000
LONGEST_S, QUICK_LONGEST_S = 1.5, 0.5
"""A task whose next size would take longer than this is not measured there."""
MATTERS_FROM = 1_000
"""The promise "linear or better" is judged from here on: below, the call itself costs more than the size."""
MOST_EXPONENT = 1.1
CLASSES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
PROXIES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
DIMS = (64, 128, 256, 512, 1_024, 2_048)
PER_CLASS, FEWEST_CLASSES = 21, 10


@dataclass(frozen=True)
class Axis:
    """One thing that grows, the sizes it takes, and what is measured at each."""

    method: str
    name: str
    sizes: tuple[int, ...]
    names: list[str]
    quick: tuple[int, ...] = field(default=())
    dim: int = 256

    def shape(self, size: int) -> tuple[int, int, int]:
        """Dimensions, classes and proxies of each class."""
        if self.name == "classes":
            return self.dim, size, 1
        if self.name == "dimensions":
            return size, FEWEST_CLASSES, PER_CLASS
        classes = max(FEWEST_CLASSES, math.ceil(size / PER_CLASS))
        return self.dim, classes, max(1, round(size / classes))


_FEW = (10, 100, 1_000)
AXES = (
    Axis("proxies", "classes", CLASSES, [tasks.ANSWER, tasks.SHOT, tasks.LEARNER_SHOT, tasks.NEW_CLASS], _FEW),
    Axis("proxies", "proxies", PROXIES, [tasks.ANSWER, tasks.SHOT, tasks.NEW_CLASS, tasks.LOAD], _FEW),
    Axis("proxies", "dimensions", DIMS, [tasks.ANSWER, tasks.SHOT], DIMS[:3]),
    Axis("ridge", "classes", CLASSES, [tasks.ANSWER, tasks.SHOT_AND_ANSWER], _FEW, dim=64),
    Axis("ridge", "proxies", PROXIES, [tasks.ANSWER, tasks.SHOT_AND_ANSWER], _FEW, dim=64),
    Axis("ridge", "dimensions", DIMS, [tasks.ANSWER, tasks.SHOT_AND_ANSWER], DIMS[:3]),
)


def measure(context: Context, result: Result) -> None:
    """Time every axis; fit the exponents; judge the promise."""
    steps = [(axis, size) for axis in AXES for size in (axis.quick if context.quick else axis.sizes)]
    costs: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for axis, size in context.track(steps, "sizes"):
        _time(axis, size, costs, context, result)
    for (method, axis_name, name), points in costs.items():
        where: dict[str, Param] = {"method": method, "axis": axis_name, "task": name}
        _fit(points, where, result)


def _time(
    axis: Axis, size: int, costs: dict[tuple[str, str, str], list[tuple[int, float]]], context: Context, result: Result
) -> None:
    dim, classes, proxies_each = axis.shape(size)
    reached = classes * proxies_each if axis.name == "proxies" else size
    longest = QUICK_LONGEST_S if context.quick else LONGEST_S
    names = []
    for name in axis.names:
        expected = _expected(costs.get((axis.method, axis.name, name), []), reached)
        if expected <= longest:
            names.append(name)
        else:
            result.skip(f"{axis.method}, {name}: at {reached:,} {axis.name} a call would take some {expected:.1g} s")
    if not names:
        return
    with threadpool_limits(1):
        calls = tasks.tasks(dim, classes, proxies_each, axis.method, names)
        slow = [
            name for name in names if _expected(costs.get((axis.method, axis.name, name), []), reached) > longest / 10
        ]
        samples = {}
        for group, repeats in (([n for n in names if n not in slow], REPEATS), (slow, MIN_REPEATS)):
            samples.update(
                interleave(
                    {name: calls[name][0] for name in group},
                    repeats=MIN_REPEATS if context.quick else repeats,
                    warmups=WARMUPS,
                    sample_ns=QUICK_SAMPLE_NS if context.quick else SAMPLE_NS,
                )
            )
    for name, values in samples.items():
        where: dict[str, Param] = {
            "method": axis.method, "axis": axis.name, "task": name, "size": reached,
            "dim": dim, "classes": classes, "proxies": classes * proxies_each,
        }  # fmt: skip
        found = result.add("cost", "ns", [value / calls[name][1] for value in values], where, "median")
        costs.setdefault((axis.method, axis.name, name), []).append((reached, found.value))


def _expected(points: list[tuple[int, float]], size: int) -> float:
    """Seconds that a call will take at a size, from the last two sizes; a little too much rather than too little."""
    if len(points) < 2:
        return 0.0
    (before, less), (last, cost) = points[-2:]
    steepness = max(1.0, math.log(cost / less) / math.log(last / before))
    return cost / 1e9 * (size / last) ** (steepness + 0.3)


def _fit(points: list[tuple[int, float]], where: dict[str, Param], result: Result) -> None:
    """The exponent over all sizes, and over those that matter; the last one is what is promised."""
    starts = (0,) if where["axis"] == "dimensions" else (0, MATTERS_FROM)
    ranges = [[point for point in points if point[0] >= start] for start in starts]
    fits = [(kept, exponent(*zip(*kept, strict=True))) for kept in ranges if len(kept) >= LEAST_POINTS]
    for kept, found in fits:
        sizes = {"first": kept[0][0], "last": kept[-1][0]}
        for name, value in zip(("exponent", "exponent_low", "exponent_high"), found, strict=True):
            result.add(name, "", [value], {**where, **sizes})
    if fits and where["axis"] == "proxies":
        kept, found = fits[-1]
        result.promise(
            f"scaling: {where['method']}, {where['task']}, {kept[0][0]:,} to {kept[-1][0]:,} proxies",
            f"linear or better in proxies: an exponent of at most {MOST_EXPONENT}, a tenth for caches",
            found.value, "", found.value <= MOST_EXPONENT,
        )  # fmt: skip
