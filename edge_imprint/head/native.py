"""The head's arithmetic in C: the library of `firmware_bridge/c`, which gives the same bytes as `reference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import UsageError
from edge_imprint.head import _native, fixed
from edge_imprint.head.arena import Arena
from edge_imprint.head.budget import Layout
from edge_imprint.head.engine import Best, Engine
from edge_imprint.head.labels import Label, encode_label
from edge_imprint.head.layouts import AnyLayout
from edge_imprint.head.options import Options
from edge_imprint.head.ridge.state import Moment

Int16 = NDArray[np.int16]


class NativeEngine:
    """As `Engine`; the arena's bytes belong to the C library's head."""

    name = "native"

    def __init__(self, layout: Layout, options: Options) -> None:
        """Make an empty arena."""
        self._head = _native.Head(
            layout.dim, layout.budget, int(bool(layout.undo)), options.max_centres + 1, options.shrinkage
        )
        self.layout: AnyLayout = layout
        self.second: Moment | None = None
        self.arena = Arena(layout, np.frombuffer(memoryview(self._head), np.uint8))

    @property
    def can_undo(self) -> bool:
        """Whether the last shot can be taken back."""
        return self._head.can_undo

    def quantize(self, rows: NDArray[np.float32]) -> Int16:
        """As in `Engine`."""
        return quantized(rows, self.arena.layout.dim)

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
        assert isinstance(other, NativeEngine)
        self._head.merge(other._head)

    def classes(self, e16: Int16) -> NDArray[np.int64]:
        """As in `Engine`."""
        return self.best(e16).classes

    def best(self, e16: Int16) -> Best:
        """As in `Engine`."""
        classes, cosines = np.empty(len(e16), np.int64), np.empty(len(e16), np.int64)
        self._head.best(e16, classes, cosines)
        return Best(classes, cosines)

    def everything(self, e16: Int16) -> tuple[Best, NDArray[np.float32], NDArray[np.float32] | None]:
        """As in `Engine`."""
        return self.best(e16), self.cosines(e16), None

    def cosines(self, e16: Int16) -> NDArray[np.float32]:
        """As in `Engine`."""
        out = np.empty((len(e16), self.arena.n_classes), np.float32)
        self._head.cosines(e16, out)
        return out

    def confidences(self, e16: Int16) -> NDArray[np.float32]:
        """Proxies say no probabilities."""
        raise UsageError('confidence needs the second moment; this head has method="proxies". Make it with "ridge"')

    def thresholds_q23(self, rate_ppm: int) -> tuple[int, int] | None:
        """As in `Engine`."""
        return self._head.thresholds(rate_ppm)

    def refresh(self) -> None:
        """As in `Engine`."""
        self._head.refresh()

    def loaded(self) -> None:
        """As in `Engine`."""
        self._head.loaded()


def quantized(rows: NDArray[np.float32], dim: int) -> Int16:
    """Rows (n, dim) as 16-bit embeddings; `ValueRangeError` where one is all zeros or not finite."""
    e16 = np.empty(rows.shape, np.int16)
    if _native.quantize(np.ascontiguousarray(rows), dim, e16) >= 0:
        fixed.quantize(rows)  # says what is wrong
    return e16


def opened_labels(places: Sequence[int], labels: Sequence[Label], classes: int) -> bytes:
    """Labels, as they are stored, of the classes that shots at these places open."""
    opened = []
    for place, label in zip(places, labels, strict=True):
        if place == classes:
            opened.append(encode_label(label))
            classes += 1
    return b"".join(opened)
