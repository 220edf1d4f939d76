"""One cell of a sweep: a method, its shots and a seed become one number. This is all that a worker runs.

A cell draws from two generators. Which pictures and which merging it gets depends on data set and seed alone, so
that every method, every backbone and every k meets the same ones, and the first n shots are the same for every n.
What a method does at random depends on the cell's whole key.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import BaseStatistics
from edge_imprint.episodes import balanced_accuracy
from edge_imprint.errors import EdgeImprintError
from edge_imprint.head import ImprintHead
from edge_imprint.imprint import PRESETS, ImprintClassifier, nc1

HEADS: Mapping[str, str] = {"head": "proxies", "auto": "auto"}
METHODS = (*HEADS, *PRESETS)
TASKS = ("all", "even", "odd", "short")
KMEANS, NC1 = "kmeans", "nc1"
ALL = 0


@dataclass(frozen=True)
class Cell:
    """What one number depends on, besides embeddings and budget.

    Attributes:
        protocol: "shots" or "k".
        data: name of the data set.
        backbone: name of the backbone.
        task: which classes: one of `TASKS`, as in the paper, by their place in the sorted list of labels.
        method: one of `METHODS`; in the k sweep "kmeans" or "nc1".
        shots: per class; `ALL` takes what there is.
        merge: classes that share one label.
        k: proxies per label; 0 where the method has no such number.
        seed: number of the repetition.
    """

    protocol: str
    data: str
    backbone: str
    task: str
    method: str
    shots: int
    merge: int
    k: int
    seed: int

    @property
    def key(self) -> str:
        """A name that no other cell has."""
        return "/".join(f"{name}={value}" for name, value in asdict(self).items())


@dataclass(frozen=True)
class Setting:
    """What all cells of a sweep share: bytes for the head, and labels of a merged task at most."""

    budget: str
    labels: int


@dataclass(frozen=True)
class Arrays:
    """What cells work on.

    Embeddings are (n, dim) float32 as the backbone gave them, labels are (n,) strings. `base` are the backbone's base
    statistics, where its bundle has some.
    """

    train: NDArray[np.float32]
    train_labels: NDArray[np.str_]
    test: NDArray[np.float32]
    test_labels: NDArray[np.str_]
    base: BaseStatistics | None = None


@dataclass(frozen=True)
class Task:
    """Shots in the order in which they are shown, and pictures to ask about. Embeddings (n, dim), labels (n,)."""

    shots: NDArray[np.float32]
    labels: NDArray[np.str_]
    queries: NDArray[np.float32]
    truth: NDArray[np.str_]


def measure(cell: Cell, setting: Setting, arrays: Arrays) -> dict[str, Any]:
    """Compute one cell.

    Args:
        cell: what to compute.
        setting: of the sweep.
        arrays: of its data set and backbone.

    Returns:
        `value`: balanced accuracy in percent, or NC1, and `labels`, how many there are; or `refused`: why the method
        cannot do this. And `wall_s`.
    """
    start = time.perf_counter()
    try:
        task = draw(cell, setting, arrays)
        value = neural_collapse(task) if cell.method == NC1 else accuracy(cell, setting, task, arrays.base)
        outcome: dict[str, Any] = {"value": round(value, 6), "labels": len(np.unique(task.labels))}
    except EdgeImprintError as error:
        outcome = {"refused": str(error)}
    return {**outcome, "wall_s": round(time.perf_counter() - start, 4)}


def draw(cell: Cell, setting: Setting, arrays: Arrays) -> Task:
    """The shots and queries of a cell, seeded by data set and seed."""
    names = np.unique(arrays.train_labels)
    if cell.protocol == "k":
        owner = merged(names.tolist(), cell.merge, setting.labels, cell.data, cell.seed)
    else:
        owner = {label: label for label in chosen(names.tolist(), cell.task)}
    pool, asked = (np.isin(labels, list(owner)) for labels in (arrays.train_labels, arrays.test_labels))
    rng = generator("shots", cell.data, cell.seed)
    picked = []
    for label in names:  # of every class, also of one left out: then a task draws what "all" draws
        places = rng.permutation(np.flatnonzero(arrays.train_labels == label))
        picked.append(places if cell.shots == ALL else places[: cell.shots])
    order = generator("order", cell.data, cell.shots, cell.seed).permutation(np.concatenate(picked))
    order = order[pool[order]]
    rename = np.vectorize(owner.__getitem__, otypes=[np.str_])
    return Task(
        arrays.train[order], rename(arrays.train_labels[order]), arrays.test[asked], rename(arrays.test_labels[asked])
    )


def chosen(names: list[str], task: str) -> list[str]:
    """The classes of one of the paper's tasks: all, every second one from the first or second, the first three."""
    return {"all": names, "even": names[::2], "odd": names[1::2], "short": names[:3]}[task]


def merged(names: list[str], merge: int, labels: int, data: str, seed: int) -> dict[str, str]:
    """Classes drawn at random, `merge` of them for each new label; at most `labels` labels."""
    count = min(labels, len(names) // merge)
    picked = generator("merge", data, merge, seed).permutation(len(names))[: count * merge]
    return {names[place]: f"label {position // merge}" for position, place in enumerate(picked)}


def accuracy(cell: Cell, setting: Setting, task: Task, base: BaseStatistics | None = None) -> float:
    """Balanced accuracy in percent of the cell's method."""
    answer: Callable[[NDArray[np.float32]], NDArray[Any]]
    if cell.method in HEADS:
        method = HEADS[cell.method]
        known = base if method == "auto" else None  # proxies make no use of it
        head = ImprintHead(dim=task.shots.shape[1], budget=setting.budget, method=method, base=known)
        answer = head.partial_fit(task.shots, task.labels).predict
    else:
        seed = int(generator(cell.key).integers(1 << 32))
        if cell.method == KMEANS:
            made = ImprintClassifier.preset("westerhoff", k=cell.k, seed=seed)
        else:
            made = ImprintClassifier.preset(cell.method, seed=seed)
        answer = made.fit(task.shots, task.labels).predict
    return 100 * balanced_accuracy(task.truth, answer(task.queries))


def neural_collapse(task: Task) -> float:
    """NC1 of the L2-normalised shots."""
    lengths = np.linalg.norm(task.shots, axis=1, keepdims=True)
    return nc1(task.shots / np.maximum(lengths, np.finfo(np.float32).tiny), task.labels)


def generator(*key: object) -> np.random.Generator:
    """A generator seeded by names and numbers; the same on every machine."""
    digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32).tolist())
