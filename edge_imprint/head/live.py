"""Live embeddings on their way into a `DriftMonitor`: kept as they came until it is worth taking them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.drift import DriftMonitor

WAITING = 16
"""Taking in so many costs twice what one does, and a camera's frame should not wait for either."""


class LiveRows:
    """A drift monitor, and up to 16 quantised embeddings that it has not seen yet: 32 bytes more for each dimension.

    Args:
        dim: length of an embedding.

    Attributes:
        monitor: what reports; `settle` before you ask it.
    """

    def __init__(self, dim: int) -> None:
        self.monitor = DriftMonitor(dim)
        self._rows: NDArray[np.int16] = np.zeros((WAITING, dim), np.int16)
        self._places: list[int] = []

    @property
    def nbytes(self) -> int:
        """Bytes that are kept between pictures."""
        return self.monitor.nbytes + self._rows.nbytes + 8 * WAITING

    def reset(self) -> None:
        """Forget all live pictures, those that wait included; call it whenever the classes change."""
        self._places.clear()
        self.monitor.reset()

    def add(self, e16: NDArray[Any], places: list[int], units: Callable[[], NDArray[np.float32]]) -> None:
        """Keep live embeddings.

        Args:
            e16: quantised, (n, dim); copied.
            places: number of the class that was answered for each.
            units: gives the classes' means at length 1, (n_classes, dim); asked where pictures are taken in.
        """
        done = 0
        while done < len(places):
            waiting = len(self._places)
            more = places[done : done + WAITING - waiting]
            self._rows[waiting : waiting + len(more)] = e16[done : done + len(more)]
            self._places += more
            done += len(more)
            if len(self._places) == WAITING:
                self.settle(units)

    def settle(self, units: Callable[[], NDArray[np.float32]]) -> None:
        """Let the monitor take in what waits."""
        if not self._places:
            return
        rows = self._rows[: len(self._places)].astype(np.float32)
        inverse = 1.0 / np.sqrt(np.einsum("ij,ij->i", rows, rows))
        scores = np.einsum("ij,ij->i", rows, units()[self._places]) * inverse
        self.monitor.take(rows, inverse.tolist(), self._places, scores.tolist())
        self._places.clear()
