"""Intervals over seeds, calibration error, and how large the latter is by chance alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
SIMULATIONS = 200


def half_width(samples: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of samples (Student's t); NaN for a single one."""
    from scipy.stats import t  # type: ignore[import-untyped]

    n = len(samples)
    if n < 2:
        return float("nan")
    return float(t.ppf(0.975, n - 1) * np.std(samples, ddof=1) / np.sqrt(n))


def calibration_error(confidence: NDArray[Any], right: NDArray[Any]) -> float:
    """Expected calibration error, 15 bins of equal mass, in percent.

    Args:
        confidence: probability that the answer is right, shape (n,), n >= 1.
        right: whether it was, shape (n,), 0 or 1.

    Returns:
        The mean over the bins, weighted by their pictures, of |mean confidence - share of right answers|, 0 to 100.
        Answers of equal confidence that lie on a border are divided between its bins by their mean.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    values, inverse = np.unique(confidence, return_inverse=True)
    share = np.bincount(inverse, right) / np.bincount(inverse)
    order = np.argsort(confidence, kind="stable")
    gaps = (values - share)[inverse][order]
    return 100.0 * float(sum(abs(part.sum()) for part in np.array_split(gaps, min(BINS, len(gaps)))) / len(gaps))


def calibration_floor(confidence: NDArray[Any], seed: int) -> float:
    """The calibration error to expect of perfect confidences, in percent: what few pictures show by chance.

    Args:
        confidence: shape (n,).
        seed: of the simulated right and wrong answers.
    """
    rng = np.random.default_rng([seed, 4])
    confidence = np.asarray(confidence, np.float64)
    return float(
        np.mean([calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(SIMULATIONS)])
    )
