"""CBCL (Ayub and Wagner, "Cognitively-inspired model for incremental learning using a few examples", 2020).

Agg-Var clustering, class by class: a shot within the distance D of the class's nearest centroid moves it, by the
running mean; any other becomes a centroid. The n centroids nearest to a picture vote for their classes, each with one
over its distance; the votes of a class are divided by its number of shots, since frequent classes have more
centroids. D and n are chosen by cross-validation on the shots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants.tuning import Settings, Tuned, choose
from benchmarks.context import Draw
from benchmarks.data import normalise

DISTANCES = (np.inf, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Between unit vectors. Equal scores choose the larger one, which needs fewer centroids."""
VOTERS = (1, 2, 3, 5, 10, 20)
AT_ONE_SHOT: Settings = (np.inf, 1)
NEAR = 1e-9
"""A picture on a centroid gets its vote, a very large one, and no division by zero."""


@dataclass(frozen=True)
class Centroids:
    """What was learnt: centroids (k, dim), the place of each one's class in `names`, shots per class."""

    rows: NDArray[np.float64]
    owners: NDArray[np.intp]
    names: NDArray[np.str_]
    shots: NDArray[np.intp]

    def nearest(self, embeddings: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The `max(VOTERS)` nearest centroids of each embedding, nearest first, and their distances."""
        queries = embeddings.astype(np.float64)
        squares = (queries**2).sum(axis=1)[:, None] + (self.rows**2).sum(axis=1) - 2 * queries @ self.rows.T
        wanted = min(max(VOTERS), len(self.rows))
        some = np.sort(np.argpartition(squares, wanted - 1, axis=1)[:, :wanted], axis=1)
        found = np.take_along_axis(squares, some, axis=1)
        by_distance = np.argsort(found, axis=1, kind="stable")
        order = np.take_along_axis(some, by_distance, axis=1)
        distances: NDArray[np.float64] = np.sqrt(np.maximum(np.take_along_axis(found, by_distance, axis=1), 0.0))
        return order, distances

    def vote(self, order: NDArray[np.intp], distances: NDArray[np.float64], voters: int) -> NDArray[np.str_]:
        """Labels, by the votes of the first `voters` of what `nearest` gave."""
        ballots = np.zeros((len(order), len(self.names)))
        weights = 1.0 / np.maximum(distances[:, :voters], NEAR)
        np.add.at(ballots, (np.arange(len(order))[:, None], self.owners[order[:, :voters]]), weights)
        answer: NDArray[np.str_] = self.names[np.argmax(ballots / self.shots, axis=1)]
        return answer


def agg_var(shots: NDArray[np.float32], labels: NDArray[np.str_], threshold: float) -> Centroids:
    """Cluster shots (n, dim) in the order in which they come, each class by itself."""
    names, counts = np.unique(labels, return_counts=True)
    rows = [_clusters(shots[labels == name].astype(np.float64), threshold) for name in names]
    owners = np.repeat(np.arange(len(names)), [len(own) for own in rows])
    return Centroids(np.concatenate(rows), owners, names, counts)


def _clusters(shots: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    rows = np.empty_like(shots)
    squares, counts = np.zeros(len(shots)), np.zeros(len(shots))
    used = 0
    for x in shots:
        place = used
        if used:
            to_all = squares[:used] - 2 * (rows[:used] @ x) + x @ x
            nearest = int(np.argmin(to_all))
            if to_all[nearest] < threshold**2:
                place = nearest
        counts[place] += 1
        rows[place] = x if place == used else rows[place] + (x - rows[place]) / counts[place]
        squares[place] = rows[place] @ rows[place]
        used = max(used, place + 1)
    return rows[:used]


def _every_setting(
    shots: NDArray[np.float32], labels: NDArray[np.str_], held: NDArray[np.float32]
) -> Iterator[tuple[Settings, NDArray[np.str_]]]:
    for threshold in DISTANCES:
        centroids = agg_var(shots, labels, threshold)
        order, distances = centroids.nearest(held)
        for voters in VOTERS:
            yield (threshold, voters), centroids.vote(order, distances, voters)


def cbcl(seen: Draw, seed: int) -> Tuned:
    """CBCL on L2-normalised embeddings; at one shot, where nothing can be held back, every class has one centroid."""
    unit = normalise(seen.shots)
    threshold, voters = choose(unit, seen.labels, seed, _every_setting) or AT_ONE_SHOT
    centroids = agg_var(unit, seen.labels, threshold)
    return Tuned(
        lambda embeddings: centroids.vote(*centroids.nearest(normalise(embeddings)), int(voters)),
        {"D": threshold, "n": voters, "centroids": len(centroids.rows)},
    )
