"""Cholesky factor and solutions of the second-moment head, one thread: the written order in C, next to LAPACK.

LAPACK may fuse, reorder and split sums; ours may not, as every processor has to give the same bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.context import Context
from benchmarks.errors import BenchmarkError, DataMissingError
from benchmarks.harness import interleave
from benchmarks.markdown import microseconds, table
from benchmarks.moment_library import FLAGS, MomentLibrary
from benchmarks.results import Param, Result
from edge_imprint.head import moment

CASES = ((256, 11), (256, 220), (1280, 11))
QUICK_CASES = ((64, 11),)
LIMITS_MS = {(256, 11): 0.6, (256, 220): 2.5, (1280, 11): 25.0}
REPEATS, QUICK_REPEATS = 31, 5
WARMUPS = 2
FLOOR = 0.25
OURS, OURS_FACTOR = "edge-imprint", "edge-imprint, factor only"
NUMPY = "numpy cholesky, factor only"
SCIPY = "scipy cho_factor, cho_solve"


def run(context: Context, result: Result) -> None:
    """Time every size, small to large; the answers are looked at first."""
    repeats = QUICK_REPEATS if context.quick else REPEATS
    result.settings = {
        "flags": " ".join(FLAGS),
        "warmups": WARMUPS,
        "repeats": repeats,
        "threads": 1,
        "operations": "multiply-accumulates: dim (dim^2 - 1) / 6 of the factor, dim (dim - 1) of each right-hand side",
    }
    try:
        scipy: Any = import_module("scipy.linalg")
        result.versions["scipy"] = metadata.version("scipy")
    except ImportError:
        scipy = None
        result.skip("scipy is not installed: pip install scipy")
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        try:
            library = MomentLibrary(Path(folder))
        except DataMissingError as error:
            result.skip(str(error))
            return
        for dim, count in context.track(QUICK_CASES if context.quick else CASES, "matrices"):
            _case(result, library, scipy, dim, count, repeats)


def _scatter(dim: int) -> NDArray[np.int32]:
    """That of as many unit embeddings as there are dimensions, and a ridge of the floor's size."""
    shots = np.random.default_rng(dim).normal(0, 1, (dim, dim))
    shots /= np.linalg.norm(shots, axis=1)[:, None]
    whole = np.rint((shots.T @ shots + np.eye(dim)) * 65536).astype(np.int32)
    return np.ascontiguousarray(whole[np.tril_indices(dim)])


def _case(result: Result, library: MomentLibrary, scipy: Any, dim: int, count: int, repeats: int) -> None:
    scatter, factors = _scatter(dim), np.empty(moment.packed_size(dim), np.float32)
    blocks = -(-count // library.at_once)
    sides = np.random.default_rng(1).normal(0, 1, (blocks, dim, library.at_once)).astype(np.float32)
    x = sides.copy()
    full = np.zeros((dim, dim), np.float32)
    full[np.tril_indices(dim)] = scatter.astype(np.float32) * np.float32(2.0**-16)
    full += np.tril(full, -1).T
    flat = np.ascontiguousarray(np.concatenate(list(sides), axis=1)[:, :count])

    def ours() -> None:
        library.factor(scatter, factors, dim, FLOOR)
        x[:] = sides
        library.solve(factors, x)

    calls: dict[str, Callable[[], object]] = {
        OURS: ours,
        OURS_FACTOR: partial(library.factor, scatter, factors, dim, FLOOR),
        NUMPY: partial(np.linalg.cholesky, full),
    }
    if scipy is not None:
        calls[SCIPY] = lambda: scipy.cho_solve(scipy.cho_factor(full, lower=True, check_finite=False), flat,
                                               check_finite=False)  # fmt: skip
    ours()
    exact = np.linalg.solve(full.astype(np.float64), flat.astype(np.float64))
    error = np.abs(np.concatenate(list(x), axis=1)[:, :count] - exact).max() / np.abs(exact).max()
    # Roundings grow with the dimension at most, times a condition number of a few: the ridge bounds it.
    if error > 8 * dim * 2.0**-24:
        raise BenchmarkError(f"{dim} x {count}: solutions are off by {error:.3g} of the largest")
    samples = interleave(calls, repeats=repeats, warmups=WARMUPS)
    factor_macs = dim * (dim * dim - 1) // 6
    macs = factor_macs + count * dim * (dim - 1)
    for name, values in samples.items():
        where: dict[str, Param] = {"contestant": name, "dim": dim, "sides": count}
        result.add("solve", "ns", values, where, "median")
        done = factor_macs if name in (OURS_FACTOR, NUMPY) else macs
        result.add("rate", "GMAC/s", [done / value for value in values], where, "median")
    if (dim, count) in LIMITS_MS:
        least = min(samples[OURS]) / 1e6
        result.promise(
            f"factor: {dim} dimensions, {count} right-hand sides",
            f"factor and solutions, the fastest of {repeats} samples, at most {LIMITS_MS[dim, count]:g} ms",
            least,
            "ms",
            least <= LIMITS_MS[dim, count],
        )


def tables(result: Result) -> dict[str, str]:
    """Microseconds and rate of everyone at every size."""
    rows = [
        [
            str(found.params["contestant"]),
            f"{found.params['dim']:,}",
            str(found.params["sides"]),
            microseconds(found.value),
            microseconds(min(found.samples)),
            f"{result.one('rate', **found.params).value:.2f}",
        ]
        for found in result.select("solve")
    ]
    return {"factor": table(["", "dim", "right-hand sides", "µs, median", "µs, fastest", "GMAC/s"], rows)}
