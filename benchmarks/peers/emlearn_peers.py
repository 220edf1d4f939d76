"""emlearn: its C nearest neighbours, the only one of its models that learns on the device.

From Python it converts fitted estimators into C source, and answers by starting the compiled program for each call:
that would be timing processes. Here its own header is compiled into a library and called directly. Of a class there is
no removing, and what was learnt is not saved; its converter writes shots as C source.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError, DataMissingError
from benchmarks.peers.peer import Entry, Names, Peer, Setting

SOURCE = Path(__file__).with_name("emlearn_knn.c")
SCALE = 16_000
"""A component of 1 in its int16: squares of distances between unit vectors stay below 2^30, where its root ends."""
MOST_CLASSES = 128
FIRST_PLACES = 256
NEIGHBOURS = 1


class _Model(ctypes.Structure):
    _fields_ = (
        ("n_features", ctypes.c_uint16),
        ("n_items", ctypes.c_int16),
        ("max_items", ctypes.c_int16),
        ("data", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("k_neighbors", ctypes.c_int16),
    )


class Neighbours(Peer):
    """`eml_neighbors_add_item` and `eml_neighbors_predict` on arrays that grow twofold."""

    def __init__(self, setting: Setting) -> None:
        self._library = _library()
        self._names = Names()
        self._take(np.zeros((FIRST_PLACES, setting.dim), np.int16), np.zeros(FIRST_PLACES, np.int16), 0)

    def _take(self, data: NDArray[np.int16], labels: NDArray[np.int16], used: int) -> None:
        self._data, self._labels = data, labels
        self._distances = np.zeros(len(data) * self._library.peer_distance_bytes(), np.uint8)
        self._model = _Model(data.shape[1], used, len(data), data.ctypes.data, labels.ctypes.data, NEIGHBOURS)

    def learn(self, shots: NDArray[np.float32], labels: NDArray[np.str_]) -> None:
        for row, number in zip(self._values(shots), self._names.numbers(labels).tolist(), strict=True):
            used = self._model.n_items
            if used == len(self._data):
                self._take(np.concatenate([self._data] * 2), np.concatenate([self._labels] * 2), used)
            if self._library.peer_add(ctypes.byref(self._model), row.ctypes.data, number):
                raise BenchmarkError(f"emlearn refuses shot {used}")

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.str_]:
        return self._names.labels([self._number(row) for row in self._values(embeddings)])

    def _values(self, embeddings: NDArray[np.float32]) -> NDArray[np.int16]:
        values: NDArray[np.int16] = np.rint(embeddings * SCALE).astype(np.int16)
        return values

    def _number(self, row: NDArray[np.int16]) -> int:
        """The class of the nearest shot; distances are sorted after it, index and distance in 8 bytes each."""
        found = int(self._library.peer_predict(ctypes.byref(self._model), row.ctypes.data, self._distances.ctypes.data))
        if found < 0:
            raise BenchmarkError(f"emlearn refuses to answer with {self._model.n_items} shots")
        return found

    def known_score(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        nearest = []
        for row in self._values(embeddings):
            self._number(row)
            nearest.append(-float(self._distances[4:8].view(np.uint32)[0]))
        return np.array(nearest)

    @property
    def nbytes(self) -> int:
        return self._data.nbytes + self._labels.nbytes + self._distances.nbytes + self._names.nbytes

    def save(self, path: Path) -> None:
        used = self._model.n_items
        source = _converter()(self._data[:used], self._labels[:used], NEIGHBOURS, "head")
        path.write_text(source + "\n// " + json.dumps(self._names.names), encoding="utf-8")

    def restore(self, path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        data, labels = (
            np.array(found.split(","), dtype=np.int16)
            for found in re.findall(r"head_(?:data|labels)\[\d*\] = \{([^}]*)\};", source)
        )
        self._names = Names(json.loads(source.rpartition("// ")[2]))
        self._take(data.reshape(len(labels), -1), labels, len(labels))


@cache
def _library() -> Any:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise DataMissingError("emlearn's neighbours: no C compiler; on Debian: apt-get install gcc")
    package = find_spec("emlearn")
    if package is None or package.origin is None:
        raise ImportError("emlearn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "emlearn_knn.so"
        command = [compiler, "-O3", "-w", "-shared", "-fPIC", f"-DEML_NEIGHBORS_MAX_CLASSES={MOST_CLASSES}",
                   f"-I{Path(package.origin).parent}", str(SOURCE), "-o", str(path), "-lm"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchmarkError(f"{SOURCE.name} does not compile: {done.stderr.strip()}")
        library = ctypes.CDLL(str(path))
    library.peer_add.argtypes = [ctypes.POINTER(_Model), ctypes.c_void_p, ctypes.c_int16]
    library.peer_predict.argtypes = [ctypes.POINTER(_Model), ctypes.c_void_p, ctypes.c_void_p]
    return library


@cache
def _converter() -> Any:
    # emlearn makes numpy raise where it warns, for everybody in the process: that stays in here.
    with warnings.catch_warnings(), np.errstate():
        warnings.simplefilter("ignore", DeprecationWarning)  # emlearn imports distutils
        from emlearn.neighbors import c_generate_neighbors
    return c_generate_neighbors


def entries() -> dict[str, Entry]:
    """Its neighbours, called in C."""
    _library()
    _converter()
    return {
        "emlearn": Entry(
            "emlearn neighbours, nearest shot",
            "emlearn",
            Neighbours,
            "eml_neighbors_add_item: adds an int16 row",
            "every shot, int16",
            "computed: its arrays, room for more rows included",
            "its converter's C source, in place",
        )
    }
