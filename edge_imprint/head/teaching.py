"""What a head tells the person who teaches it: advice on classes and shots, and whether pictures changed since.

None of it is part of what was learnt: it is not in a snapshot, changes no answer, and its memory, which is bounded, is
not of the budget but of the program that asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.head.answering import Answer, Answers, Told
from edge_imprint.head.drift_report import Drift
from edge_imprint.head.engine import Best
from edge_imprint.head.labels import Label
from edge_imprint.head.live import LiveRows
from edge_imprint.head.locking import exclusive
from edge_imprint.head.odd_shots import FIRST_JUDGED, OddShots
from edge_imprint.head.summaries import means_and_shots, summaries
from edge_imprint.head.verdicts import verdicts_of, words_of

if TYPE_CHECKING:
    from edge_imprint.head.advice import Advice


class Teaching(Answers):
    """The advising half of `ImprintHead`.

    Attributes:
        odd_shots: a log of shots that look mislabelled, for `advice`; None, the default, keeps none.
    """

    odd_shots: OddShots | None
    _monitor: LiveRows | None
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
        from edge_imprint.head.advice import advise  # its learning curves load more of numpy than all answers need

        return advise(known, self.odd_shots.found() if self.odd_shots else ())

    @exclusive
    def observe(self, X: ArrayLike) -> None:
        """Take in live embeddings, as they were answered, for `drift`; what was learnt does not change.

        The first call makes a monitor of 40 bytes for each dimension and 750 more, outside the budget: `LiveRows`.

        Args:
            X: (n, dim) embeddings, in the order in which they came.

        Raises:
            NotTaughtError: no class was taught yet.
            ShapeError, ValueRangeError: as in `partial_fit`.
        """
        e16 = self._quantized(X)
        self._observe(e16, self._engine.classes(e16))

    @exclusive
    def answer(self, X: ArrayLike, live: bool = False) -> Answer:
        """All that the head says of embeddings, by one state of it and in one pass.

        Args:
            X: (n, dim) embeddings.
            live: they are what a camera sees now: `observe` them, too.

        Raises:
            NotTaughtError: no class was taught yet.
            ShapeError, ValueRangeError: as in `partial_fit`.

        Example:
            >>> from edge_imprint import ImprintHead
            >>> head = ImprintHead(2, "2KB").partial_fit([[1, 0], [0, 1]], ["mug", "plate"])
            >>> head.answer([[0.9, 0.1]]).labels
            ['mug']
        """
        best, scores, confidences = self._asked(X, live)
        labels = [self._labels[place] for place in best.classes.tolist()]
        return Answer(labels, scores, verdicts_of(best, self._limits()), confidences)

    @exclusive
    def tell(self, X: ArrayLike) -> list[Told]:
        """`answer` of live embeddings, one by one and in Python's own types: what a frame of a camera needs.

        Raises:
            NotTaughtError, ShapeError, ValueRangeError: as `answer`.
        """
        best, scores, sure = self._asked(X, live=True)
        labels, places = self._labels, best.classes.tolist()
        confidences = [None] * len(places) if sure is None else sure.tolist()
        rows = zip(places, words_of(best, self._limits()), scores.tolist(), confidences, strict=True)
        return [Told(labels[place], word, dict(zip(labels, row, strict=True)), each) for place, word, row, each in rows]

    def _asked(self, X: ArrayLike, live: bool) -> tuple[Best, NDArray[np.float32], NDArray[np.float32] | None]:
        """The engine's `everything` of embeddings, which are observed where they are live."""
        e16 = self._quantized(X)
        found = self._engine.everything(e16)
        if live:
            self._observe(e16, found[0].classes)
        return found

    def _observe(self, e16: Any, best: NDArray[np.int64]) -> None:
        if self._monitor is None:
            self._monitor = LiveRows(self._engine.arena.layout.dim)
        self._monitor.add(e16, best.tolist(), self._units)

    def _units(self) -> NDArray[np.float32]:
        """Means of the classes at length 1, (n_classes, dim)."""
        if self._means is None:
            means, _ = means_and_shots(self._engine.arena)
            lengths = np.linalg.norm(means, axis=1, keepdims=True)
            self._means = means / np.maximum(lengths, np.float32(1e-12))
        return self._means

    @exclusive
    def drift(self) -> Drift:
        """Whether what `observe` took in looks like what was taught: camera, light, backbone, or new things.

        Raises:
            NotTaughtError: no class was taught yet.
        """
        self._check_taught()
        live = self._monitor or LiveRows(self._engine.arena.layout.dim)
        live.settle(self._units)
        return live.monitor.report(*means_and_shots(self._engine.arena))

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
