"""Fitted lines with their 95 % intervals: a power law in logarithms, and a slope over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEAST_POINTS = 3


class Slope(NamedTuple):
    """A fitted slope and its 95 % interval (Student's t, independent errors)."""

    value: float
    low: float
    high: float


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Least-squares slope of y over x.

    Raises:
        ValueError: fewer than 3 points, which leave nothing to say how sure the slope is.
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    if len(x) < LEAST_POINTS:
        raise ValueError(f"a slope with an interval needs at least {LEAST_POINTS} points; got {len(x)}")
    across = np.asarray(x, np.float64) - np.mean(x)
    value = float(across @ np.asarray(y, np.float64) / (across @ across))
    rest = np.asarray(y, np.float64) - np.mean(y) - value * across
    error = np.sqrt(rest @ rest / (len(x) - 2) / (across @ across))
    half = float(t.ppf(0.975, len(x) - 2) * error)
    return Slope(value, value - half, value + half)


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> Slope:
    """The p of cost = a * size^p, by least squares on logarithms (at least 3 sizes, all above 0)."""
    return slope(np.log(sizes).tolist(), np.log(costs).tolist())
