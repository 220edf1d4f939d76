"""What every suite is given: where embeddings come from, how many seeds, where to show progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.data import DATA_SETS, EmbeddingSet, EmbeddingSource
from benchmarks.errors import DataMissingError
from benchmarks.results import Result

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One run's settings.

    `quick` runs are smoke tests: few repeats, results that `report` refuses. `data` are the data sets by
    name.
    """

    source: EmbeddingSource
    seeds: int = 5
    quick: bool = False
    data: Sequence[str] = tuple(DATA_SETS)
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def track(self, items: Iterable[T], text: str) -> Iterable[T]:
        """The same items, with a progress bar."""
        return track(list(items), text, console=self.console)

    def sets(self, backbone: str, result: Result) -> Iterator[EmbeddingSet]:
        """Each data set as this backbone sees it; what is missing is noted in the result and left out."""
        for data in self.data:
            try:
                yield self.source.load(data, backbone)
            except DataMissingError as error:
                result.skip(f"{backbone}: {error}")


@dataclass(frozen=True)
class Draw:
    """The shots of one seed: `n` of every class of `pool`, in the random order in which they are shown."""

    shots: NDArray[np.float32]
    labels: NDArray[np.str_]


def draw(embeddings: EmbeddingSet, shots: int | None, seed: int, classes: Sequence[str] | None = None) -> Draw:
    """Pick shots and shuffle them over the classes.

    The first n shots of a seed are the same for every n, so that a curve over n shows more shots, not other
    shots.

    Args:
        embeddings: the data set; its train split is the pool.
        shots: per class; None takes all there are.
        seed: of the picks and of the order.
        classes: draw from these only; None means every class.
    """
    rng = np.random.default_rng([seed, 1])
    picked = []
    for label in embeddings.classes:
        places = rng.permutation(np.flatnonzero(embeddings.train_labels == label))
        if classes is None or label in classes:
            picked.append(places[:shots])
    order = np.random.default_rng([seed, 2]).permutation(np.concatenate(picked))
    return Draw(embeddings.train[order], embeddings.train_labels[order])
