"""How often classes are mistaken for each other, now and with more shots, from means and counts alone.

A shot x of class a is answered with b when x . (m_a / |m_a| - m_b / |m_b|) < 0, m being means of unit shots. This
margin has mean t_a / |m_a| - m_a . m_b / |m_b|, where t = |m|^2 - T / n is the squared length without the noise of n
shots and T the trace of the scatter within classes, and a variance proportional to T. More shots shorten |m_a| to
sqrt(t + T / n'), which is all that they do here: the learning curve in closed form. Margins that were seen are drawn to
their common mean by as much as few shots make them differ by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_imprint.errors import NotTaughtError, ShapeError, ValueRangeError

Float64 = NDArray[np.float64]

# On embeddings of real pictures (docs/ADVICE.md): T over the variance along what tells classes apart, and along the
# noise of means; half the mean squared gap between classes over T; how alike a shot's margins to other classes are.
SIGNAL_DIRECTIONS, NOISE_DIRECTIONS = 20.0, 30.0
GAP_SHARE = 0.163
PRIOR_SHOTS = 4.0
MARGIN_CORRELATION = 0.5
LEAST_TRUST = 0.2
# Means that were rounded may be a little longer than 1.
MEAN_LENGTH_MAX = 1.01
_LEAST_SIGNAL = 0.02
_LEAST_SQUARE = 0.01
_LEAST = 1e-12


@dataclass(frozen=True)
class Curve:
    """What means and counts say about at least two classes.

    Attributes:
        shots: (n_classes,) float64.
        scatter: trace of the covariance within classes.
        signal: typical squared length of a class's mean without noise.
        cross: typical inner product of two class means.
        deviation: (n_classes, n_classes) how much further than typical row a's shots are on their own side of b;
            diagonal 0.
    """

    shots: Float64
    scatter: float
    signal: float
    cross: float
    deviation: Float64

    def confusion(self) -> Float64:
        """Chance that a shot of row a scores higher with column b than with a, (n_classes, n_classes); diagonal 0."""
        chance = 1.0 - _normal(self._margins(self.shots, level=False))
        np.fill_diagonal(chance, 0.0)
        return chance

    def accuracy(self) -> Float64:
        """Expected share of each class's pictures that are answered right, (n_classes,)."""
        return _accuracy(self._margins(self.shots, level=False))

    def gain(self, more: int = 5) -> Float64:
        """By how much each class's share would rise with `more` shots of it, (n_classes,).

        Classes with fewer shots are taken to keep level: what a class wins only because the others are behind is no
        gain of the head.
        """
        more_right = _accuracy(self._margins(self.shots + more)) - _accuracy(self._margins(self.shots))
        return np.maximum(more_right, 0.0)

    def _margins(self, own: Float64, level: bool = True) -> Float64:
        """Margins over their standard deviation, row a with own[a] shots.

        Column b has as many as it has now; with `level` at least as many as the row.
        """
        other = np.maximum(self.shots, own[:, None]) if level else np.broadcast_to(self.shots, self.deviation.shape)
        own_length, other_length = (np.sqrt(self.signal + self.scatter / n) for n in (own[:, None], other))
        centre = _centre(self.signal, self.cross, own_length, other_length)
        variance = _variance(self, own[:, None], other, own_length, other_length)
        margins: Float64 = (centre + self.deviation) / np.sqrt(variance + _LEAST)
        return margins


def curve_of(means: ArrayLike, shots: ArrayLike) -> Curve:
    """Gather what the learning curves follow from; costs dim n_classes^2 multiplications.

    Args:
        means: (n_classes, dim) running means of unit shots, not normalised, n_classes >= 2. Not modified.
        shots: (n_classes,) counts, at least 1.

    Raises:
        NotTaughtError: fewer than two classes.
        ShapeError: shapes that do not fit.
        ValueRangeError: NaN or infinity, a mean longer than 1, or a class without shots.
    """
    centres, n = check_taught(means, shots)
    if len(centres) < 2:
        raise NotTaughtError(f"classes can be told apart when there are two; got {len(centres)}. Teach another class")
    inner = centres @ centres.T
    squares = inner.diagonal().copy()
    off = ~np.eye(len(centres), dtype=bool)
    gaps = (squares[:, None] + squares - 2 * inner)[off]
    usual = max(float(gaps.mean()), 0.0) / 2 / (float((1 / n).mean()) + GAP_SHARE)
    seen = float((np.maximum(1 - squares, 0.0) * n).sum())
    scatter = max((seen + PRIOR_SHOTS * usual) / (float((n - 1).sum()) + PRIOR_SHOTS), _LEAST)
    signals = squares - scatter / n
    signal = max(float(np.average(signals, weights=n)), _LEAST_SIGNAL)
    cross = min(float(inner[off].mean()), 0.98 * signal)
    lengths = np.sqrt(np.maximum(squares, _LEAST_SQUARE))
    typical = np.sqrt(signal + scatter / n)
    rows, columns = typical[:, None], np.broadcast_to(typical, inner.shape)
    deviation = (signals / lengths)[:, None] - inner / lengths - _centre(signal, cross, rows, columns)
    plain = Curve(n, scatter, signal, cross, deviation)
    noise = float(
        (_variance(plain, n[:, None], np.broadcast_to(n, inner.shape), rows, columns) / n[:, None])[off].mean()
    )
    spread = float(deviation[off].var())
    trust = max(LEAST_TRUST, 1 - noise / spread) if spread > _LEAST else 1.0
    return Curve(n, scatter, signal, cross, np.where(off, trust * deviation, 0.0))


