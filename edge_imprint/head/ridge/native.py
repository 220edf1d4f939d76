"""The second-moment head's arithmetic in C: the library of `firmware_bridge/c`, which gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import _native, moment
from edge_imprint.head.arena import Arena
from edge_imprint.head.engine import Best, Engine
from edge_imprint.head.labels import Label
from edge_imprint.head.layouts import AnyLayout
from edge_imprint.head.native import Int16, opened_labels, quantized
from edge_imprint.head.options import Options
from edge_imprint.head.ridge.layout import RidgeLayout
from edge_imprint.head.ridge.state import Moment, prior


class NativeRidgeEngine:
    """As `Engine`; the bytes belong to the C library's head."""

    name = "native"

    def __init__(self, layout: RidgeLayout, options: Options, base: NDArray[np.float64] | None) -> None:
        """Make an empty head; `base` is the covariance of other pictures' unit embeddings, or None."""
        self.layout: AnyLayout = layout
        start = None if base is None else prior(base)
        self._head = _native.Ridge(
            layout.dim, layout.budget, int(bool(layout.undo)), options.max_centres + 1, options.shrinkage, start
        )
        buffer = np.frombuffer(memoryview(self._head), np.uint8)
        pool, second = self._head.places
        self.arena = Arena(layout.proxies, buffer[pool : pool + layout.proxies.budget])
        self.second: Moment | None = Moment(layout, buffer[second : second + layout.moment_bytes], _factor)

    @property
    def can_undo(self) -> bool:
        """Whether the last shot can be taken back."""
        return self._head.can_undo

    def quantize(self, rows: NDArray[np.float32]) -> Int16:
        """As in `Engine`."""
        return quantized(rows, self.layout.dim)

    def learn(self, e16: Int16, places: Sequence[int], labels: Sequence[Label]) -> None:
        """As in `Engine`."""
        opened = opened_labels(places, labels, self.arena.n_classes)
        self._head.learn(e16, np.array(places, np.int64), opened)

    def undo(self) -> None:
        """As in `Engine`."""
        self._head.undo()

    def forget(self, place: int) -> None:
        """As in `Engine`."""
        self._head.forget(place)

    def merge(self, other: Engine, places: Sequence[int], labels: Sequence[Label]) -> None:
        """As in `Engine`; classes are found by their labels."""
        assert isinstance(other, NativeRidgeEngine)
        self._head.merge(other._head)

    def classes(self, e16: Int16) -> NDArray[np.int64]:
        """As in `Engine`."""
        return np.asarray(self._scores(e16)[0].argmax(axis=1))

    def best(self, e16: Int16) -> Best:
        """As in `Engine`."""
        return self.everything(e16)[0]

    def everything(self, e16: Int16) -> tuple[Best, NDArray[np.float32], NDArray[np.float32] | None]:
        """As in `Engine`."""
        classes, known = np.empty(len(e16), np.int64), np.empty(len(e16), np.int64)
        scores, sure = self._room(e16)
        self._head.answer(e16, scores, sure, classes, known)
        # One or a few: numpy's comparison would take several times as long.
        return Best(classes, known, [value < 0.5 for value in sure.tolist()]), scores, sure

    def _room(self, e16: Int16) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.empty((len(e16), self.arena.n_classes), np.float32), np.empty(len(e16), np.float32)

    def _scores(self, e16: Int16) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Each class's score, (n, n_classes), and confidences, (n,)."""
        scores, sure = self._room(e16)
        self._head.scores(e16, scores, sure)
        return scores, sure

    def cosines(self, e16: Int16) -> NDArray[np.float32]:
        """As in `Engine`: scores in [-1, 1]."""
        return self._scores(e16)[0]

    def confidences(self, e16: Int16) -> NDArray[np.float32]:
        """As in `Engine`."""
        return self._scores(e16)[1]

    def thresholds_q23(self, rate_ppm: int) -> tuple[int, int] | None:
        """As in `Engine`."""
        return self._head.thresholds(rate_ppm)

    def refresh(self) -> None:
        """As in `Engine`."""
        self._head.refresh()

    def loaded(self) -> None:
        """As in `Engine`."""
        self._head.loaded()


def _factor(scatter: NDArray[np.int32], out: NDArray[np.float32], floor: np.float32) -> None:
    _native.factor(scatter, out, moment.dim_of(scatter), float(floor))
