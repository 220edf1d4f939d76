"""Does a shot cost the same however many came before? A million of them, one by one, with a young head beside it.

The machine's own moods would drown a slope of a per cent: after every block the old head and one that is set back to
an early snapshot of it learn the same shots in turns, and only the ratio of the two counts.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Context
from benchmarks.results import Param, Result
from benchmarks.scaling.fit import slope
from edge_imprint.head import ImprintHead, codec
from edge_imprint.profiling.stages import collector_off

SHOTS, QUICK_SHOTS = 1_000_000, 20_000
BLOCKS, QUICK_BLOCKS = 100, 10
CLASSES, MODES = 10, 4
GROUP = 8 * CLASSES
"""Shots timed together: eight of every class, of which exactly one is scored."""
GROUPS = 25
YOUNG_AFTER = GROUP * 40
NEGLIGIBLE = 0.01
POOL = 50


@dataclass(frozen=True)
class Old:
    """A head that learns a million shots."""

    method: str
    dim: int
    budget: str


HEADS = (Old("proxies", 256, "64KB"), Old("ridge", 64, "128KB"))


def measure(context: Context, result: Result) -> None:
    """Every method's million; the slope of the ratio of old to young."""
    shots = QUICK_SHOTS if context.quick else SHOTS
    blocks = QUICK_BLOCKS if context.quick else BLOCKS
    for old in HEADS:
        ages, ratios, costs = _course(old, shots, blocks, context)
        where: dict[str, Param] = {"method": old.method, "dim": old.dim, "budget": old.budget, "shots": ages[-1]}
        result.add("history_cost", "ns", costs, where, "median")
        result.add("history_age", "shots", ages, where, "max")
        result.add("history_ratio", "", ratios, where, "median")
        growth = [100 * ages[-1] * value for value in slope(ages, ratios)]
        for name, value in zip(("", "_low", "_high"), growth, strict=True):
            result.add(f"history_growth{name}", "%", [value], where)
        result.promise(
            f"scaling: {old.method}, {ages[-1]:,} shots before",
            f"cost of a shot grows by nothing within its 95 % interval, or by less than {100 * NEGLIGIBLE:g} %",
            growth[0], "%", growth[1] <= 0 or growth[2] <= 100 * NEGLIGIBLE,
        )  # fmt: skip


def _course(old: Old, shots: int, blocks: int, context: Context) -> tuple[list[float], list[float], list[float]]:
    groups = _groups(old.dim)
    head = ImprintHead(old.dim, old.budget, method=old.method)
    taught = 0
    while taught < YOUNG_AFTER:
        _teach(head, groups[taught // GROUP % POOL])
        taught += GROUP
    early = codec.sections(head, None)
    ages, ratios, costs = [], [], []
    with collector_off():
        for block in context.track(range(blocks), f"{shots:,} shots, {old.method}"):
            while taught < (block + 1) * shots // blocks:
                _teach(head, groups[taught // GROUP % POOL])
                taught += GROUP
            young = codec.head_from(ImprintHead, early)
            times: dict[str, list[float]] = {"old": [], "young": []}
            for number in range(GROUPS):
                lesson = groups[number % POOL]
                # Whoever goes first finds the shots outside the cache: they take turns.
                for name in ("old", "young") if number % 2 else ("young", "old"):
                    times[name].append(_teach(head if name == "old" else young, lesson))
            taught += GROUP * GROUPS
            ages.append(float(taught))
            ratios.append(statistics.median(times["old"]) / statistics.median(times["young"]))
            costs.append(statistics.median(times["old"]) / GROUP)
    return ages, ratios, costs


Lesson = list[tuple[NDArray[np.float32], int]]


def _teach(head: ImprintHead, lesson: Lesson) -> int:
    start = time.perf_counter_ns()
    for shot, label in lesson:
        head.partial_fit(shot, label)
    return time.perf_counter_ns() - start


def _groups(dim: int) -> list[Lesson]:
    """Groups of eight shots of every class, in random order; messy classes of four kinds of pictures each."""
    rng = np.random.default_rng(dim)
    centres = rng.normal(size=(CLASSES, MODES, dim))
    groups = []
    for _ in range(POOL):
        labels = rng.permutation(np.repeat(np.arange(CLASSES), GROUP // CLASSES))
        shots = centres[labels, rng.integers(0, MODES, GROUP)] + 0.7 * rng.normal(size=(GROUP, dim))
        groups.append([(shot[None].astype(np.float32), int(label)) for shot, label in zip(shots, labels, strict=True)])
    return groups
