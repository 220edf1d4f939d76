"""Plain numpy versions: nearest class mean, Coral's imprinting engine, streaming LDA, CBCL."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contestants.cbcl import Centroids
from benchmarks.contestants.slda import StreamingLDA
from benchmarks.peers.peer import Entry, Names, Peer, Setting

CBCL_DISTANCE, CBCL_VOTERS = 1.0, 3
"""Of those of the suite `learning` what did best at 5 and 20 shots on the first backbone."""
FAMILY = "numpy"


class ClassMeans(Peer):
    """Nearest class mean: one float32 sum of unit shots a class, compared by cosine."""

    def __init__(self, setting: Setting) -> None:
        self._names = Names()
        self._sums = np.zeros((0, setting.dim), dtype=np.float32)
        self._counts = np.zeros(0, dtype=np.int32)
        self._rows = self._sums.copy()

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for x, label in zip(shots, labels.tolist(), strict=True):
            place = self._names.number(label)
            if place == len(self._sums):
                self._sums = np.vstack([self._sums, np.zeros_like(x)])
                self._rows = np.vstack([self._rows, np.zeros_like(x)])
                self._counts = np.append(self._counts, np.int32(0))
            self._sums[place] += x
            self._counts[place] += 1
            own = self._sums[place]
            self._rows[place] = own / np.sqrt(own @ own)

    def _cosines(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        products: NDArray[np.float32] = embeddings @ self._rows.T
        return products

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels(self._cosines(embeddings).argmax(axis=1))

    @property
    def nbytes(self) -> int:
        return self._sums.nbytes + self._rows.nbytes + self._counts.nbytes + self._names.nbytes

    def forget(self, label: str) -> None:
        place = self._names.number(label)
        keep = np.arange(len(self._sums)) != place
        self._sums, self._rows, self._counts = self._sums[keep], self._rows[keep], self._counts[keep]
        self._names = Names([name for name in self._names.names if name != label])

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        best: NDArray[np.float32] = self._cosines(embeddings).max(axis=1)
        return best

    def save(self, path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(stream, sums=self._sums, counts=self._counts, names=np.array(self._names.names))

    def restore(self, path: Path) -> None:
        with np.load(path) as stored:
            self._sums, self._counts = stored["sums"], stored["counts"]
            self._names = Names(stored["names"].tolist())
        self._rows = self._sums / np.linalg.norm(self._sums, axis=1, keepdims=True)


class ImprintingEngine(Peer):
    """As Coral's: one float32 row a class, the normalised running mean of its unit shots; int8 when saved."""

    def __init__(self, setting: Setting) -> None:
        self._names = Names()
        self._rows = np.zeros((0, setting.dim), dtype=np.float32)
        self._lengths = np.zeros(0, dtype=np.float32)

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for x, label in zip(shots, labels.tolist(), strict=True):
            place = self._names.number(label)
            if place == len(self._rows):
                self._rows = np.vstack([self._rows, x])
                self._lengths = np.append(self._lengths, np.float32(1))
                continue
            # The length of the sum is kept beside its direction: together they are the running mean.
            total = self._rows[place] * self._lengths[place] + x
            self._lengths[place] = length = np.sqrt(total @ total)
            self._rows[place] = total / length

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels((embeddings @ self._rows.T).argmax(axis=1))

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._lengths.nbytes + self._names.nbytes

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        best: NDArray[np.float32] = (embeddings @ self._rows.T).max(axis=1)
        return best

    def save(self, path: Path) -> None:
        scale = np.abs(self._rows).max(axis=1) / 127
        rows = np.rint(self._rows / scale[:, None]).astype(np.int8)
        with path.open("wb") as stream:
            np.savez(stream, rows=rows, scale=scale, lengths=self._lengths, names=np.array(self._names.names))

    def restore(self, path: Path) -> None:
        with np.load(path) as stored:
            rows = stored["rows"].astype(np.float32) * stored["scale"][:, None]
            self._lengths, self._names = stored["lengths"], Names(stored["names"].tolist())
        self._rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Discriminant(Peer):
    """Streaming LDA of the suite `learning`; its discriminants are solved for when a shot has come."""

    def __init__(self, setting: Setting) -> None:
        self._model = StreamingLDA(setting.dim)
        self._solved: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        self._model.learn(shots, labels)
        self._solved = None

    def settle(self) -> None:
        if self._solved is None:
            self._solved = self._model.discriminants()

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        assert self._solved is not None
        names, weights, bias = self._solved
        answer: NDArray[np.str_] = names[np.argmax(embeddings @ weights + bias, axis=1)]
        return answer

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        assert self._solved is not None
        best: NDArray[np.float64] = (embeddings @ self._solved[1] + self._solved[2]).max(axis=1)
        return best

    @property
    def nbytes(self) -> int:
        dim = len(next(iter(self._model.means.values())))
        solved = 0 if self._solved is None else sum(part.nbytes for part in self._solved[1:])
        labels = sum(len(name.encode()) + 8 for name in self._model.means)  # a name and a count each
        return solved + labels + 8 * dim * dim + 8 * dim * len(self._model.means)

    def forget(self, label: str) -> None:
        del self._model.means[label], self._model.counts[label]
        self._solved = None

    def save(self, path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(stream, **self._model.state())  # type: ignore[arg-type]

    def restore(self, path: Path) -> None:
        with np.load(path) as stored:
            self._model = StreamingLDA.from_state(dict(stored))
        self._solved = None


class Clustering(Peer):
    """CBCL, one shot at a time: a distance and a number of voters fixed beforehand, and no shot kept."""

    def __init__(self, setting: Setting) -> None:
        self._dim, self._names = setting.dim, Names()
        self._rows: list[NDArray[np.float64]] = []
        self._sizes: list[NDArray[np.float64]] = []
        self._shown: list[int] = []
        self._centroids: Centroids | None = None

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for x, label in zip(shots.astype(np.float64), labels.tolist(), strict=True):
            place = self._names.number(label)
            if place == len(self._rows):
                self._rows.append(np.zeros((0, self._dim)))
                self._sizes.append(np.zeros(0))
                self._shown.append(0)
            self._shown[place] += 1
            self._add(place, x)
        self._centroids = None

    def _add(self, place: int, x: NDArray[np.float64]) -> None:
        rows, sizes = self._rows[place], self._sizes[place]
        if len(rows):
            squares = ((rows - x) ** 2).sum(axis=1)
            nearest = int(squares.argmin())
            if squares[nearest] < CBCL_DISTANCE**2:
                sizes[nearest] += 1
                rows[nearest] += (x - rows[nearest]) / sizes[nearest]
                return
        self._rows[place] = np.vstack([rows, x])
        self._sizes[place] = np.append(sizes, 1.0)

    def settle(self) -> None:
        if self._centroids is None:
            owners = np.repeat(np.arange(len(self._rows)), [len(rows) for rows in self._rows])
            names = np.array(self._names.names)
            self._centroids = Centroids(np.concatenate(self._rows), owners, names, np.array(self._shown))

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        assert self._centroids is not None
        return self._centroids.vote(*self._centroids.nearest(embeddings), CBCL_VOTERS)

    @property
    def nbytes(self) -> int:
        streamed = sum(rows.nbytes + sizes.nbytes + 8 for rows, sizes in zip(self._rows, self._sizes, strict=True))
        answering = 0 if self._centroids is None else self._centroids.rows.nbytes + self._centroids.owners.nbytes
        return streamed + answering + self._names.nbytes

    def forget(self, label: str) -> None:
        place = self._names.number(label)
        del self._rows[place], self._sizes[place], self._shown[place]
        self._names = Names([name for name in self._names.names if name != label])
        self._centroids = None

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        assert self._centroids is not None
        nearest: NDArray[np.float64] = -self._centroids.nearest(embeddings)[1][:, 0]
        return nearest

    def save(self, path: Path) -> None:
        with path.open("wb") as stream:
            np.savez(
                stream,
                rows=np.concatenate(self._rows),
                sizes=np.concatenate(self._sizes),
                kept=[len(rows) for rows in self._rows],
                shown=self._shown,
                names=np.array(self._names.names),
            )

    def restore(self, path: Path) -> None:
        with np.load(path) as stored:
            borders = np.cumsum(stored["kept"])[:-1]
            self._rows, self._sizes = np.split(stored["rows"], borders), np.split(stored["sizes"], borders)
            self._shown, self._names = stored["shown"].tolist(), Names(stored["names"].tolist())
        self._centroids = None


def entries() -> dict[str, Entry]:
    """All four: they need numpy only."""
    entry = partial(Entry, family=FAMILY, memory="computed from its arrays", disk="np.savez, in place")
    return {
        "ncm": entry(
            "class means (NCM)",
            make=ClassMeans,
            update="adds to a float32 sum and divides it by its length",
            keeps="a float32 sum and a float32 row a class",
            any_order=True,
        ),
        "coral": entry(
            "imprinting engine (as Coral)",
            make=ImprintingEngine,
            update="moves one float32 row",
            keeps="a float32 row a class",
            disk="np.savez of int8 rows, in place",
            any_order=True,
        ),
        "slda": entry(
            "streaming LDA",
            make=Discriminant,
            update="adds to a covariance, then solves for every class",
            keeps="a float64 covariance, a mean and a discriminant a class",
            any_order=True,
        ),
        "cbcl": entry(
            f"CBCL, D={CBCL_DISTANCE:g}, n={CBCL_VOTERS}",
            make=Clustering,
            update="moves or adds a centroid, then lines all of them up",
            keeps="float64 centroids, lined up and by class",
        ),
    }
