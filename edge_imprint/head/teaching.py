"""What a head tells the person who teaches it: advice on classes and shots, and whether pictures changed since.

None of it is part of what was learnt: it is not in a snapshot, changes no answer, and its memory, which is bounded, is
not of the budget but of the program that asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.head import fixed
from edge_imprint.head.advice import Advice, advise
from edge_imprint.head.answering import Answers
from edge_imprint.head.drift import DriftMonitor
from edge_imprint.head.drift_report import Drift
from edge_imprint.head.labels import Label
from edge_imprint.head.locking import exclusive
from edge_imprint.head.odd_shots import FIRST_JUDGED, OddShots
from edge_imprint.head.summaries import means_and_shots, summaries


class Teaching(Answers):
    """The advising half of `ImprintHead`.

    Attributes:
        odd_shots: a log of shots that look mislabelled, for `advice`; None, the default, keeps none.
    """

    odd_shots: OddShots | None
    _monitor: DriftMonitor | None
    _means: NDArray[np.float32] | None

    @exclusive
    def advice(self) -> list[Advice]:
        """What to show next, and what is wrong with what was shown: the most important first.

        Which classes are confusable and why, whether five more shots of a class would help, which shot looks
        mislabelled (where `odd_shots` is kept), which class wastes bytes. docs/ADVICE.md says how far to trust it.

        Returns:
            Nothing for a head that knows no class.
        """
        if not self._labels:
            return []
        known = summaries(self._engine.arena, self._labels, self._engine.layout)
        return advise(known, self.odd_shots.found() if self.odd_shots else ())

    @exclusive
    def observe(self, X: ArrayLike) -> None:
        """Take in live embeddings, as they were answered, for `drift`; what was learnt does not change.

        The first call makes a monitor of 8 bytes for each dimension and 600 more, outside the budget.

        Args:
            X: (n, dim) embeddings, in the order in which they came.

        Raises:
            NotTaughtError: no class was taught yet.
            ShapeError, ValueRangeError: as in `partial_fit`.
        """
        e16 = self._quantized(X)
        best = self._engine.classes(e16)
        dim = self._engine.arena.layout.dim
        if self._monitor is None:
            self._monitor = DriftMonitor(dim)
        if self._means is None:
            means, _ = means_and_shots(self._engine.arena)
            lengths = np.linalg.norm(means, axis=1, keepdims=True)
            self._means = means / np.maximum(lengths, np.float32(1e-12))
        for row, place in zip(fixed.check_embeddings(X, dim), best.tolist(), strict=True):
            unit = row.astype(np.float64)
            unit /= np.abs(unit).max()
            unit /= np.sqrt(unit @ unit)
            self._monitor.observe(unit, place, float(self._means[place] @ unit))

    @exclusive
    def drift(self) -> Drift:
        """Whether what `observe` took in looks like what was taught: camera, light, backbone, or new things.

        Raises:
            NotTaughtError: no class was taught yet.
        """
        self._check_taught()
        monitor = self._monitor or DriftMonitor(self._engine.arena.layout.dim)
        return monitor.report(*means_and_shots(self._engine.arena))

    def _taught(self) -> None:
        """Thresholds, and what live pictures are compared with, are no longer those of what is known."""
        self._limits_stale, self._means = True, None
        if self._monitor is not None:
            self._monitor.reset()

    def _look_at(self, e16: Any, labels: Sequence[Label]) -> None:
        """Log which of these shots, which are about to be learnt, look odd: those that are scored, not each one."""
        if self.odd_shots is None or len(self._labels) < 2:
            return
        # Of these labels only: a shot must not cost more the more classes there are.
        place = {label: self._index[label] for label in set(labels) if label in self._index}
        counts = {label: int(self._engine.arena.shots[index]) for label, index in place.items()}
        chosen, shots = [], []
        for number, label in enumerate(labels):
            if label not in counts:
                continue
            if counts[label] >= FIRST_JUDGED and _is_looked_at(counts[label]):
                chosen.append(number)
                shots.append(counts[label])
            counts[label] += 1
        if not chosen:
            return
        first = self._engine.arena.total_shots + 1
        table = self._engine.cosines(e16[np.array(chosen)])
        for number, count, row in zip(chosen, shots, table, strict=True):
            own = float(row[place[labels[number]]])
            row[place[labels[number]]] = -np.inf
            other = int(row.argmax())
            self.odd_shots.observe(first + number, labels[number], count, own, float(row[other]), self._labels[other])


def _is_looked_at(shots: int) -> bool:
    """The first sixteen shots of a class, then sixteen for each doubling."""
    return shots < 16 or shots % (1 << (shots.bit_length() - 5)) == 0
