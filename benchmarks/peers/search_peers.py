"""Vector search libraries, used as a classifier: every shot is a row, the nearest one's class answers."""

from __future__ import annotations

import json
from abc import abstractmethod
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.peer import Entry, Names, Peer, Setting

FIRST_PLACES = 256
HNSW_LINKS, HNSW_SEARCH = 16, 50
SQ_RANGE = 4.0
"""SQ8 is trained on this many standard deviations of a unit vector's components, to both sides: what lies farther out
is cut. Shots to train on are not there before the first shot."""


class Search(Peer):
    """What the three have in common: classes are numbers, names are kept beside the index."""

    def __init__(self, setting: Setting) -> None:
        self._dim, self._names = setting.dim, Names()

    @abstractmethod
    def _nearest(self, embeddings: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Class numbers (n,) and distances (n,) of the nearest rows."""

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels(self._nearest(embeddings)[0])

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[Any]:
        return -self._nearest(embeddings)[1]

    def _save_names(self, path: Path, **others: Any) -> None:
        path.with_suffix(".json").write_text(json.dumps({"names": self._names.names, **others}), encoding="utf-8")

    def _load_names(self, path: Path) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self._names = Names(kept["names"])
        return kept


class Faiss(Search):
    """An exact index, in float32 or in 8 bits a component; a row's id is the number of its class."""

    def __init__(self, setting: Setting, bits8: bool) -> None:
        super().__init__(setting)
        self._faiss = faiss = import_module("faiss")
        if bits8:
            rows = faiss.IndexScalarQuantizer(setting.dim, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
            edge = np.full(setting.dim, SQ_RANGE / np.sqrt(setting.dim), np.float32)
            rows.train(np.stack([-edge, edge]))
        else:
            rows = faiss.IndexFlatIP(setting.dim)
        self._row_bytes = int(rows.sa_code_size())
        self._index = faiss.IndexIDMap(rows)
        self._rows = rows  # it is not owned by the map

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        numbers = self._names.numbers(labels)
        for place in range(len(labels)):
            self._index.add_with_ids(shots[place : place + 1], numbers[place : place + 1])

    def _nearest(self, embeddings: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        products, numbers = self._index.search(embeddings, 1)
        return numbers[:, 0], -products[:, 0]

    @property
    def nbytes(self) -> int:
        rows = int(self._index.ntotal)
        return rows * (self._row_bytes + 8) + self._names.nbytes

    def forget(self, label: str) -> None:
        # The number stays taken: ids of the other classes are in the index.
        self._index.remove_ids(np.array([self._names.number(label)], dtype=np.int64))

    def save(self, path: Path) -> None:
        self._save_names(path)
        self._faiss.write_index(self._index, str(path))

    def restore(self, path: Path) -> None:
        self._load_names(path)
        self._index = self._faiss.read_index(str(path))


class Usearch(Search):
    """Its graph over int8 rows; several rows may have one key, the number of their class."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._library = import_module("usearch.index")
        self._index = self._empty()

    def _empty(self) -> Any:
        return self._library.Index(ndim=self._dim, metric="cos", dtype="i8", multi=True)

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for x, number in zip(shots, self._names.numbers(labels), strict=True):
            self._index.add(number, x, threads=1)

    def _nearest(self, embeddings: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        found = self._index.search(embeddings, 1, threads=1)
        return np.asarray(found.keys).reshape(-1), np.asarray(found.distances).reshape(-1)

    @property
    def nbytes(self) -> int:
        return int(self._index.serialized_length) + self._names.nbytes

    def forget(self, label: str) -> None:
        self._index.remove(self._names.number(label))

    def save(self, path: Path) -> None:
        self._save_names(path)
        self._index.save(str(path))

    def restore(self, path: Path) -> None:
        self._load_names(path)
        self._index = self._empty()
        self._index.load(str(path))


class Hnswlib(Search):
    """Its graph over float32 rows. A row's label is its own: the class of each is kept beside."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._library = import_module("hnswlib")
        self._index = self._library.Index(space="cosine", dim=setting.dim)
        self._index.init_index(max_elements=FIRST_PLACES, M=HNSW_LINKS, allow_replace_deleted=True)
        self._tune()
        self._classes: list[int] = []

    def _tune(self) -> None:
        self._index.set_ef(HNSW_SEARCH)
        self._index.set_num_threads(1)

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for place, number in enumerate(self._names.numbers(labels).tolist()):
            if len(self._classes) == self._index.get_max_elements():
                self._index.resize_index(2 * len(self._classes))
            self._index.add_items(shots[place : place + 1], [len(self._classes)], num_threads=1)
            self._classes.append(number)

    def _nearest(self, embeddings: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        rows, distances = self._index.knn_query(embeddings, k=1, num_threads=1)
        return np.array([self._classes[row] for row in rows[:, 0].tolist()]), distances[:, 0]

    @property
    def nbytes(self) -> int:
        # A place of its first level: links and their count, the row, its label; taken for rows to come as well.
        place = 4 * (2 * HNSW_LINKS + 1) + 4 * self._dim + 8
        return int(self._index.get_max_elements()) * place + 8 * len(self._classes) + self._names.nbytes

    def forget(self, label: str) -> None:
        number = self._names.number(label)
        for row, owner in enumerate(self._classes):
            if owner == number:
                self._index.mark_deleted(row)

    def save(self, path: Path) -> None:
        self._save_names(path, classes=self._classes)
        self._index.save_index(str(path))

    def restore(self, path: Path) -> None:
        self._classes = self._load_names(path)["classes"]
        self._index = self._library.Index(space="cosine", dim=self._dim)
        self._index.load_index(
            str(path), max_elements=max(FIRST_PLACES, len(self._classes)), allow_replace_deleted=True
        )
        self._tune()


def faiss_entries() -> dict[str, Entry]:
    """Both of faiss."""
    import_module("faiss")
    entry = partial(
        Entry,
        family="faiss",
        update="adds a row",
        memory="computed: rows and ids in use",
        disk="write_index in place, names beside it",
    )
    return {
        "faiss_flat": entry(
            "faiss Flat, nearest shot", keeps="every shot, float32", make=partial(Faiss, bits8=False), any_order=True
        ),
        "faiss_sq8": entry(
            "faiss SQ8, nearest shot",
            keeps="every shot, a byte a component",
            make=partial(Faiss, bits8=True),
            any_order=True,
        ),
    }


def usearch_entries() -> dict[str, Entry]:
    """The int8 index of usearch."""
    import_module("usearch.index")
    return {
        "usearch": Entry(
            "usearch int8, nearest shot",
            "usearch",
            Usearch,
            "adds a row to a graph",
            "every shot, int8, and a graph",
            "its own serialized_length: rows, keys, links; what it takes from the system is megabytes",
            "index.save in place, names beside it",
        )
    }


def hnswlib_entries() -> dict[str, Entry]:
    """The index of hnswlib."""
    import_module("hnswlib")
    return {
        "hnswlib": Entry(
            "hnswlib, nearest shot",
            "hnswlib",
            Hnswlib,
            "adds a row to a graph",
            "every shot, float32, and a graph",
            "computed: the places it took for rows, without its upper levels",
            "save_index in place, names beside it",
        )
    }
