"""The head's arithmetic in numpy: what the C library is held against, and what runs where it was not built."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import UsageError
from edge_imprint.head import fixed, learning, merging, reject, scoring
from edge_imprint.head.arena import Arena, square_of
from edge_imprint.head.budget import Layout
from edge_imprint.head.engine import Best, Engine
from edge_imprint.head.labels import Label
from edge_imprint.head.layouts import AnyLayout
from edge_imprint.head.options import Options
from edge_imprint.head.ridge.state import Moment


class NumpyEngine:
    """The reference: plain numpy, nothing to compile."""

    name = "numpy"

    def __init__(self, layout: Layout, options: Options) -> None:
        """Make an empty arena."""
        self.layout: AnyLayout = layout
        self.second: Moment | None = None
        self.arena = Arena(layout)
        self._options = options
        self._judge: learning.Judge = learning.ProxyJudge(self.arena, options)

    @property
    def can_undo(self) -> bool:
        """Whether the last shot can be taken back."""
        return self.arena.can_undo

    def quantize(self, rows: NDArray[np.float32]) -> fixed.Int64:
        """As in `Engine`."""
        return fixed.quantize(rows)

    def learn(self, e16: fixed.Int64, places: Sequence[int], labels: Sequence[Label]) -> None:
        """As in `Engine`."""
        for row, place, label in zip(e16, places, labels, strict=True):
            index = place if place < self.arena.n_classes else None
            learning.learn(self.arena, index, label, fixed.shot(row), self._options, self._judge)

    def undo(self) -> None:
        """As in `Engine`."""
        self.arena.roll_back()

    def forget(self, place: int) -> None:
        """As in `Engine`."""
        self.arena.remove_class(place)

    def merge(self, other: Engine, places: Sequence[int], labels: Sequence[Label]) -> None:
        """As in `Engine`."""
        for source, (place, label) in enumerate(zip(places, labels, strict=True)):
            index = place if place < self.arena.n_classes else None
            merging.merge_class(self.arena, index, label, other.arena, source, self._options)
        merging.pool_own(self.arena, other.arena)
        self.arena.close_journal()

    def _queries(self, e16: fixed.Int64) -> fixed.Int8:
        self.refresh()
        return fixed.queries(e16)

    def classes(self, e16: fixed.Int64) -> NDArray[np.int64]:
        """As in `Engine`."""
        return self.best(e16).classes

    def best(self, e16: fixed.Int64) -> Best:
        """As in `Engine`."""
        return Best(*scoring.best_classes(self.arena, self._queries(e16)))

    def everything(self, e16: fixed.Int64) -> tuple[Best, NDArray[np.float32], NDArray[np.float32] | None]:
        """As in `Engine`."""
        return self.best(e16), self.cosines(e16), None

    def cosines(self, e16: fixed.Int64) -> NDArray[np.float32]:
        """As in `Engine`."""
        return scoring.class_cosines(self.arena, self._queries(e16))

    def confidences(self, e16: fixed.Int64) -> NDArray[np.float32]:
        """Proxies say no probabilities."""
        raise UsageError('confidence needs the second moment; this head has method="proxies". Make it with "ridge"')

    def thresholds_q23(self, rate_ppm: int) -> tuple[int, int] | None:
        """As in `Engine`."""
        return reject.thresholds_q23(self.arena, rate_ppm)

    def refresh(self) -> None:
        """As in `Engine`."""
        scoring.refresh(self.arena, self._options.shrinkage)

    def loaded(self) -> None:
        """As in `Engine`."""
        arena = self.arena
        arena.close_journal()
        for slot in range(arena.n_slots):
            values = fixed.join(arena.high[slot], arena.low[slot])
            arena.square[slot] = square_of(values, int(arena.shift[slot]))
        arena.stale = set(range(arena.n_classes))
