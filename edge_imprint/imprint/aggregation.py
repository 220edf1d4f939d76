"""AGG: from the proxies' similarities to one score per class.

`max` takes the nearest proxy of each class, `m-nn` lets the m nearest proxies of all classes vote. "Near" is
the inner product, the cosine, or the Euclidean, Manhattan or Mahalanobis distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ValueRangeError

AGGREGATIONS = ("max", "m-nn")
"""Choices of AGG."""

METRICS = ("inner", "cosine", "euclidean", "manhattan", "mahalanobis")
"""Choices of the metric."""

VOTES = ("uniform", "inverse-distance")
"""Choices of a vote's weight under m-nn."""

BLOCK = 1 << 22
"""Numbers held at once per temporary: 32 MB of float64."""


@dataclass(frozen=True)
class Aggregator:
    """Proxies made ready for one way of aggregation; build it with `Aggregator.build`.

    Attributes:
        agg: one of `AGGREGATIONS`.
        metric: one of `METRICS`.
        m: neighbours that vote.
        votes: one of `VOTES`.
        points: the proxies in the metric's own coordinates, shape (n_proxies, dim).
        owners: shape (n_proxies,), ascending class of each proxy.
        bias: shape (n_proxies,) or None, added to inner products.
        whitening: shape (dim, dim) for Mahalanobis, else None.
    """

    agg: str
    metric: str
    m: int
    votes: str
    points: NDArray[np.floating]
    owners: NDArray[np.intp]
    bias: NDArray[np.float32] | None
    whitening: NDArray[np.float64] | None

    @classmethod
    def build(
        cls,
        proxies: NDArray[np.float32],
        owners: NDArray[np.intp],
        *,
        agg: str,
        metric: str,
        m: int = 1,
        votes: str = "uniform",
        bias: NDArray[np.float32] | None = None,
        whitening: NDArray[np.float64] | None = None,
    ) -> Aggregator:
        """Take proxies over.

        m above the number of proxies means all of them. An inner product is no distance, and the longest
        proxies would win every vote: m-nn by "inner" uses the cosine, as the paper does.

        Args:
            proxies: shape (n_proxies, dim), float32. Not modified.
            owners: shape (n_proxies,), ascending, every class from 0 on has at least one proxy.
            agg: one of `AGGREGATIONS`.
            metric: one of `METRICS`.
            m: at least 1.
            votes: one of `VOTES`.
            bias: only for agg "max" with metric "inner".
            whitening: only for metric "mahalanobis", from `covariance.whitening`.

        Raises:
            ValueRangeError: a proxy of zero length under the cosine.

        Example:
            >>> proxies = np.array([[1, 0], [0, 1]], dtype=np.float32)
            >>> both = Aggregator.build(proxies, np.arange(2), agg="max", metric="inner")
            >>> both.scores(np.array([[3, 4]], dtype=np.float32))[0].tolist()
            [[3.0, 4.0]]
        """
        if agg == "m-nn" and metric == "inner":
            metric = "cosine"
        points = _coordinates(proxies, metric, whitening, "proxy")
        return cls(agg, metric, min(m, len(proxies)), votes, points, owners, bias, whitening)

    def scores(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Score embeddings against every class.

        Args:
            X: shape (n, dim), float32, after NORMinf. Not modified.

        Returns:
            Scores, shape (n, n_classes), float32: under "max" the largest inner product (plus bias) or
            cosine, or minus the smallest distance; under "m-nn" the share of the votes, in [0, 1]. And the
            winners, shape (n,): the class of the largest score; of classes with equal votes the one with the
            nearest proxy.

        Raises:
            ValueRangeError: an embedding of zero length under the cosine.

        Example:
            >>> points = np.array([[0, 0], [4, 0]], dtype=np.float32)
            >>> nearest = Aggregator.build(points, np.arange(2), agg="m-nn", metric="euclidean")
            >>> nearest.scores(np.array([[3, 0]], dtype=np.float32))[1].tolist()
            [1]
        """
        queries = _coordinates(X, self.metric, self.whitening, "embedding")
        n_classes = int(self.owners[-1]) + 1
        scores = np.empty((len(X), n_classes), dtype=np.float32)
        winners = np.empty(len(X), dtype=np.intp)
        for rows in _blocks(len(X), max(len(self.points), self.m * X.shape[1])):
            part = queries[rows]
            if self.agg == "max":
                starts = np.searchsorted(self.owners, np.arange(n_classes))
                exact = np.maximum.reduceat(self._similarities(part), starts, axis=1)
                scores[rows], winners[rows] = exact, exact.argmax(axis=1)
            else:
                scores[rows], winners[rows] = self._vote(part, n_classes)
        return scores, winners

    def _similarities(self, queries: NDArray[np.floating]) -> NDArray[np.floating]:
        """Inner products, cosines or negative distances, shape (n, n_proxies)."""
        if self.metric == "manhattan":
            return -_manhattan(queries, self.points)
        products = queries @ self.points.T
        if self.metric in ("inner", "cosine"):
            return products if self.bias is None else products + self.bias
        squared = _squares(queries)[:, None] - 2 * products + _squares(self.points)
        return np.asarray(-np.sqrt(np.maximum(squared, 0)))

    def _vote(self, queries: NDArray[np.floating], n_classes: int) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
        similarities = self._similarities(queries)
        m = self.m
        near = np.argpartition(-similarities, m - 1, axis=1)[:, :m]
        # x^2 - 2xp + p^2 loses the digits that decide 1 / distance, and whether a distance is 0: measure
        # again.
        gaps = queries[:, None, :] - self.points[near]
        if self.metric == "manhattan":
            distances = np.abs(gaps).sum(axis=2)
        else:
            squared = np.einsum("ijk,ijk->ij", gaps, gaps)
            distances = 0.5 * squared if self.metric == "cosine" else np.sqrt(squared)  # 1 - cos = |a - b|^2 / 2
        order = np.lexsort((near, distances), axis=1)
        near, distances = np.take_along_axis(near, order, 1), np.take_along_axis(distances, order, 1)
        weights = np.ones_like(distances)
        if self.votes == "inverse-distance":
            hits = distances == 0
            weights = np.where(hits.any(axis=1, keepdims=True), hits, 1 / np.where(hits, 1, distances))
        owners = self.owners[near]
        places = (np.arange(len(queries))[:, None] * n_classes + owners).ravel()
        counted = np.bincount(places, weights.ravel(), len(queries) * n_classes).reshape(-1, n_classes)
        shares = counted / weights.sum(axis=1, keepdims=True)
        # 1e-9: sums of equal votes in another order differ by rounding only.
        tied = shares >= shares.max(axis=1, keepdims=True) - 1e-9
        first = np.take_along_axis(tied, owners, axis=1).argmax(axis=1)
        return shares, owners[np.arange(len(queries)), first]


def _coordinates(
    X: NDArray[np.float32], metric: str, whitening: NDArray[np.float64] | None, what: str
) -> NDArray[np.floating]:
    """Vectors in which the metric is an inner product or a plain distance; distances are computed wide."""
    if metric == "inner":
        return X
    wide = X.astype(np.float64)
    if metric == "mahalanobis":
        return wide if whitening is None else wide @ whitening
    if metric == "cosine":
        lengths = np.sqrt(_squares(wide))
        if not lengths.all():
            raise ValueRangeError(
                f"the cosine needs a length above 0; {what} {int(lengths.argmin())} is all zeros. "
                "Drop it, or choose another metric."
            )
        return np.asarray(wide / lengths[:, None])
    return wide


def _squares(X: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.einsum("ij,ij->i", X, X))


def _blocks(n: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(width, 1))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _manhattan(A: NDArray[np.floating], B: NDArray[np.floating]) -> NDArray[np.floating]:
    out = np.empty((len(A), len(B)))
    for columns in _blocks(len(B), A.shape[1]):
        some = B[columns]
        for rows in _blocks(len(A), some.size):
            out[rows, columns] = np.abs(A[rows, None, :] - some).sum(axis=2)
    return out
