"""river: its streaming k-means, one per class, and its nearest neighbours. Both take a shot as a dict."""

from __future__ import annotations

import pickle
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import cluster, neighbors

from benchmarks.peers.peer import Entry, Names, Peer, Setting

FAMILY = "river"
NEIGHBOURS = 5
WINDOW = 1000
HALFLIFE = 0.1


class StreamKMeans(Peer):
    """A `STREAMKMeans` of one centre per class, moved by every shot; the centre nearest in cosine answers.

    Its centres start as random numbers, which a handful of shots do not outweigh: here they start at zero. Chunks of
    one shot, since until the first chunk is full it has not learnt anything.
    """

    def __init__(self, setting: Setting) -> None:
        self._dim, self._names = setting.dim, Names()
        self._models: list[Any] = []
        self._rows = np.zeros((0, setting.dim), np.float32)
        self._stale = False

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for x, number in zip(shots, self._names.numbers(labels).tolist(), strict=True):
            if number == len(self._models):
                self._models.append(
                    cluster.STREAMKMeans(chunk_size=1, n_clusters=1, halflife=HALFLIFE, mu=0, sigma=0, seed=0)
                )
            self._models[number].learn_one(dict(enumerate(x.tolist())))
        self._stale = True

    def settle(self) -> None:
        if self._stale:
            rows = np.array([[model.centers[0][axis] for axis in range(self._dim)] for model in self._models])
            self._rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            self._stale = False

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels((embeddings @ self._rows.T).argmax(axis=1))

    @property
    def nbytes(self) -> int:
        held = sum(_dict_bytes(part) for model in self._models
                   for part in (*model.centers.values(), *model._temp_chunk.values()))  # fmt: skip
        return held + self._rows.nbytes + self._names.nbytes

    def forget(self, label: str) -> None:
        del self._models[self._names.number(label)]
        self._names = Names([name for name in self._names.names if name != label])
        self._stale = True

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        best: NDArray[np.float32] = (embeddings @ self._rows.T).max(axis=1)
        return best

    def save(self, path: Path) -> None:
        # The functions that draw its first centres are no part of a pickle: centres as plain dicts are.
        with path.open("wb") as stream:
            pickle.dump(([{0: dict(model.centers[0])} for model in self._models], self._names), stream)

    def restore(self, path: Path) -> None:
        with path.open("rb") as stream:
            centres, self._names = pickle.load(stream)
        self._models = []
        for own in centres:
            model = cluster.STREAMKMeans(chunk_size=1, n_clusters=1, halflife=HALFLIFE, mu=0, sigma=0, seed=0)
            model._kmeans.centers[0].update(own[0])
            model.centers = model._kmeans.centers
            self._models.append(model)
        self._stale = True


class Neighbours(Peer):
    """`KNNClassifier` with the exact search: the last shots, at most its window of 1,000."""

    def __init__(self, setting: Setting) -> None:
        self._model: Any = neighbors.KNNClassifier(
            n_neighbors=NEIGHBOURS, engine=neighbors.LazySearch(window_size=WINDOW)
        )

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for x, label in zip(shots, labels.tolist(), strict=True):
            self._model.learn_one(dict(enumerate(x.tolist())), label)

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return np.array([self._model.predict_one(dict(enumerate(x.tolist()))) for x in embeddings])

    @property
    def nbytes(self) -> int:
        held = 0
        for item in self._model._nn.window:
            x, label = item[0]
            held += _dict_bytes(x) + sys.getsizeof(label)
        return held

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array([max(self._model.predict_proba_one(dict(enumerate(x.tolist()))).values()) for x in embeddings])

    def save(self, path: Path) -> None:
        with path.open("wb") as stream:
            pickle.dump(self._model, stream)

    def restore(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._model = pickle.load(stream)


def _dict_bytes(found: dict[int, float]) -> int:
    return sys.getsizeof(found) + sum(sys.getsizeof(value) for value in found.values())


def entries() -> dict[str, Entry]:
    """Both."""
    entry = partial(Entry, family=FAMILY, memory="sys.getsizeof of its dicts and floats", disk="pickle, in place")
    return {
        "river_kmeans": entry(
            "STREAMKMeans per class",
            make=StreamKMeans,
            update="moves the centre of its class",
            keeps="a centre a class as a dict of floats",
        ),
        "river_knn": entry(
            "KNNClassifier", make=Neighbours, update="keeps the shot", keeps="the last 1,000 shots as dicts of floats"
        ),
    }
