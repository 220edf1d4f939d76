"""What the cells of a folder say: curves, rankings, the best k, and gain against collapse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.paper.cells import ALL, KMEANS, METHODS, NC1, TASKS
from benchmarks.paper.ranking import Ranking, average_ranks, rank
from benchmarks.paper.store import Record, read_cells, read_settings
from edge_imprint.episodes import Interval, interval95
from edge_imprint.errors import UsageError

FEW = 20
"""Shots up to which a cell counts as few-shot."""

Place = tuple[str, str]
"""A data set and a backbone."""


@dataclass(frozen=True)
class Point:
    """One place on a curve: shots (`ALL` for all) or k, balanced accuracy in percent, and its samples by seed."""

    x: int
    accuracy: Interval
    samples: Mapping[int, float]


@dataclass(frozen=True)
class Collapse:
    """One merging of `merge` classes to each of `labels` labels: how collapsed it is, and what several proxies bring.

    `gain` is accuracy at the largest k of the sweep minus accuracy with one proxy, in points; `best_k` is the k of
    this seed's highest accuracy, the smallest of equals, and `best_gain` what that k brings.
    """

    place: Place
    merge: int
    labels: int
    seed: int
    nc1: float
    gain: float
    best_k: int
    best_gain: float


class Summary:
    """Everything that figures and tables show, from `cells.jsonl` and `settings.json` of a folder.

    Raises:
        StorageError: there are no results, or they are damaged.
        UsageError: no cell is finished yet.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = read_settings(folder)
        self.records = list(read_cells(folder).values())
        if not self.records:
            raise UsageError(f"no cell of {folder} is finished yet. Run it first")
        self._labels: dict[tuple[Place, int], int] = {}
        self._rankings: dict[bool, Ranking | None] = {}
        self._groups: dict[tuple[str, Place, str, str, int, int, int], dict[int, float]] = {}
        for record in self.records:
            if "value" in record:
                self._groups.setdefault(_group(record), {})[record["seed"]] = record["value"]
                if record["method"] == NC1:
                    self._labels[(record["data"], record["backbone"]), record["merge"]] = record["labels"]

    @property
    def refused(self) -> list[Record]:
        """Cells that a method could not do."""
        return [record for record in self.records if "refused" in record]

    def places(self, protocol: str) -> list[Place]:
        """Data sets and backbones of a protocol, in the order in which they were measured."""
        return list(dict.fromkeys(key[1] for key in self._groups if key[0] == protocol))

    @property
    def methods(self) -> list[str]:
        """Methods of the shots protocol that have a number."""
        found = {key[3] for key in self._groups if key[0] == "shots"}
        return [method for method in METHODS if method in found]

    def shots(self, place: Place, method: str, task: str = "all") -> list[Point]:
        """Accuracy against shots, ascending, all at the end."""
        found = [
            _point(key[4], samples)
            for key, samples in self._groups.items()
            if key[:4] == ("shots", place, task, method)
        ]
        return sorted(found, key=lambda point: (point.x == ALL, point.x))

    def merges(self, place: Place) -> list[int]:
        """Numbers of classes per label that were swept."""
        return sorted({key[5] for key in self._groups if key[:2] == ("k", place)})

    def k(self, place: Place, merge: int) -> list[Point]:
        """Accuracy against k, ascending."""
        found = [
            _point(key[6], samples)
            for key, samples in self._groups.items()
            if key[:2] == ("k", place) and key[3] == KMEANS and key[5] == merge
        ]
        return sorted(found, key=lambda point: point.x)

    def best_k(self, place: Place, merge: int) -> int:
        """The k whose mean accuracy is highest; the smallest of equals."""
        return max(self.k(place, merge), key=lambda point: (point.accuracy.mean, -point.x)).x

    def blocks(self, few: bool = False) -> dict[tuple[object, ...], dict[str, float]]:
        """Mean accuracy of every method on what the ranking compares them on.

        With all shots that is each data set, backbone and task, as in the paper; with `few` each data set, backbone
        and number of shots up to `FEW`. A block that lacks a method is left out.
        """
        found: dict[tuple[object, ...], dict[str, float]] = {}
        for (protocol, place, task, method, shots, _, _), samples in self._groups.items():
            if protocol == "shots" and (0 < shots <= FEW and task == "all" if few else shots == ALL):
                found.setdefault((*place, task, shots), {})[method] = float(np.mean(list(samples.values())))
        return {block: scores for block, scores in found.items() if set(scores) == set(self.methods)}

    def ranking(self, few: bool = False) -> Ranking | None:
        """Average ranks and tests; None where fewer than two methods or blocks can be compared."""
        if few not in self._rankings:
            blocks = list(self.blocks(few).values())
            enough = len(blocks) > 1 and len(self.methods) > 1
            scores = {method: [scores[method] for scores in blocks] for method in self.methods}
            self._rankings[few] = rank(scores) if enough else None
        return self._rankings[few]

    def collapse(self) -> list[Collapse]:
        """Gain and NC1 of every merging and seed."""
        found = []
        for (protocol, place, _, method, _, merge, _), samples in self._groups.items():
            if protocol != "k" or method != NC1:
                continue
            curve = self.k(place, merge)
            for seed, value in samples.items():
                own = {point.x: point.samples[seed] for point in curve if seed in point.samples}
                if 1 in own and len(own) > 1:
                    best = max(own, key=lambda k: (own[k], -k))
                    found.append(
                        Collapse(
                            place,
                            merge,
                            self._labels[place, merge],
                            seed,
                            value,
                            own[max(own)] - own[1],
                            best,
                            own[best] - own[1],
                        )
                    )
        return found


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Correlation of ranks, -1 to 1; 0 where one of the two does not vary.

    Example:
        >>> spearman([1, 2, 3], [10, 100, 1000])
        1.0
    """
    a, b = (average_ranks(values) - (len(values) + 1) / 2 for values in (x, y))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return round(float(a @ b) / scale, 12) if scale > 0 else 0.0


def shots_name(shots: int) -> str:
    """Shots as they are written."""
    return "all" if shots == ALL else str(shots)


def task_order(names: Iterable[str]) -> list[str]:
    """Tasks in the paper's order."""
    return sorted(names, key=TASKS.index)


def _group(record: Record) -> tuple[str, Place, str, str, int, int, int]:
    return (
        record["protocol"], (record["data"], record["backbone"]), record["task"], record["method"], record["shots"],
        record["merge"], record["k"],
    )  # fmt: skip


def _point(x: int, samples: Mapping[int, float]) -> Point:
    return Point(x, interval95(list(samples.values())), dict(samples))
