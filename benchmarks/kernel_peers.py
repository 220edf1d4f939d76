"""What else answers "which of these vectors is nearest" in one process, each with a check of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.results import Result

OURS = "edge-imprint int8"
NUMPY = "numpy float32"
FLAT, SQ8, SQ8_DIRECT = "faiss flat", "faiss SQ8", "faiss SQ8, int8 as it is"
USEARCH, USEARCH_INDEX = "usearch int8", "usearch int8, index"
NUMKONG, NUMKONG_PACKED = "numkong int8", "numkong int8, packed"
GRAPH_ROWS = 20_000
"""usearch's index builds its graph when rows are added, whatever the search: minutes for a larger matrix."""


@dataclass(frozen=True)
class Contestant:
    """One way to compare a vector with all rows: what is timed, and what it found."""

    name: str
    call: Callable[[], object]
    check: Callable[[], bool]
    """Whether the answer is right; allowances are those of the peer's own arithmetic."""


@dataclass(frozen=True)
class Problem:
    """Proxies and an embedding, and the exact dot products."""

    rows: NDArray[np.int8]
    vector: NDArray[np.int8]
    exact: NDArray[np.int64]

    @classmethod
    def random(cls, rows: int, dim: int, seed: int = 0) -> Problem:
        """All values alike: no kernel's time depends on them."""
        rng = np.random.default_rng(seed)
        matrix = rng.integers(-127, 128, (rows, dim), dtype=np.int8)
        vector = rng.integers(-127, 128, dim, dtype=np.int8)
        # In pieces: a wide copy of the whole would be the largest thing in memory.
        pieces = [matrix[at : at + 4096].astype(np.int64) @ vector.astype(np.int64) for at in range(0, rows, 4096)]
        return cls(matrix, vector, np.concatenate(pieces))

    def near_best(self, place: int, allowance: float) -> bool:
        """Whether a row is the nearest, or short of it by no more than this."""
        return bool(self.exact[place] >= self.exact.max() - allowance)


Maker = Callable[[Problem], Iterator[Contestant]]


def installed(result: Result) -> list[Maker]:
    """Who can take part: imports them, so that a limit on threads reaches them; notes in the result who cannot."""
    makers: list[Maker] = [_ours, _numpy]
    for name, package, make in (
        ("faiss", "faiss-cpu", _faiss),
        ("usearch.index", "usearch", _usearch),
        ("numkong", "numkong", _numkong),
    ):
        try:
            module = import_module(name)
        except ImportError:
            result.skip(f"{package} is not installed: pip install {package}")
            continue
        result.versions[package] = metadata.version(package)
        makers.append(partial(make, module))
    return makers


def _ours(problem: Problem) -> Iterator[Contestant]:
    from edge_imprint.head import _native

    out = np.zeros(len(problem.rows), dtype=np.int32)
    rows, vector, dots = problem.rows, problem.vector, _native.dots
    yield Contestant(OURS, lambda: dots(rows, vector, out), lambda: np.array_equal(out, problem.exact))


def _numpy(problem: Problem) -> Iterator[Contestant]:
    rows, vector = problem.rows.astype(np.float32), problem.vector.astype(np.float32)
    out = np.zeros(len(rows), dtype=np.float32)
    # A sum of so many products has a rounding error of at most this share of the largest sum there can be.
    allowed = 127 * 127 * rows.shape[1] * 2.0**-20
    yield Contestant(
        NUMPY,
        lambda: np.matmul(rows, vector, out=out),
        lambda: bool(np.abs(out - problem.exact).max() <= allowed),
    )


def _faiss(faiss: ModuleType, problem: Problem) -> Iterator[Contestant]:
    """Inner product, one nearest row: the least that its indexes can be asked for."""
    floats = problem.rows.astype(np.float32)
    query = problem.vector.astype(np.float32)[None]
    dim = floats.shape[1]
    kinds = faiss.ScalarQuantizer
    best = float(problem.exact.max())
    for name, index, allowance in (
        (FLAT, faiss.IndexFlatIP(dim), best * 1e-5),
        # Its levels are fitted to each component's range: rounding again moves a score by a percent or less.
        (SQ8, faiss.IndexScalarQuantizer(dim, kinds.QT_8bit, faiss.METRIC_INNER_PRODUCT), best * 1e-2),
        (
            SQ8_DIRECT,
            faiss.IndexScalarQuantizer(dim, kinds.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT),
            best * 1e-5,
        ),
    ):
        index.train(floats)
        index.add(floats)
        yield _search(name, problem, allowance, partial(_faiss_nearest, index, query))


def _faiss_nearest(index: Any, query: NDArray[np.float32]) -> Any:
    return index.search(query, 1)[1][0, 0]


def _usearch(usearch: ModuleType, problem: Problem) -> Iterator[Contestant]:
    """Exact search, one nearest row."""
    rows, vector = problem.rows, problem.vector
    allowance = float(problem.exact.max()) * 1e-5  # its distances are float32
    yield _search(
        USEARCH,
        problem,
        allowance,
        lambda: usearch.search(rows, vector, 1, "ip", exact=True, threads=1).keys[0],
    )
    if len(rows) > GRAPH_ROWS:
        return
    index = usearch.Index(ndim=rows.shape[1], metric="ip", dtype="i8", connectivity=2, expansion_add=1)
    index.add(np.arange(len(rows)), rows, threads=1)
    yield _search(
        USEARCH_INDEX, problem, allowance, lambda: index.search(vector, 1, exact=True, threads=1).keys[0]
    )  # fmt: skip


def _search(name: str, problem: Problem, allowance: float, call: Callable[[], Any]) -> Contestant:
    return Contestant(name, call, lambda: problem.near_best(int(call()), allowance))


def _numkong(numkong: ModuleType, problem: Problem) -> Iterator[Contestant]:
    """The kernels that usearch is built on, without its search: all dot products, as ours."""
    queries = problem.vector[None]
    packed = numkong.dots_pack(problem.rows, dtype="int8")
    yield _products(NUMKONG, problem, lambda: numkong.cdist(problem.rows, queries, "dot"))
    yield _products(NUMKONG_PACKED, problem, lambda: numkong.dots_packed(queries, packed))


def _products(name: str, problem: Problem, call: Callable[[], Any]) -> Contestant:
    return Contestant(name, call, lambda: np.array_equal(np.asarray(call()).ravel(), problem.exact))


def verify(entered: list[Contestant]) -> None:
    """Call each once and look at its answer.

    Raises:
        BenchmarkError: one is wrong.
    """
    for contestant in entered:
        contestant.call()
        if not contestant.check():
            raise BenchmarkError(f"{contestant.name} gives a wrong answer; its time means nothing")
