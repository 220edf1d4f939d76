"""k-means in numpy: greedy k-means++ seeding and Lloyd's iterations as float32 matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 8192
"""Rows handled at once: with k centres the working memory is 8 * k * CHUNK_ROWS bytes besides the centred
shots."""

MAX_ITER = 300
TOLERANCE = 1e-4
NOISE = 8 * float(np.finfo(np.float32).eps)
"""Squared distances below this share of the squared lengths they come from are rounding: the points are
equal."""


@dataclass(frozen=True)
class KMeansResult:
    """What `kmeans` found.

    Attributes:
        centres: shape (n_centres, dim), float32; every centre has at least one shot.
        labels: shape (n,), the centre each shot is nearest to.
        inertia: sum of squared distances of the shots to their centres.
        n_iter: Lloyd iterations of the best start.
    """

    centres: NDArray[np.float32]
    labels: NDArray[np.intp]
    inertia: float
    n_iter: int


def kmeans(X: NDArray[np.float32], k: int, rng: np.random.Generator, n_init: int = 1) -> KMeansResult:
    """Cluster shots around k centres (Lloyd 1982), keeping the best of several starts.

    Starts are greedy k-means++ (Arthur and Vassilvitskii 2007; 2 + ln k trials per centre, as scikit-learn
    does). A start ends when no shot changes its centre, or the centres together moved by less than 1e-4 of
    the mean variance per component, or after 300 iterations. A centre that loses its last shot moves to the
    shot that is farthest from its own centre.

    Args:
        X: shape (n, dim), float32, finite. Not modified.
        k: number of centres, at least 1. With k >= n every shot is a centre.
        rng: source of the starts; the same state gives the same centres.
        n_init: number of starts, at least 1.

    Returns:
        At most k centres: fewer only when fewer than k shots differ from each other.

    Example:
        >>> X = np.array([[0, 0], [0, 1], [9, 0], [9, 1]], dtype=np.float32)
        >>> sorted(kmeans(X, 2, np.random.default_rng(0)).centres.tolist())
        [[0.0, 0.5], [9.0, 0.5]]
    """
    n = len(X)
    if k >= n:
        return KMeansResult(X.copy(), np.arange(n), 0.0, 0)
    # About the mean, squared lengths are small and x^2 - 2xc + c^2 loses few digits.
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    Z = X - mean
    squares = np.einsum("ij,ij->i", Z, Z)
    best: KMeansResult | None = None
    for _ in range(n_init):
        result = _lloyd(Z, squares, Z[seed_rows(Z, squares, k, rng)])
        if best is None or result.inertia < best.inertia:
            best = result
    assert best is not None
    return KMeansResult(best.centres + mean, best.labels, best.inertia, best.n_iter)


def seed_rows(
    Z: NDArray[np.float32], squares: NDArray[np.float32], k: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Choose rows to start from by greedy k-means++: far from each other, in proportion to squared distance.

    Args:
        Z: shape (n, dim), float32, centred about its mean.
        squares: shape (n,), squared lengths of the rows.
        k: rows wanted, 1 <= k <= n.
        rng: source of randomness.

    Returns:
        At most k row numbers of pairwise different shots; fewer when no further shot differs from all chosen.

    Example:
        >>> Z = np.array([[-1.0], [1.0], [1.0]], dtype=np.float32)
        >>> len(seed_rows(Z, Z[:, 0] ** 2, 3, np.random.default_rng(0)))
        2
    """
    trials = 2 + int(np.log(k))
    rows = [int(rng.integers(len(Z)))]
    nearest = _squared_distances(Z, squares, np.array(rows))[0]
    while len(rows) < k:
        cumulative = np.cumsum(nearest, dtype=np.float64)
        if cumulative[-1] <= 0:
            break
        picks = np.searchsorted(cumulative, rng.random(trials) * cumulative[-1], side="right")
        # Rounding may point one past the last row that has any weight left.
        picks = np.minimum(picks, int(np.flatnonzero(nearest)[-1]))
        candidates = np.minimum(_squared_distances(Z, squares, picks), nearest)
        chosen = int(candidates.sum(axis=1, dtype=np.float64).argmin())
        rows.append(int(picks[chosen]))
        nearest = candidates[chosen]
    return np.array(rows, dtype=np.intp)


