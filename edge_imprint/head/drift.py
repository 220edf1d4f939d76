"""Drift: do the pictures of today look like those that were taught? A running comparison in fixed memory.

A change of camera, light or backbone moves all embeddings in a common direction. What the classes themselves do lies
within the span of their means, so the monitor looks at the part of the running mean of live embeddings that is
orthogonal to this span. Three things make that part long without any drift, and the test allows for them: few live
pictures, few shots behind the means, and a stream that shows few classes, each with its own small difference between
the pictures taught and those of today. The same is done against the first pictures after teaching, where only the
first of the three counts, and a change of the classes shown. A drop of scores without a common direction means things
that were never taught.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.head.drift_report import SOME, Drift, new_things, shift, spread
from edge_imprint.head.learning_curve import check_taught

BUCKETS = 64
LEAST_PICTURES = 16
# Shares of the scatter, on embeddings of real pictures (docs/ADVICE.md): what a class's pictures of another day differ
# by in their mean, what those of all classes do, and how many directions the scatter has.
# What counts is the scatter outside the span of the means.
OUTSIDE = 0.7
CLASS_OFFSET = 0.07
EVERYDAY_OFFSET = 0.03
SAME_DAY_OFFSET = 0.025
# Wrong answers hide half of how much the shown classes changed.
CHANGED_CLASSES = 2.0
DIRECTIONS = 20.0
# The same for scores, in squared standard deviations of one score.
CLASS_SCORE_OFFSET = 0.06
FEW_SHOTS_SCORE_OFFSET = 0.4
EVERYDAY_SCORE_OFFSET = 0.01
# A shift dilutes scores; new things lose more: this share of what a class's score owes to being that class. Where less
# than GROSS_SHARE of the usual score is left, not even what all classes have in common is there: another backbone.
NEW_SHARE = 0.4
GROSS_SHARE = 0.4
FEW_WELL = 0.1
_USUAL_SCORE_STD = 0.15
_LEAST_SCORE_STD = 0.02
_PRIOR_SCATTER, _PRIOR_SHOTS = 0.5, 4.0


class DriftMonitor:
    """Compares live embeddings with what was taught: 8 bytes for each dimension, and 600 more.

    Each picture costs 3 dim multiplications; a report costs about 2 dim C^2 for C classes. The first `window` pictures
    also set which scores are usual. No random numbers: the same pictures in the same order give the same report.

    Args:
        dim: length of an embedding, at least 1.
        window: pictures that count, 16 to 65,536; older ones fade.

    Raises:
        ValueRangeError: an argument is out of range.

    Example:
        >>> monitor = DriftMonitor(dim=2)
        >>> monitor.observe([1.0, 0.0], place=0, score=1.0)
        >>> monitor.report([[1.0, 0.0]], [1]).level
        'none'
    """

    def __init__(self, dim: int, window: int = 64) -> None:
        if not 1 <= dim <= 65_536:
            raise ValueRangeError(f"dim must be 1 to 65,536; got {dim}. Use the head's dim")
        if not LEAST_PICTURES <= window <= 65_536:
            raise ValueRangeError(f"window must be {LEAST_PICTURES} to 65,536 pictures; got {window}. Use 64 or 256")
        self.dim, self.window = dim, window
        self._mean: NDArray[np.float32] = np.zeros(dim, np.float32)
        self._places: NDArray[np.float32] = np.zeros(BUCKETS, np.float32)
        self._usual_places: NDArray[np.float32] = np.zeros(BUCKETS, np.float32)
        self._usual_embedding: NDArray[np.float32] = np.zeros(dim, np.float32)
        self.reset()

    @property
    def nbytes(self) -> int:
        """Bytes that the monitor keeps between pictures."""
        return 2 * self._mean.nbytes + 2 * self._places.nbytes + 8 * 8

    def reset(self) -> None:
        """Forget all live pictures; call it after teaching or forgetting a class."""
        self._mean[:] = 0
        self._places[:] = 0
        self._usual_places[:] = 0
        self._usual_embedding[:] = 0
        self._seen = 0
        self._squares = 1.0
        self._score = self._well = 0.0
        self._usual_count, self._usual_mean, self._usual_m2 = 0, 0.0, 0.0

    def observe(self, embedding: ArrayLike, place: int, score: float) -> None:
        """Take in one live picture.

        Args:
            embedding: (dim,), of any length above zero. Not modified.
            place: number of the class that was answered, from 0.
            score: cosine of the picture with that class, in [-1, 1].

        Raises:
            ShapeError: wrong rank or width.
            ValueRangeError: NaN, infinity, zero length, or a negative place. In every case nothing changes.
        """
        x = np.asarray(embedding, dtype=np.float64)
        if x.shape != (self.dim,):
            raise ShapeError(f"a live embedding must be ({self.dim},); got {x.shape}. Observe pictures one by one")
        largest = float(np.abs(x).max())
        if not 0 < largest < np.inf or not np.isfinite(score):
            raise ValueRangeError(
                f"a live embedding must be finite and not zero, its score finite; got {largest}, {score}. "
                "Leave such pictures out"
            )
        if place < 0:
            raise ValueRangeError(
                f"place must be the class's number from 0; got {place}. Leave out pictures of no class"
            )
        x = x / largest
        self.take(x[None], [1.0 / sqrt(float(x @ x))], [place], [score])

    def take(
        self,
        x: NDArray[np.floating[Any]],
        inverse_lengths: Sequence[float],
        places: Sequence[int],
        scores: Sequence[float],
    ) -> None:
        """As `observe` of n pictures in their order, for little more than one costs. Nothing is checked.

        How pictures are divided into calls changes a report in the last bits of its float32 sums alone.

        Args:
            x: (n, dim), none of them zero or infinite.
            inverse_lengths: 1 over the length of each.
            places: class that was answered for each.
            scores: cosine of each with that class.
        """
        left = self.window - self._usual_count
        if 0 < left < len(x):  # the window's last picture completes what is usual
            self.take(x[:left], inverse_lengths[:left], places[:left], scores[:left])
            self.take(x[left:], inverse_lengths[left:], places[left:], scores[left:])
            return
        fade, weights = 1.0, []
        for step in reversed([self._step(score) for score in scores]):
            weights.append(fade * step)
            fade *= 1.0 - step
        weights.reverse()
        self._mean *= np.float32(fade)
        self._mean += np.multiply(weights, inverse_lengths, dtype=np.float32) @ x
        self._places *= np.float32(fade)
        self._places += np.bincount([place % BUCKETS for place in places], weights, BUCKETS).astype(np.float32)
        if left > 0:
            self._usual_places[:] = self._places
            self._usual_embedding[:] = self._mean

    def _step(self, score: float) -> float:
        """Take in one score; the share of its picture in the means, of which all earlier ones keep the rest."""
        self._seen += 1
        step = max(1.0 / self._seen, 2.0 / (self.window + 1))
        self._squares = (1.0 - step) ** 2 * self._squares + step * step
        self._score += step * (score - self._score)
        if self._usual_count < self.window:
            self._usual_count += 1
            delta = score - self._usual_mean
            self._usual_mean += delta / self._usual_count
            self._usual_m2 += delta * (score - self._usual_mean)
        self._well += step * (float(score >= self._usual_mean) - self._well)
        return step

    def report(self, means: ArrayLike, shots: ArrayLike) -> Drift:
        """Compare what was observed with the class means of today.

        Args:
            means: (n_classes, dim) running means of unit shots, not normalised. Not modified.
            shots: (n_classes,) how many shots each is made of, at least 1.

        Raises:
            NotTaughtError: no class.
            ShapeError: `means` and `shots` do not fit each other or `dim`.
            ValueRangeError: NaN or infinity, a mean longer than 1, or a class without shots.
        """
        centres, counts = check_taught(means, shots)
        if not len(centres):
            raise NotTaughtError("drift compares with what was taught; there is no class. Call partial_fit first")
        if centres.shape[1] != self.dim:
            raise ShapeError(f"means must be (n_classes, {self.dim}); got {centres.shape}. Use the head that answered")
        n = 1.0 / self._squares if self._seen else 0.0
        if self._seen < LEAST_PICTURES:
            text = f"{self._seen} live pictures are too few to compare; show at least {LEAST_PICTURES}."
            return Drift("none", None, 0.0, 1.0, n, text)
        scatter = _scatter(centres, counts)
        crowd = float((self._places.astype(np.float64) ** 2).sum())
        ratio, moved = self._shift(centres, counts, scatter, crowd)
        p_shift = _chi2_tail(ratio)
        usual, error = self._usual_score(centres, counts, scatter, crowd)
        fall = usual - self._score
        if p_shift < SOME:
            diluted = usual * (1.0 - sqrt(max(1.0 - moved, 0.0)))
            lost = fall - diluted > NEW_SHARE * _own_part(centres, counts, scatter)
            is_new = lost and self._score > GROSS_SHARE * usual
            return new_things(ratio, p_shift, n) if is_new else shift(ratio, p_shift, n)
        z = fall / error
        p_score = erfc(abs(z) / sqrt(2))
        if p_score < SOME:
            part = z > 0 and self._well >= FEW_WELL
            return new_things(z, p_score, n) if part else spread(z, p_score, n)
        text = f"The last {n:.0f} pictures look like those that were taught."
        return Drift("none", None, ratio, min(1.0, 2 * min(p_shift, p_score)), n, text)

    def _shift(
        self, centres: NDArray[np.float64], counts: NDArray[np.float64], scatter: float, crowd: float
    ) -> tuple[float, float]:
        """Squared length of the live mean outside the span of class means, over and less what it is without drift.

        Twice: from what was taught, and from the first pictures, where neither few shots nor what differs every day
        between teaching and use is in the way. The larger ratio counts.
        """
        now, then = _weights(self._places, len(centres)), _weights(self._usual_places, len(centres))
        taught = _outside(centres, self._mean.astype(np.float64), now)
        expected = self._squares + float((now**2 / counts).sum()) + CLASS_OFFSET * crowd + EVERYDAY_OFFSET
        found = _ratio(taught, OUTSIDE * scatter * expected)
        if self._usual_count < self.window:
            return found
        since = _outside(centres, self._mean.astype(np.float64) - self._usual_embedding, now - then)
        moved = (now - then) ** 2
        expected = self._squares + 1.0 / self.window + SAME_DAY_OFFSET
        expected += CHANGED_CLASSES * float((moved / counts).sum() + CLASS_OFFSET * moved.sum())
        return max(found, _ratio(since, OUTSIDE * scatter * expected))

    def _usual_score(
        self, centres: NDArray[np.float64], counts: NDArray[np.float64], scatter: float, crowd: float
    ) -> tuple[float, float]:
        """The usual mean score of what is shown now, and its standard error."""
        count = self._usual_count
        std = sqrt(self._usual_m2 / (count - 1))
        signal = np.maximum((centres * centres).sum(axis=1) - scatter / counts, 0.0)
        least = float(np.average(signal / np.sqrt(signal + scatter / counts + 1e-12), weights=counts))
        # A class with little scatter has a long mean and high scores: what the classes shown now explain is no fall.
        shown = _weights(self._places, len(centres)) - _weights(self._usual_places, len(centres))
        usual = self._usual_mean + float(shown @ np.sqrt((centres * centres).sum(axis=1)))
        usual = max(usual, least - _USUAL_SCORE_STD)
        std = max(std, _LEAST_SCORE_STD)
        crowd += float((self._usual_places.astype(np.float64) ** 2).sum())
        unsure = float((_weights(self._places, len(centres)) ** 2 / counts).sum()) * FEW_SHOTS_SCORE_OFFSET
        variance = self._squares + 1.0 / count + unsure + CLASS_SCORE_OFFSET * crowd + EVERYDAY_SCORE_OFFSET
        return usual, std * sqrt(variance)


def _outside(centres: NDArray[np.float64], vector: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Squared length of what of a vector is outside the span of the centres.

    Where there are too many centres, of what is left without their weighted sum.
    """
    if 2 * len(centres) <= len(vector):
        # Directions of rounding noise are none: a mean that is another's multiple adds nothing to the span.
        _, sizes, axes = np.linalg.svd(centres, full_matrices=False)
        axes = axes[sizes > 1e-6 * max(float(sizes[0]), 1e-30)]
        rest = vector - (axes @ vector) @ axes
    else:
        rest = vector - weights @ centres
    return float(rest @ rest)


