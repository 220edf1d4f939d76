"""The second-moment head's arithmetic in numpy: the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed
from edge_imprint.head.arena import NO_CLASS, Arena
from edge_imprint.head.engine import Best, Engine
from edge_imprint.head.fixed import Point
from edge_imprint.head.labels import Label
from edge_imprint.head.options import Options
from edge_imprint.head.reference import NumpyEngine
from edge_imprint.head.ridge import answers, confidence, discriminants
from edge_imprint.head.ridge.layout import RidgeLayout
from edge_imprint.head.ridge.state import Moment


class RidgeJudge:
    """Scores with the discriminants; learns scatter and sharpness."""

    def __init__(self, arena: Arena, second: Moment, options: Options) -> None:
        """Score with the discriminants of a head."""
        self._arena, self._second, self._options = arena, second, options
        self._pending: tuple[bool, int] | None = None

    def is_sampled(self, shots: int) -> bool:
        """Whether the next shot of a class is scored: the first eight, then eight for each doubling."""
        return shots < 8 or shots % (1 << (shots.bit_length() - 4)) == 0

    def judge(self, point: Point, index: int) -> tuple[int | None, int | None]:
        """As in `Judge`: scores before the background's, to which the shot does not belong yet."""
        arena, second = self._arena, self._second
        discriminants.refresh(arena, second, self._options.shrinkage)
        ground, *scores = answers.class_scores(arena, second, point.query[None])[0].tolist()
        taught = index != NO_CLASS
        others = scores[:index] + scores[index + 1 :] if taught else scores
        if taught and others and arena.shots[index] >= confidence.LEAST_SHOTS:
            said = confidence.confidence_q16(np.array(scores), confidence.sharpness(second))
            self._pending = scores[index] > max(others), said
        rivals = [place for place in range(len(scores)) if place != index]
        asked = [*([index] if taught else []), *([max(rivals, key=scores.__getitem__)] if rivals else [])]
        queries, every = np.repeat(point.query[None], len(asked), axis=0), np.array([[ground, *scores]] * len(asked))
        known = answers.known_scores(arena, second, queries, every, np.array(asked)).tolist()
        known_q15 = [(score + (1 << 7)) >> 8 for score in known]
        return known_q15[0] if taught else None, known_q15[-1] if rivals else None

    def absorb(self, point: Point, index: int | None) -> None:
        """As in `Judge`."""
        self._second.begin()
        if self._pending is not None:
            confidence.observe(self._second, *self._pending, self._arena.own[0])
            self._pending = None
        self._second.absorb(self._arena, index, point.values)

    def settle(self) -> None:
        """As in `Judge`."""
        self._second.settle(self._arena)


def _fractions(numbers: NDArray[np.int64], bits: int) -> NDArray[np.float32]:
    return (numbers / (1 << bits)).astype(np.float32)


class NumpyRidgeEngine(NumpyEngine):
    """As `NumpyEngine`, with a scatter and discriminants."""

    def __init__(self, layout: RidgeLayout, options: Options, base: NDArray[np.float64] | None) -> None:
        """Make an empty head; `base` is the covariance of other pictures' unit embeddings, or None."""
        buffer = np.zeros(layout.budget, np.uint8)
        self.layout = layout
        self.arena = Arena(layout.proxies, buffer[: layout.proxies.budget])
        self.second = self._moment = Moment(layout, buffer[layout.proxies.budget :])
        self._moment.clear(base)
        self._options, self._base = options, base
        self._judge = RidgeJudge(self.arena, self._moment, options)

    def undo(self) -> None:
        """As in `Engine`."""
        super().undo()
        self._moment.take_back()

    def forget(self, place: int) -> None:
        """As in `Engine`; takes out of the scatter what the log has of the class."""
        super().forget(place)
        self._moment.forget(place)
        if not self.arena.n_classes:
            self._moment.clear(self._base)

    def merge(self, other: Engine, places: Sequence[int], labels: Sequence[Label]) -> None:
        """As in `Engine`."""
        known = self.arena.n_classes
        for source, place in enumerate(places):
            if place < known:
                mean = other.arena.point(source)
                self._moment.pool(self.arena, place, mean.values >> mean.shift, mean.weight)
        super().merge(other, places, labels)
        if isinstance(other, NumpyRidgeEngine):
            self._moment.merge(self.arena, other._moment, places, known)

    def _scores(self, e16: fixed.Int64) -> fixed.Int64:
        return answers.class_scores(self.arena, self._moment, self._queries(e16))

    def classes(self, e16: fixed.Int64) -> NDArray[np.int64]:
        """As in `Engine`."""
        return np.asarray(self._scores(e16)[:, 1:].argmax(axis=1))

    def best(self, e16: fixed.Int64) -> Best:
        """As in `Engine`."""
        return self.everything(e16)[0]

    def everything(self, e16: fixed.Int64) -> tuple[Best, NDArray[np.float32], NDArray[np.float32] | None]:
        """As in `Engine`."""
        scores = self._scores(e16)
        sure = self._confidences_q16(scores)
        best, known = answers.best_of(self.arena, self._moment, fixed.queries(e16), scores)
        return (
            Best(best, known, (sure < confidence.EVEN_Q16).tolist()),
            _fractions(scores[:, 1:], 23),
            _fractions(sure, 16),
        )

    def cosines(self, e16: fixed.Int64) -> NDArray[np.float32]:
        """As in `Engine`: scores in [-1, 1]."""
        return _fractions(self._scores(e16)[:, 1:], 23)

    def confidences(self, e16: fixed.Int64) -> NDArray[np.float32]:
        """Probability that the best class is right, (n,)."""
        return _fractions(self._confidences_q16(self._scores(e16)), 16)

    def _confidences_q16(self, scores: fixed.Int64) -> NDArray[np.int64]:
        sharp = confidence.sharpness(self._moment)
        return np.array([confidence.confidence_q16(row, sharp) for row in scores[:, 1:]], np.int64)

    def refresh(self) -> None:
        """As in `Engine`."""
        discriminants.refresh(self.arena, self._moment, self._options.shrinkage)

    def loaded(self) -> None:
        """As in `Engine`."""
        super().loaded()
        self._moment.stale = True
