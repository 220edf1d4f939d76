"""Which cells a sweep has, and which of them its data cannot serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.paper.cells import ALL, KMEANS, METHODS, NC1, TASKS, Cell, chosen
from edge_imprint.errors import UsageError

SHOTS = (1, 2, 5, 10, 20, 50, 100, 200, 400, 600, 800, 1000, ALL)
MERGE = (1, 2, 3, 5, 10)
KS = tuple(range(1, 16))
PROTOCOLS = ("shots", "k", "all")


@dataclass(frozen=True)
class Choice:
    """What the user asked for.

    Attributes:
        protocol: one of `PROTOCOLS`.
        shots: per class; `ALL` for everything there is.
        methods: names out of `METHODS`.
        merge: classes per label in the k sweep.
        ks: proxies per label in the k sweep.
        seeds: repetitions.
    """

    protocol: str = "all"
    shots: tuple[int, ...] = SHOTS
    methods: tuple[str, ...] = METHODS
    merge: tuple[int, ...] = MERGE
    ks: tuple[int, ...] = KS
    seeds: int = 5

    def __post_init__(self) -> None:
        """Refuse what no sweep has."""
        _one_of("--protocol", [self.protocol], PROTOCOLS)
        _one_of("--methods", self.methods, METHODS)
        for name, values, least in (
            ("--shots", self.shots, 0), ("--merge", self.merge, 1), ("--k", self.ks, 1), ("--seeds", [self.seeds], 1)
        ):  # fmt: skip
            if not values or min(values) < least:
                raise UsageError(f"{name} must be whole numbers of at least 1; got {', '.join(map(str, values))}")


def _one_of(option: str, given: Sequence[str], choices: Sequence[str]) -> None:
    unknown = [one for one in given if one not in choices]
    if unknown or not given:
        raise UsageError(f"{option} must be some of {', '.join(choices)}; got {', '.join(unknown) or 'none'}")


def cells(choice: Choice, data: str, backbone: str, train_labels: NDArray[np.str_]) -> tuple[list[Cell], list[str]]:
    """All cells of one data set and backbone, and a line for each group that is left out.

    A number of shots that a class does not have is left out rather than drawn short: "all" shows the data as they
    are. Merging that leaves fewer than two labels is left out.
    """
    names, counts = np.unique(train_labels, return_counts=True)
    found: list[Cell] = []
    left_out: list[str] = []
    if choice.protocol != "k":
        scarce = [shots for shots in choice.shots if shots > counts.min()]
        if scarce:
            left_out.append(
                f"{data}: {', '.join(map(str, scarce))} shots; class {str(names[counts.argmin()])!r} has "
                f"{counts.min()} to learn from"
            )
        found += _shots(choice, data, backbone, names.tolist(), set(scarce))
    if choice.protocol != "shots":
        wide = [merge for merge in choice.merge if len(names) // merge < 2]
        if wide:
            left_out.append(
                f"{data}: {', '.join(map(str, wide))} classes to a label; {len(names)} classes make less than 2 labels"
            )
        found += _k(choice, data, backbone, set(wide))
    return found, left_out


def _shots(choice: Choice, data: str, backbone: str, names: list[str], scarce: set[int]) -> Iterator[Cell]:
    for shots in dict.fromkeys(choice.shots):
        # As in the paper, methods are ranked over several tasks of each data set, with all shots.
        for task in TASKS if shots == ALL else TASKS[:1]:
            if shots in scarce or len(chosen(names, task)) < 2 or (task != "all" and len(names) < 4):
                continue
            for method in dict.fromkeys(choice.methods):
                for seed in range(choice.seeds):
                    yield Cell("shots", data, backbone, task, method, shots, 1, 0, seed)


def _k(choice: Choice, data: str, backbone: str, wide: set[int]) -> Iterator[Cell]:
    for merge in dict.fromkeys(choice.merge):
        for seed in range(choice.seeds) if merge not in wide else ():
            yield Cell("k", data, backbone, "all", NC1, ALL, merge, 0, seed)
            for k in dict.fromkeys(choice.ks):
                yield Cell("k", data, backbone, "all", KMEANS, ALL, merge, k, seed)