def check_taught(means: ArrayLike, shots: ArrayLike) -> tuple[Float64, Float64]:
    """Means (n_classes, dim) and counts (n_classes,) in float64.

    Raises:
        ShapeError, ValueRangeError: as in `curve_of`.
    """
    centres, n = np.asarray(means, dtype=np.float64), np.asarray(shots, dtype=np.float64)
    if centres.ndim != 2 or n.shape != centres.shape[:1]:
        raise ShapeError(
            f"means must be (n_classes, dim) and shots (n_classes,); got {centres.shape} and {n.shape}. "
            "Pass one mean and one count for each class"
        )
    if not np.isfinite(centres).all() or not np.isfinite(n).all() or not (n >= 1).all():
        raise ValueRangeError("means must be finite and shots at least 1; got others. Pass the head's own means")
    longest = float(np.abs(centres).max()) if centres.size else 0.0
    if longest <= MEAN_LENGTH_MAX and len(centres):
        longest = float(np.sqrt((centres * centres).sum(axis=1).max()))
    if longest > MEAN_LENGTH_MAX:
        raise ValueRangeError(
            f"a mean of unit shots is at most 1 long; got {longest:.3g}. Normalise shots, then average"
        )
    return centres, n


def _centre(signal: float, cross: float, own_length: Float64, other_length: Float64) -> Float64:
    """Typical margin of each row over each column, from lengths of means (n_classes, 1) and (n_classes, n_classes)."""
    margins: Float64 = signal / own_length - cross / other_length
    return margins


def _variance(curve: Curve, own: Float64, other: Float64, own_length: Float64, other_length: Float64) -> Float64:
    """Variance of the margins, (n_classes, n_classes): scatter along the gap of the means and along their noise."""
    noise = curve.scatter / own / own_length**2 + curve.scatter / other / other_length**2
    length = 2 - 2 * curve.cross / (own_length * other_length)
    found: Float64 = curve.scatter * (np.maximum(length - noise, 0.0) / SIGNAL_DIRECTIONS + noise / NOISE_DIRECTIONS)
    return found


def _normal(z: Float64) -> Float64:
    """Normal distribution function, off by at most 0.0002 (logistic with a cubic term, Page 1977)."""
    found: Float64 = 1 / (1 + np.exp(-np.clip(1.5957691 * z + 0.07056 * z**3, -50, 50)))
    return found


def _accuracy(margins: Float64) -> Float64:
    """Probability that all margins of a row are positive, (n_classes,): equally correlated normal variables.

    A table holds the logarithm of the chance of one margin for each value of what all share; margins between two of its
    rows count as a part of each.
    """
    size, count = len(_MARGINS), len(margins)
    at = (np.clip(margins, _MARGINS[0], _MARGINS[-1] - _STEP / 2) - _MARGINS[0]) / _STEP
    np.fill_diagonal(at, 0.0)
    whole = at.astype(np.intp)  # what bincount counts with, 32 bits on a 32-bit machine
    part = at - whole
    parts = np.stack([1 - part, part])
    # A class is not its own rival.
    parts[:, np.arange(count), np.arange(count)] = 0.0
    place = whole + size * np.arange(count)[:, None]
    places = np.stack([place, place + 1])
    rivals = np.bincount(places.ravel(), parts.ravel(), size * count).reshape(count, size)
    log_chances, weights = _chances()
    found: Float64 = np.exp(rivals @ log_chances) @ weights
    return found


_STEP = 0.05
_MARGINS = np.arange(-160, 161) * _STEP


@cache
def _chances() -> tuple[Float64, Float64]:
    """Logarithms of the chance of each of `_MARGINS`, (n_margins, 20), by what all share, and its weights, (20,).

    At first use: a program that only recognises needs neither this nor numpy's polynomials, which it loads.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    shared = (_MARGINS[:, None] + np.sqrt(MARGIN_CORRELATION) * nodes) / np.sqrt(1 - MARGIN_CORRELATION)
    return np.log(_normal(shared)), weights / weights.sum()