def _ratio(length: float, expected: float) -> tuple[float, float]:
    return length / expected, max(length - expected, 0.0)


def _weights(places: NDArray[np.float32], n_classes: int) -> NDArray[np.float64]:
    """Share of each class among the answers, (n_classes,); classes that share a bucket share its weight."""
    bucket = np.arange(n_classes) % BUCKETS
    shared = np.bincount(bucket, minlength=BUCKETS)
    weights: NDArray[np.float64] = places.astype(np.float64)[bucket] / shared[bucket]
    return weights


def _scatter(centres: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Trace of the covariance within classes: 1 - |m|^2 with n / (n - 1), pooled, with a prior of four shots."""
    inside = np.maximum(1.0 - (centres * centres).sum(axis=1), 0.0)
    total = float((inside * counts).sum()) + _PRIOR_SHOTS * _PRIOR_SCATTER
    return max(total / (float((counts - 1).sum()) + _PRIOR_SHOTS), 1e-6)


def _own_part(centres: NDArray[np.float64], counts: NDArray[np.float64], scatter: float) -> float:
    """How much higher a picture scores with its class than with the average one, from the means."""
    inner = centres @ centres.T
    squares = inner.diagonal()
    signal = max(float(np.average(squares - scatter / counts, weights=counts)), 1e-6)
    off = len(centres) * (len(centres) - 1)
    cross = float(inner.sum() - squares.sum()) / off if off else 0.7 * signal
    return max(signal - cross, 0.05 * signal) / sqrt(signal + scatter / float(counts.mean()))


def _chi2_tail(ratio: float) -> float:
    """Chance that a chi-squared variable over its degrees of freedom exceeds `ratio` (Wilson and Hilferty 1931)."""
    unit = 2.0 / (9.0 * DIRECTIONS)
    return 0.5 * erfc((ratio ** (1.0 / 3.0) - 1.0 + unit) / sqrt(2.0 * unit))
