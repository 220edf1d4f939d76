"""The contestants of the accuracy suites: all are shown the same shots and answer the same pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.context import Draw
from benchmarks.data import normalise
from benchmarks.float_head import shrunk_towards
from edge_imprint.head import ImprintHead
from edge_imprint.imprint import ImprintClassifier
from edge_imprint.imprint.kmeans import kmeans

Answer = Callable[[NDArray[np.float32]], NDArray[Any]]


def streamed_head(seen: Draw, budget: str, **options: Any) -> ImprintHead:
    """The head, shown one shot at a time in the order of the draw, once."""
    head = ImprintHead(dim=seen.shots.shape[1], budget=budget, **options)
    for place in range(len(seen.labels)):
        head.partial_fit(seen.shots[place : place + 1], seen.labels[place : place + 1])
    return head


def batch_head(seen: Draw, budget: str) -> ImprintHead:
    """The head, given every shot in one call."""
    return ImprintHead(dim=seen.shots.shape[1], budget=budget).partial_fit(seen.shots, seen.labels)


def preset(name: str, seen: Draw, seed: int) -> Answer:
    """One of the paper's special cases, batch and float32."""
    return ImprintClassifier.preset(name, seed=seed).fit(seen.shots, seen.labels).predict


def logistic(seen: Draw) -> Answer:
    """scikit-learn's logistic regression on L2-normalised embeddings: what a user may pick instead."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=300, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(normalise(seen.shots), seen.labels)
    return lambda embeddings: np.asarray(model.predict(normalise(embeddings)))


def batch_kmeans_shrunk(seen: Draw, head: ImprintHead, seed: int) -> Answer:
    """Batch float32 k-means with the head's own number of proxies per class and its shrinkage.

    Centres and class means are those of all shots, seen again and again.
    """
    shots = normalise(seen.shots)
    proxies: list[NDArray[np.float32]] = []
    owners: list[str] = []
    for label, kept in head.proxies_per_class().items():
        own = shots[seen.labels == label]
        found = kmeans(own, max(kept - 1, 1), np.random.default_rng([seed, len(owners)]))
        counts = np.bincount(found.labels, minlength=len(found.centres)).astype(np.float64)
        shrunk = shrunk_towards(
            own.mean(axis=0).astype(np.float64), found.centres.astype(np.float64), counts, head.shrinkage
        ).astype(np.float32)
        # Like the head, a class answers with its mean as well.
        proxies.append(normalise(np.vstack([own.mean(axis=0), shrunk])))
        owners.extend([str(label)] * len(proxies[-1]))
    weights, names = np.concatenate(proxies), np.array(owners)
    return lambda embeddings: names[np.argmax(normalise(embeddings) @ weights.T, axis=1)]
