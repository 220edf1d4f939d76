"""GEN: how the shots of a class become its proxies.

| name | proxies of a class | a class has |
|---|---|---|
| mean | its mean | 1 |
| kmeans | the centres of k-means | k |
| kmedoids | the shots that k-medoids chooses | k |
| krandom | shots drawn at random, without repetition | k |
| kcovmax | the shots that vary most in common with the others | k |
| kfps | shots by farthest-point sampling | k |
| all | every shot | n |
| least-squares | its row of a least-squares map ("oracle") | 1 |
| k-least-squares | least-squares rows, one per k-means cluster | k |

With fewer than k shots a class has as many proxies as shots. Names as in Westerhoff et al. 2025, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_imprint.imprint.kmeans import kmeans
from edge_imprint.imprint.kmedoids import kmedoids
from edge_imprint.imprint.least_squares import least_squares

GENERATORS = (
    "mean", "kmeans", "kmedoids", "krandom", "kcovmax", "kfps", "all", "least-squares", "k-least-squares",
)  # fmt: skip
"""Choices of GEN."""


@dataclass(frozen=True)
class Proxies:
    """What `generate` made.

    Attributes:
        vectors: shape (n_proxies, dim), float32; the proxies of a class are neighbours.
        owners: shape (n_proxies,), ascending: the class of each proxy, by its place in the list of shots.
        bias: shape (n_proxies,), float32, added to an inner product; None where the generator has none.
    """

    vectors: NDArray[np.float32]
    owners: NDArray[np.intp]
    bias: NDArray[np.float32] | None = None


def generate(
    shots: Sequence[NDArray[np.float32]],
    gen: str,
    *,
    k: int,
    seed: int,
    n_init: int,
    ridge: float,
    bias: bool,
) -> Proxies:
    """Make proxies from the shots of every class.

    Every class draws from a fresh generator of the same seed, so that its proxies do not depend on the other
    classes (least-squares apart, which is about the other classes).

    Args:
        shots: arrays (n_c, dim), float32, n_c >= 1, one per class, after NORMpre. Not modified.
        gen: one of `GENERATORS`.
        k: proxies per class, for the generators that take a number.
        seed: of all random choices.
        n_init: starts of k-means and k-medoids.
        ridge: of the least-squares generators, see `least_squares`.
        bias: whether a least-squares row has a constant term.

    Raises:
        NotTaughtError: least-squares with one class.
        ValueRangeError: least-squares of nothing but zeros.

    Example:
        >>> X = np.array([[1, 0], [3, 0]], dtype=np.float32)
        >>> generate([X], "mean", k=1, seed=0, n_init=1, ridge=1e-3, bias=True).vectors.tolist()
        [[2.0, 0.0]]
    """
    if gen == "least-squares":
        rows, constant = least_squares(shots, ridge, bias)
        return Proxies(rows, np.arange(len(shots)), constant)
    if gen == "k-least-squares":
        groups: list[NDArray[np.float32]] = []
        owners: list[int] = []
        for owner, own in enumerate(shots):
            labels = kmeans(own, k, np.random.default_rng(seed), n_init).labels
            groups += [own[labels == label] for label in range(int(labels.max()) + 1)]
            owners += [owner] * (len(groups) - len(owners))
        if len(shots) == 1:  # clusters of a single class would pass for classes
            groups = groups[:1]
        rows, constant = least_squares(groups, ridge, bias)
        return Proxies(rows, np.array(owners, dtype=np.intp), constant)
    vectors = [_of_class(own, gen, k, np.random.default_rng(seed), n_init) for own in shots]
    return Proxies(np.concatenate(vectors), np.repeat(np.arange(len(shots)), [len(rows) for rows in vectors]))


def _of_class(X: NDArray[np.float32], gen: str, k: int, rng: np.random.Generator, n_init: int) -> NDArray[np.float32]:
    if gen == "mean":
        return np.asarray(X.mean(axis=0, dtype=np.float64, keepdims=True), dtype=np.float32)
    if gen == "kmeans":
        return kmeans(X, k, rng, n_init).centres
    if gen == "kmedoids":
        return X[kmedoids(X, k, rng, n_init)]
    if gen == "krandom":
        return X[np.sort(rng.permutation(len(X))[:k])]
    if gen == "kcovmax":
        return X[cov_max_rows(X, k)]
    if gen == "kfps":
        return X[farthest_rows(X, k, int(rng.integers(len(X))))]
    return X  # "all"


def cov_max_rows(X: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Choose the k shots with the largest sum of covariances with all shots of the class.

    The covariance of two shots is taken over their components, each shot about its own mean component, as the
    paper's k-cov-max does; the sums need one pass, not the n x n matrix.

    Args:
        X: shape (n, dim), float32. Not modified.
        k: number wanted; all n when k >= n.

    Returns:
        Row numbers, largest sum first, the earlier of equals first.

    Example:
        >>> cov_max_rows(np.array([[0, 1], [0, 9], [9, 0]], dtype=np.float32), 1).tolist()
        [1]
    """
    centred = X - X.mean(axis=1, dtype=np.float64, keepdims=True)
    sums = centred @ centred.sum(axis=0)
    return np.argsort(-sums, kind="stable")[:k]


def farthest_rows(X: NDArray[np.float32], k: int, first: int) -> NDArray[np.intp]:
    """Choose k shots by farthest-point sampling (Gonzalez 1985), Euclidean.

    Args:
        X: shape (n, dim), float32. Not modified.
        k: number wanted; all n when k >= n.
        first: row to begin with; the paper draws it at random.

    Returns:
        Row numbers in the order of choice, pairwise different; the earlier of equally far shots first.

    Example:
        >>> farthest_rows(np.array([[0], [1], [5], [9]], dtype=np.float32), 3, first=0).tolist()
        [0, 3, 2]
    """
    rows = [first]
    nearest = np.full(len(X), np.inf)
    while len(rows) < min(k, len(X)):
        gap = X - X[rows[-1]]
        nearest = np.minimum(nearest, np.einsum("ij,ij->i", gap, gap))
        nearest[rows[-1]] = -1  # a chosen shot is never chosen again, not even among copies of itself
        rows.append(int(nearest.argmax()))
    return np.array(rows, dtype=np.intp)
