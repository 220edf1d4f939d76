"""The one interface of the suite `peers`, and what is said of each contestant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from edge_imprint.backbones import BaseStatistics


class CannotForgetError(BenchmarkError):
    """A contestant has no way to remove a class."""


@dataclass(frozen=True)
class Setting:
    """What a contestant is told before its first shot.

    Attributes:
        dim: length of an embedding.
        classes: labels that will come; only those who must know them beforehand look here.
        base: statistics of other pictures' embeddings, which a bundle brings along; only edge-imprint takes them.
    """

    dim: int
    classes: Sequence[str]
    base: BaseStatistics | None = None


class Peer(ABC):
    """A classifier that is shown single shots. Embeddings are float32 rows of length 1."""

    @abstractmethod
    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        """Take shots (n, dim) one after the other; who refits does so in `settle` only."""

    def settle(self) -> None:  # noqa: B027 - most need nothing
        """Bring up to date what answers, so that the next prediction knows every shot: part of a shot's time."""

    @abstractmethod
    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[Any]:
        """Labels (n,) of embeddings (n, dim)."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that it must keep to answer and to learn the next shot."""

    def forget(self, label: str) -> None:
        """Remove a class.

        Raises:
            CannotForgetError: it has no way to.
        """
        raise CannotForgetError(f"{type(self).__name__} cannot remove {label!r}; teach another one without it")

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[Any] | None:
        """How well it knows each embedding, (n,), by its own score; None where it gives none."""
        return None

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write what was learnt in its own format, over an existing file."""

    @abstractmethod
    def restore(self, path: Path) -> None:
        """Take over what `save` of a contestant of the same setting wrote."""


@dataclass(frozen=True)
class Entry:
    """A contestant.

    Attributes:
        title: in tables.
        family: edge-imprint, or the library that it comes from.
        make: an empty one.
        update: what learning one shot is, the refit included that the next prediction needs.
        keeps: its state.
        memory: how its bytes are found.
        disk: its format.
        refuses: its documented way to refuse what it was never shown; "" for none.
        any_order: at "all" every seed has the same shots, and neither their order nor chance matters: run once.
    """

    title: str
    family: str
    make: Callable[[Setting], Peer]
    update: str
    keeps: str
    memory: str
    disk: str
    refuses: str = ""
    any_order: bool = False


class Names:
    """Labels and their numbers, in the order of the first shots."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names: list[str] = []
        self.places: dict[str, int] = {}
        for name in names:
            self.number(name)

    def number(self, label: str) -> int:
        """The label's number; a new label gets the next one."""
        place = self.places.get(label)
        if place is None:
            place = self.places[label] = len(self.names)
            self.names.append(label)
        return place

    def numbers(self, labels: NDArray[np.str_]) -> NDArray[np.int64]:
        """Numbers (n,) of labels (n,)."""
        return np.array([self.number(label) for label in labels.tolist()], dtype=np.int64)

    def labels(self, numbers: Any) -> NDArray[np.str_]:
        """Labels (n,) of numbers (n,)."""
        return np.array([self.names[int(number)] for number in numbers])

    @property
    def nbytes(self) -> int:
        """Bytes of the labels' text."""
        return sum(len(name.encode()) for name in self.names)


def array_bytes(holder: object) -> int:
    """Bytes of the numpy arrays that are an object's attributes."""
    return sum(value.nbytes for value in vars(holder).values() if isinstance(value, np.ndarray))
