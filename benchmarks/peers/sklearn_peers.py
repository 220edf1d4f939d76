"""scikit-learn: three that refit on every shot they keep, and two that stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from benchmarks.peers.peer import Entry, Names, Peer, Setting, array_bytes

FAMILY = "scikit-learn"
NEIGHBOURS = 5
CENTRES = 5
"""Of a class in MiniBatchKMeans. Its first call needs as many shots, which answer as they are until then."""


class Refitting(Peer):
    """An estimator without `partial_fit`: it keeps every shot and is fitted to all of them again."""

    def __init__(self, setting: Setting, build: Callable[[NDArray[np.int64]], Any]) -> None:
        self._build, self._names, self._model = build, Names(), None
        self._shots = np.zeros((0, setting.dim), dtype=np.float32)
        self._labels = np.zeros(0, dtype=np.int64)

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        self._shots = np.concatenate([self._shots, shots])
        self._labels = np.concatenate([self._labels, self._names.numbers(labels)])
        self._model = None

    def settle(self) -> None:
        if self._model is None:
            with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
                warnings.simplefilter("ignore", ConvergenceWarning)
                # NearestCentroid also looks at the deviations within a class, which one shot has not.
                warnings.simplefilter("ignore", UserWarning)
                self._model = self._build(self._labels).fit(self._shots, self._labels)

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels(self._fitted().predict(embeddings))

    def _fitted(self) -> Any:
        assert self._model is not None, "settle comes before an answer"
        return self._model

    @property
    def nbytes(self) -> int:
        own = [value for value in vars(self._fitted()).values() if isinstance(value, np.ndarray)]
        kept = (self._shots, self._labels)
        # An estimator may hold the shots themselves, not a copy of them.
        fresh = sum(array.nbytes for array in own if not any(np.shares_memory(array, other) for other in kept))
        return fresh + sum(array.nbytes for array in kept) + self._names.nbytes

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64] | None:
        model = self._fitted()
        if isinstance(model, KNeighborsClassifier):
            nearest: NDArray[np.float64] = -model.kneighbors(embeddings)[0].mean(axis=1)
            return nearest
        if not hasattr(model, "predict_proba"):  # NearestCentroid before scikit-learn 1.6
            return None
        best: NDArray[np.float64] = model.predict_proba(embeddings).max(axis=1)
        return best

    def save(self, path: Path) -> None:
        joblib.dump((self._fitted(), self._shots, self._labels, self._names), path)

    def restore(self, path: Path) -> None:
        self._model, self._shots, self._labels, self._names = joblib.load(path)


class KMeansPerClass(Peer):
    """`MiniBatchKMeans.partial_fit` for each class by itself; the nearest centre of all answers."""

    def __init__(self, setting: Setting) -> None:
        self._dim, self._names = setting.dim, Names()
        self._models: list[Any] = []
        self._first: list[NDArray[np.float32]] = []
        self._rows, self._owners = np.zeros((0, setting.dim), np.float32), np.zeros(0, np.int64)
        self._stale = False

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for place, number in enumerate(self._names.numbers(labels).tolist()):
            if number == len(self._models):
                self._models.append(None)
                self._first.append(np.zeros((0, self._dim), np.float32))
            self._step(number, shots[place : place + 1])
        self._stale = True

    def _step(self, number: int, shot: NDArray[np.float32]) -> None:
        model = self._models[number]
        if model is not None:
            model.partial_fit(shot)
            return
        self._first[number] = np.concatenate([self._first[number], shot])
        if len(self._first[number]) == CENTRES:
            model = MiniBatchKMeans(CENTRES, init="random", n_init=1, random_state=0, reassignment_ratio=0)
            self._models[number] = model.partial_fit(self._first[number])
            self._first[number] = self._first[number][:0]

    def settle(self) -> None:
        if self._stale:
            rows = [first if model is None else model.cluster_centers_
                    for model, first in zip(self._models, self._first, strict=True)]  # fmt: skip
            self._rows = np.concatenate(rows)
            self._owners = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
            self._stale = False

    def _squares(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        squares: NDArray[np.float32] = (self._rows**2).sum(axis=1) - 2 * embeddings @ self._rows.T
        return squares

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels(self._owners[self._squares(embeddings).argmin(axis=1)])

    @property
    def nbytes(self) -> int:
        models = sum(array_bytes(model) for model in self._models if model is not None)
        first = sum(own.nbytes for own in self._first)
        return models + first + self._rows.nbytes + self._owners.nbytes + self._names.nbytes

    def forget(self, label: str) -> None:
        number = self._names.number(label)
        del self._models[number], self._first[number]
        self._names = Names([name for name in self._names.names if name != label])
        self._stale = True

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        best: NDArray[np.float32] = -self._squares(embeddings).min(axis=1)
        return best

    def save(self, path: Path) -> None:
        joblib.dump((self._models, self._first, self._names), path)

    def restore(self, path: Path) -> None:
        self._models, self._first, self._names = joblib.load(path)
        self._stale = True


class Gradient(Peer):
    """`SGDClassifier.partial_fit`, one shot at a time; it must be told every class before the first."""

    def __init__(self, setting: Setting) -> None:
        self._names = Names(sorted(setting.classes))
        self._numbers = np.arange(len(self._names.names))
        self._model = SGDClassifier(loss="log_loss", average=True, shuffle=False, random_state=0)

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        # Without shuffling, a call with many shots takes them one after the other, as calls with one each do.
        self._model.partial_fit(shots, self._names.numbers(labels), classes=self._numbers)

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels(self._model.predict(embeddings))

    @property
    def nbytes(self) -> int:
        return array_bytes(self._model) + self._names.nbytes

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        best: NDArray[np.float64] = self._model.decision_function(embeddings).reshape(len(embeddings), -1).max(axis=1)
        return best

    def save(self, path: Path) -> None:
        joblib.dump((self._model, self._names), path)

    def restore(self, path: Path) -> None:
        self._model, self._names = joblib.load(path)


def _centroid(labels: NDArray[np.int64]) -> Any:
    return NearestCentroid()


def _neighbours(labels: NDArray[np.int64]) -> Any:
    # More neighbours than a class has shots would let other classes outvote it.
    least = int(np.bincount(labels).min())
    return KNeighborsClassifier(min(NEIGHBOURS, least), weights="distance", algorithm="brute")


def _logistic(labels: NDArray[np.int64]) -> Any:
    return LogisticRegression(C=10.0, max_iter=300, class_weight="balanced")


def entries() -> dict[str, Entry]:
    """All five."""
    entry = partial(Entry, family=FAMILY, memory="computed from its arrays", disk="joblib.dump, in place")
    refit = partial(entry, update="keeps the shot, refits on all", keeps="every shot, float32", any_order=True)
    return {
        "nearest_centroid": refit("NearestCentroid", make=partial(Refitting, build=_centroid)),
        "k_neighbors": refit("KNeighborsClassifier", make=partial(Refitting, build=_neighbours)),
        "logistic": refit("LogisticRegression", make=partial(Refitting, build=_logistic)),
        "mini_batch_kmeans": entry(
            f"MiniBatchKMeans({CENTRES}) per class",
            make=KMeansPerClass,
            update="partial_fit of its class",
            keeps="centres of each class, and a copy to answer from",
        ),
        "sgd": entry(
            "SGDClassifier",
            make=Gradient,
            update="partial_fit; all classes told beforehand",
            keeps="weights and their average, float64",
        ),
    }
