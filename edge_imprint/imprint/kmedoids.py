"""k-medoids in numpy: centres that are shots themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_imprint.imprint.kmeans import NOISE, seed_rows

MAX_ITER = 100
BLOCK = 1 << 22
"""Distances held at once: 16 MB of float32."""


def kmedoids(X: NDArray[np.float32], k: int, rng: np.random.Generator, n_init: int = 1) -> NDArray[np.intp]:
    """Choose k shots with a small sum of Euclidean distances from all shots to the nearest chosen one.

    Alternates (Park and Jun 2009, "alternate" in scikit-learn-extra, which the paper used) between giving
    every shot to its nearest medoid and making the most central shot of each group its medoid, from k-means++
    starts, until the sum of distances no longer falls. Time n^2 / k * dim per iteration, memory 16 MB besides
    the shots.

    Args:
        X: shape (n, dim), float32, finite. Not modified.
        k: number of medoids, at least 1. With k >= n every shot is a medoid.
        rng: source of the starts.
        n_init: number of starts; the one with the smallest sum is kept.

    Returns:
        Ascending row numbers of at most k shots: fewer only when fewer than k shots differ from each other.

    Example:
        >>> X = np.array([[0], [1], [2], [50], [51], [52]], dtype=np.float32)
        >>> kmedoids(X, 2, np.random.default_rng(0)).tolist()
        [1, 4]
    """
    n = len(X)
    if k >= n:
        return np.arange(n)
    Z = X - X.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("ij,ij->i", Z, Z)
    best, best_cost = np.arange(0), np.inf
    for _ in range(n_init):
        rows, cost = _alternate(Z, squares, seed_rows(Z, squares, k, rng))
        if cost < best_cost:
            best, best_cost = rows, cost
    return np.sort(best)


def _alternate(
    Z: NDArray[np.float32], squares: NDArray[np.float32], medoids: NDArray[np.intp]
) -> tuple[NDArray[np.intp], float]:
    labels, cost = _nearest(Z, squares, medoids)
    for _ in range(MAX_ITER):
        groups = [np.flatnonzero(labels == j) for j in range(len(medoids))]
        moved = np.array([rows[_most_central(Z[rows], squares[rows])] for rows in groups], dtype=np.intp)
        moved_labels, moved_cost = _nearest(Z, squares, moved)
        # Only a real fall goes on: sums that differ by rounding could alternate for ever.
        if moved_cost >= cost:
            break
        medoids, labels, cost = moved, moved_labels, moved_cost
    return medoids, cost


def _nearest(
    Z: NDArray[np.float32], squares: NDArray[np.float32], medoids: NDArray[np.intp]
) -> tuple[NDArray[np.intp], float]:
    """Nearest medoid of every shot, and the sum of the distances. A medoid always keeps itself."""
    labels = np.empty(len(Z), dtype=np.intp)
    total = 0.0
    step = max(1, BLOCK // len(medoids))
    for start in range(0, len(Z), step):
        rows = slice(start, start + step)
        distances = _distances(Z[medoids], squares[medoids], Z[rows], squares[rows])
        labels[rows] = distances.argmin(axis=0)
        total += float(distances.min(axis=0).sum(dtype=np.float64))
    labels[medoids] = np.arange(len(medoids))
    return labels, total


def _most_central(Z: NDArray[np.float32], squares: NDArray[np.float32]) -> int:
    """Row with the smallest sum of distances to all rows; the first of equals."""
    sums = np.empty(len(Z))
    step = max(1, BLOCK // len(Z))
    for start in range(0, len(Z), step):
        rows = slice(start, start + step)
        sums[rows] = _distances(Z[rows], squares[rows], Z, squares).sum(axis=1, dtype=np.float64)
    return int(sums.argmin())


def _distances(
    A: NDArray[np.float32], a: NDArray[np.float32], B: NDArray[np.float32], b: NDArray[np.float32]
) -> NDArray[np.float32]:
    lengths = a[:, None] + b
    squared = lengths - 2 * (A @ B.T)
    squared[squared <= NOISE * lengths] = 0
    return np.asarray(np.sqrt(squared))
