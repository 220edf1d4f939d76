"""Who is first in each column among those that are at least as accurate, as sentences made from the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.statistics import half_width
from benchmarks.markdown import microseconds
from benchmarks.results import Result


def _bytes(value: float) -> str:
    return f"{value:,.0f} bytes"


def _us(value: float) -> str:
    return f"{microseconds(value)} µs"


@dataclass(frozen=True)
class Column:
    """A column in which less is better.

    Attributes:
        measurement: its name in the result.
        says: in a sentence.
        show: a value with its unit.
        why: the contestant's setting that explains its value.
    """

    measurement: str
    says: str
    show: Callable[[float], str]
    why: str


COLUMNS = (
    Column("learn", "in time per shot", _us, "update"),
    Column("predict", "in time per prediction", _us, "keeps"),
    Column("nbytes", "in bytes in memory", _bytes, "keeps"),
    Column("disk", "in bytes on disk", _bytes, "disk"),
)
PROMISED = ("learn", "nbytes")


def average(result: Result, peer: str, shots: str) -> NDArray[np.float64]:
    """Balanced accuracy in %, seed by seed (seeds,), the mean of the backbones and data sets.

    A contestant measured for one seed only has that value for every seed.
    """
    cells = [np.resize(found.samples, result.seeds)
             for found in result.select("balanced_accuracy", peer=peer, shots=shots)]  # fmt: skip
    mean: NDArray[np.float64] = np.mean(cells, axis=0)
    return mean


def value(result: Result, measurement: str, peer: str) -> float:
    """What was measured where times were measured: on one backbone and data set, with `cost_shots` shots a class."""
    return result.one(measurement, peer=peer, **result.settings["cost_where"]).value


def equals(result: Result, ours: str) -> list[str]:
    """Contestants of other families that are as accurate as ours or better, within the 95 % interval.

    The interval is that of the differences seed by seed, at the number of shots at which costs were measured.
    """
    peers, shots = result.settings["peers"], result.settings["cost_where"]["shots"]
    reference = average(result, ours, shots)
    found = []
    for name, about in peers.items():
        if about["family"] != peers[ours]["family"]:
            differences = average(result, name, shots) - reference
            width = half_width(differences.tolist())
            if differences.mean() >= -(0.0 if np.isnan(width) else width):
                found.append(name)
    return found


def sentences(result: Result) -> list[str]:
    """For each of edge-imprint's contestants: who is as accurate, and who of them is first in each column, and why."""
    peers, shots = result.settings["peers"], result.settings["cost_where"]["shots"]
    found = []
    for ours in mine(result):
        rivals = equals(result, ours)
        others = sum(about["family"] != peers[ours]["family"] for about in peers.values())
        titles = "; ".join(peers[name]["title"] for name in rivals) or "none"
        text = (
            f"**{peers[ours]['title']}** ({average(result, ours, shots).mean():.1f} % at {shots} shots): of {others} "
            f"peers {len(rivals)} are as accurate or better, within the 95 % interval: {titles}."
        )
        if not rivals:
            closest = max(
                (name for name, about in peers.items() if about["family"] != peers[ours]["family"]),
                key=lambda name: average(result, name, shots).mean(),
            )
            text += f" The closest is {peers[closest]['title']} with {average(result, closest, shots).mean():.1f} %."
        else:
            text += " " + " ".join(_sentence(result, ours, rivals, column) for column in COLUMNS)
        found.append(text)
    return found


def _sentence(result: Result, ours: str, rivals: list[str], column: Column) -> str:
    peers = result.settings["peers"]
    own, best, least = compare(result, ours, rivals, column.measurement)
    first, other = (ours, best) if own <= least else (best, ours)
    low, high = sorted((own, least))
    return (
        f"First among them {column.says} is {peers[first]['title']} with {column.show(low)} "
        f"({peers[first][column.why]}); "
        f"{peers[other]['title']} has {column.show(high)}, {high / low:.3g} times as much ({peers[other][column.why]})."
    )


def compare(result: Result, ours: str, rivals: list[str], measurement: str) -> tuple[float, str, float]:
    """Our value, the best rival and its value."""
    best = min(rivals, key=lambda name: value(result, measurement, name))
    return value(result, measurement, ours), best, value(result, measurement, best)


def mine(result: Result) -> list[str]:
    """The contestants of edge-imprint that are compared: those of the C library where there is one."""
    peers = result.settings["peers"]
    own = [name for name, about in peers.items() if about["family"] == "edge-imprint"]
    return [name for name in own if name != "ours_numpy"] or own


def promise(result: Result) -> None:
    """The project's target, one row for each contestant of edge-imprint and each promised column."""
    for ours in mine(result):
        rivals = equals(result, ours)
        if not rivals:
            continue
        for column in COLUMNS:
            if column.measurement in PROMISED:
                own, _, least = compare(result, ours, rivals, column.measurement)
                result.promise(
                    f"peers: {result.settings['peers'][ours]['title']}, {column.says}",
                    f"first {column.says} among peers of equal or better accuracy (ours to the best of them)",
                    own / least,
                    "x",
                    own <= least,
                )
