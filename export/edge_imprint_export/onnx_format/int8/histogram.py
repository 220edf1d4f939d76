"""Ranges of activations from histograms that grow as pictures stream by: memory does not depend on their number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

HALF = 2048
LEVELS = 256
# Values of one tensor of one picture that are counted, about; the stride is odd, as rows often are even.
SAMPLED = 1 << 17
# Of all values, the part that "percentile" leaves outside on each side; onnxruntime's default is 99.999 %.
OUTSIDE = 5e-6
Cost = Callable[[float, float], float]


class Histogram:
    """How often each value occurs: 2 * HALF bins of equal width about zero, widened by powers of two when needed.

    Bins start at multiples of their width, so that a pair merges into one exactly when the width doubles and the
    result does not depend on when that happened. Zeros, of which a ReLU makes many, are exact in 8 bits and are counted
    apart.

    Attributes:
        low, high: least and largest value seen; 0.0 is always within.
    """

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0
        self._width = 0.0
        self._zeros = 0
        self._counts = np.zeros(2 * HALF, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array of any shape; of a large one every few values, but its least and largest in any case.

        Args:
            values: finite.
        """
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-low, high)
        sampled = values.reshape(-1)[:: values.size // SAMPLED | 1]
        nonzero = sampled[sampled != 0]
        self._zeros += len(sampled) - len(nonzero)
        if largest == 0.0:
            return
        # A value at the upper edge must still fall into the last bin, hence the strict comparison.
        while self._width * (HALF - 1) <= largest:
            self._widen(largest)
        index = np.floor(nonzero * np.float32(1 / self._width)).astype(np.int64) + HALF
        self._counts += np.bincount(np.clip(index, 0, 2 * HALF - 1), minlength=2 * HALF)

    def _widen(self, largest: float) -> None:
        if self._width == 0.0:
            # 2^-126: the least power of two that is a normal float32 and whose inverse is one too.
            self._width = 2.0 ** max(math.ceil(math.log2(largest / (HALF - 1))), -125)
            return
        self._width *= 2
        merged = self._counts.reshape(-1, 2).sum(1)
        self._counts[:] = 0
        self._counts[HALF // 2 : HALF // 2 + HALF] = merged

    def _centres(self) -> NDArray[np.float64]:
        return (np.arange(-HALF, HALF, dtype=np.float64) + 0.5) * np.float64(self._width)

    def range(self, method: str) -> tuple[float, float]:
        """Lowest and highest value that 8 bits should express, zero within.

        Args:
            method: "minmax", "percentile", "entropy" (least Kullback-Leibler divergence, as in TensorRT) or "mse"
                (least mean squared error of rounding and clipping).
        """
        if method == "minmax" or not self._counts.any():
            return self.low, self.high
        if method == "percentile":
            return self._percentile()
        if method == "mse":
            return self._least(self._mse)
        return self._least(self._divergence)

    def _percentile(self) -> tuple[float, float]:
        counts = self._counts.copy()
        counts[HALF] += self._zeros
        share = np.cumsum(counts) / counts.sum()
        below = int(np.searchsorted(share, OUTSIDE, side="right"))
        above = int(np.searchsorted(share, 1 - OUTSIDE, side="left"))
        edges = np.arange(-HALF, HALF + 1) * self._width
        return max(self.low, min(float(edges[below]), 0.0)), min(self.high, max(float(edges[above + 1]), 0.0))

    def _least(self, cost: Cost) -> tuple[float, float]:
        """Shrink both sides together, then each alone, and keep what costs least; ties keep the wider range."""
        best = (cost(self.low, self.high), 0.0, 0.0)
        steps = np.linspace(0.0, 0.7, 36)
        for axis in ((1, 1), (1, 0), (0, 1)):
            _, a0, b0 = best
            for step in steps:
                a, b = (a0 if not axis[0] else step), (b0 if not axis[1] else step)
                value = cost(self.low * (1 - a), self.high * (1 - b))
                if value < best[0]:
                    best = (value, float(a), float(b))
        return self.low * (1 - best[1]), self.high * (1 - best[2])

    def _mse(self, low: float, high: float) -> float:
        scale, x = max((high - low) / (LEVELS - 1), 1e-30), self._centres()
        # Rounding costs scale^2 / 12; bins may be wider than a step, so that it cannot be read off the histogram.
        excess = np.maximum(x - high, 0) + np.maximum(low - x, 0)
        return float(self._counts @ np.where(excess > 0, excess**2, scale**2 / 12))

    def _divergence(self, low: float, high: float) -> float:
        counts = self._counts.astype(np.float64)
        level = np.floor((self._centres() - low) / max((high - low) / LEVELS, 1e-30)).astype(np.int64)
        level = np.clip(level, 0, LEVELS - 1)
        clipped = (self._centres() < low) | (self._centres() > high)
        reference = counts * ~clipped
        ends = np.flatnonzero(~clipped)
        if not len(ends) or not counts.sum():
            return np.inf
        reference[ends[0]] += counts[: ends[0]].sum()
        reference[ends[-1]] += counts[ends[-1] + 1 :].sum()
        held = counts * ~clipped
        filled = held > 0
        per_level = np.bincount(level[filled], held[filled], LEVELS)
        bins = np.bincount(level[filled], minlength=LEVELS)
        spread = np.zeros_like(held)
        spread[filled] = per_level[level[filled]] / bins[level[filled]]
        p, q = reference / reference.sum(), spread / max(spread.sum(), 1e-30)
        both = p > 0
        return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())
