"""Drift: do the pictures of today look like those that were taught? A running comparison in fixed memory.

A change of camera, light or backbone moves all embeddings in a common direction. What the classes themselves do lies
within the span of their means, so the monitor looks at the part of the running mean of live embeddings that is
orthogonal to this span. Three things make that part long without any drift, and the test allows for them: few live
pictures, few shots behind the means, and a stream that shows few classes, each with its own small difference between
the pictures taught and those of today. A drop of scores without a common direction means things never taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.head.learning_curve import check_taught

Level = Literal["none", "some", "strong"]
Kind = Literal["shift", "spread", "new things"]

BUCKETS = 64
LEAST_PICTURES = 16
# Shares of the scatter, on embeddings of real pictures (docs/ADVICE.md): what a class's pictures of another day differ
# by in their mean, what those of all classes do, and how many directions the scatter has.
# What counts is the scatter outside the span of the means.
OUTSIDE = 0.7
CLASS_OFFSET = 0.07
EVERYDAY_OFFSET = 0.03
DIRECTIONS = 20.0
# The same for scores, in squared standard deviations of one score.
CLASS_SCORE_OFFSET = 0.06
FEW_SHOTS_SCORE_OFFSET = 0.4
EVERYDAY_SCORE_OFFSET = 0.01
SOME, STRONG = 1e-3, 1e-6
# A shift dilutes scores; new things lose more: this share of what a class's score owes to being that class. Where less
# than GROSS_SHARE of the usual score is left, not even what all classes have in common is there: another backbone.
NEW_SHARE = 0.4
GROSS_SHARE = 0.4
FEW_WELL = 0.1
_USUAL_SCORE_STD = 0.15
_LEAST_SCORE_STD = 0.02
_PRIOR_SCATTER, _PRIOR_SHOTS = 0.5, 4.0


@dataclass(frozen=True)
class Drift:
    """What `DriftMonitor.report` found.

    Attributes:
        level: "some" from a p-value of 1e-3, "strong" from 1e-6.
        kind: "shift" for a common direction (camera, light, backbone), "spread" for scores that changed everywhere
            without one, "new things" for scores that fell while others stay; None without drift.
        statistic: how many times longer than expected without drift the squared common direction is; for the other
            kinds the drop of the mean score in standard errors.
        p_value: chance of such a statistic without drift, by the formula's own assumptions.
        n: live pictures that the answer rests on, at most about the window.
        sentence: what to do, in English.
    """

    level: Level
    kind: Kind | None
    statistic: float
    p_value: float
    n: float
    sentence: str


class DriftMonitor:
    """Compares live embeddings with what was taught: 4 bytes for each dimension, and 600 more.

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
        self.reset()

    @property
    def nbytes(self) -> int:
        """Bytes that the monitor keeps between pictures."""
        return self._mean.nbytes + 2 * self._places.nbytes + 8 * 8

    def reset(self) -> None:
        """Forget all live pictures; call it after teaching or forgetting a class."""
        self._mean[:] = 0
        self._places[:] = 0
        self._usual_places[:] = 0
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
        x /= largest
        x /= np.sqrt(x @ x)
        self._seen += 1
        step = max(1.0 / self._seen, 2.0 / (self.window + 1))
        self._mean += (step * (x - self._mean)).astype(np.float32)
        self._places *= np.float32(1.0 - step)
        self._places[place % BUCKETS] += np.float32(step)
        if self._usual_count < self.window:
            self._usual_places[:] = self._places
        self._squares = (1.0 - step) ** 2 * self._squares + step * step
        self._score += step * (score - self._score)
        if self._usual_count < self.window:
            self._usual_count += 1
            delta = score - self._usual_mean
            self._usual_mean += delta / self._usual_count
            self._usual_m2 += delta * (score - self._usual_mean)
        self._well += step * (float(score >= self._usual_mean) - self._well)

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
            new = lost and self._score > GROSS_SHARE * usual
            return _new_things(ratio, p_shift, n) if new else _shift(ratio, p_shift, n)
        z = fall / error
        p_score = erfc(abs(z) / sqrt(2))
        if p_score < SOME:
            part = z > 0 and self._well >= FEW_WELL
            return _new_things(z, p_score, n) if part else _spread(z, p_score, n)
        text = f"The last {n:.0f} pictures look like those that were taught."
        return Drift("none", None, ratio, min(1.0, 2 * min(p_shift, p_score)), n, text)

    def _shift(
        self, centres: NDArray[np.float64], counts: NDArray[np.float64], scatter: float, crowd: float
    ) -> tuple[float, float]:
        """Squared length of the live mean outside the span of class means, over and less what it is without drift."""
        mean = self._mean.astype(np.float64)
        if 2 * len(centres) <= self.dim:
            # Directions of rounding noise are none: a mean that is another's multiple adds nothing to the span.
            _, sizes, axes = np.linalg.svd(centres, full_matrices=False)
            axes = axes[sizes > 1e-6 * max(float(sizes[0]), 1e-30)]
            outside = mean - (axes @ mean) @ axes
        else:
            weights = _weights(self._places, len(centres))
            outside = mean - weights @ centres
        weights = _weights(self._places, len(centres))
        unsure = float((weights**2 / counts).sum())
        expected = OUTSIDE * scatter * (self._squares + unsure + CLASS_OFFSET * crowd + EVERYDAY_OFFSET)
        length = float(outside @ outside)
        return length / expected, max(length - expected, 0.0)

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


def _level(p: float) -> Level:
    return "strong" if p < STRONG else "some"


def _new_things(statistic: float, p: float, n: float) -> Drift:
    text = (
        f"Many of the last {n:.0f} pictures score lower than usual with every class: things that were never taught. "
        "Teach them, or ask for answers with reject; if they are known, the camera changed."
    )
    return Drift(_level(p), "new things", statistic, p, n, text)


def _spread(z: float, p: float, n: float) -> Drift:
    change = "lower" if z > 0 else "higher"
    text = (
        f"All of the last {n:.0f} pictures score {change} than usual, in no common direction: blur, noise, a covered "
        "lens, or only things that were never taught. Look at a picture; teach shots of today if it is as it should be."
    )
    return Drift(_level(p), "spread", z, p, n, text)


def _shift(ratio: float, p: float, n: float) -> Drift:
    text = (
        f"The last {n:.0f} pictures differ from the taught ones in the same way, {ratio:.1f} times as much as usual: "
        "camera, light or backbone changed, or one thing that was never taught fills them. Undo the change, teach the "
        "thing, or teach each class a few shots of today."
    )
    return Drift(_level(p), "shift", ratio, p, n, text)


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