def _squared_distances(
    Z: NDArray[np.float32], squares: NDArray[np.float32], rows: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Squared distances (len(rows), n) from some rows to all rows; what is only rounding becomes 0."""
    lengths = squares[rows][:, None] + squares
    distances = lengths - 2 * (Z[rows] @ Z.T)
    distances[distances <= NOISE * lengths] = 0
    return np.asarray(distances)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK_ROWS, n)) for start in range(0, n, CHUNK_ROWS))


def _assign(
    Z: NDArray[np.float32], squares: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Nearest centre of every shot, the first of equals, and the squared distance to it."""
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)[:, None]
    labels = np.empty(len(Z), dtype=np.intp)
    distances = np.empty(len(Z), dtype=np.float32)
    for part in _chunks(len(Z)):
        # centres @ Z.T, not Z @ centres.T: the wide result keeps BLAS and the argmax on long rows.
        closeness = centres @ Z[part].T
        closeness -= half
        labels[part] = closeness.argmax(axis=0)
        distances[part] = squares[part] - 2 * closeness.max(axis=0)
    return labels, np.maximum(distances, 0)


def _transfer(
    Z: NDArray[np.float32], sums: NDArray[np.float64], labels: NDArray[np.intp], previous: NDArray[np.intp]
) -> None:
    """Move the shots whose label changed from one sum to another, in place.

    After a few iterations only a small part changes. The sums are float64 so that no error builds up.
    """
    changed = np.flatnonzero(labels != previous)
    for part in _chunks(len(changed)):
        rows = changed[part]
        members = np.zeros((len(sums), len(rows)), dtype=np.float32)
        members[labels[rows], np.arange(len(rows))] = 1
        members[previous[rows], np.arange(len(rows))] = -1
        sums += members @ Z[rows]


def _lloyd(Z: NDArray[np.float32], squares: NDArray[np.float32], centres: NDArray[np.float32]) -> KMeansResult:
    """Iterate from the given centres until they rest."""
    k = len(centres)
    rest = TOLERANCE * float(squares.mean(dtype=np.float64)) / Z.shape[1]
    previous = np.full(len(Z), k)  # nobody's shots: the last of k + 1 sums belongs to no centre
    sums = np.zeros((k + 1, Z.shape[1]))
    settled = False
    n_iter = 0
    while n_iter < MAX_ITER and not settled:
        n_iter += 1
        labels, distances = _assign(Z, squares, centres)
        settled = bool(np.array_equal(labels, previous))
        _transfer(Z, sums, labels, previous)
        counts = np.bincount(labels, minlength=k)
        if not counts.all():
            _refill(Z, squares, labels, distances, sums, counts)
        filled = counts > 0
        moved = centres.copy()
        moved[filled] = sums[:k][filled] / counts[filled, None]
        settled = settled or float(np.square(moved - centres).sum(dtype=np.float64)) <= rest
        centres, previous = moved, labels
    labels, distances = _assign(Z, squares, centres)
    used, labels = np.unique(labels, return_inverse=True)
    return KMeansResult(centres[used], labels, float(distances.sum(dtype=np.float64)), n_iter)


def _refill(
    Z: NDArray[np.float32],
    squares: NDArray[np.float32],
    labels: NDArray[np.intp],
    distances: NDArray[np.float32],
    sums: NDArray[np.float64],
    counts: NDArray[np.intp],
) -> None:
    """Give every empty centre the shot farthest from its own; changes labels, sums and counts in place."""
    candidates = iter(np.argsort(-distances, kind="stable"))
    for empty in np.flatnonzero(counts == 0):
        for row in candidates:
            if distances[row] <= NOISE * squares[row]:
                return  # every shot left lies on its centre: there is nothing to split
            owner = labels[row]
            if counts[owner] > 1:
                sums[owner] -= Z[row]
                counts[owner] -= 1
                sums[empty], counts[empty], labels[row] = Z[row], 1, empty
                break
