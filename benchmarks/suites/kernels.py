"""One embedding against N int8 proxies: the accelerator's dot products, next to what else answers that question.

One thread, one process, in turns. Where the matrix does not fit the caches, also next to reading the same bytes and
doing nothing with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from benchmarks import kernel_peers, memory_stream
from benchmarks.context import Context
from benchmarks.errors import BenchmarkError, DataMissingError
from benchmarks.harness import interleave, ratio
from benchmarks.kernel_peers import FLAT, NUMPY, OURS, SQ8, USEARCH, Maker, Problem
from benchmarks.markdown import microseconds, table
from benchmarks.results import Param, Result

DIMS, QUICK_DIMS = (256, 1280), (64,)
ROWS, QUICK_ROWS = (20, 200, 2_000, 20_000), (20, 200)
LARGE_BYTES, QUICK_LARGE_BYTES = 256_000_000, 1_280_000
LARGE_CACHES = 4
"""A matrix at least so many times as large as the largest cache counts as one that does not fit."""
REPEATS, QUICK_REPEATS = 101, 5
LARGE_REPEATS = 31
WARMUPS = 3
SAMPLE_NS = 500_000
READ = "reading only"
PROMISED = (NUMPY, FLAT, SQ8, USEARCH)
BANDWIDTH_SHARE = 70.0


def run(context: Context, result: Result) -> None:
    """Time every size, small to large."""
    try:
        native = import_module("edge_imprint.head._native")
    except ImportError:
        result.skip("edge_imprint.head has no accelerator here: install a C compiler, then edge-imprint again")
        return
    repeats = QUICK_REPEATS if context.quick else REPEATS
    large = QUICK_LARGE_BYTES if context.quick else LARGE_BYTES
    result.settings = {
        "kernel": native.kernels(),
        "values": "random int8, the same for all",
        "answers": "ours, numpy and numkong give all dot products, faiss and usearch the nearest row only",
        "warmups": WARMUPS,
        "repeats": repeats,
        "least_sample_ns": SAMPLE_NS,
        "garbage_collector": "off while timing",
        "threads": 1,
        "cache_bytes": memory_stream.caches(),
        "large_bytes": large,
    }
    makers = kernel_peers.installed(result)
    dims, counts = (QUICK_DIMS, QUICK_ROWS) if context.quick else (DIMS, ROWS)
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        read = _reader(result, Path(folder), 0 if context.quick else large)
        for rows, dim in context.track([(rows, dim) for dim in dims for rows in counts], "matrices in the caches"):
            _time(result, makers, Problem.random(rows, dim), {}, repeats)
        if read is None:
            return
        for dim in context.track(dims, "matrices that do not fit"):
            problem = Problem.random(large // dim, dim)
            samples = _time(result, makers, problem, {READ: partial(read, problem.rows)}, min(repeats, LARGE_REPEATS))
            _share(result, samples, problem)


def _reader(result: Result, folder: Path, large: int) -> Callable[[NDArray[np.int8]], int] | None:
    """What reads memory and nothing else; None, with the reason noted, where large matrices cannot be looked at."""
    largest = max(result.settings["cache_bytes"].values(), default=0)
    if 0 < large < LARGE_CACHES * largest:
        result.skip(f"matrices that do not fit: the largest cache has {largest:,} bytes, too much for {large:,}")
        return None
    try:
        return memory_stream.reader(folder)
    except DataMissingError as error:
        result.skip(str(error))
        return None


def _time(
    result: Result, makers: list[Maker], problem: Problem, others: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Time everyone in turns, and look at the answers before and after.

    Raises:
        BenchmarkError: an answer is wrong, or a library would take more threads.
    """
    entered = [contestant for make in makers for contestant in make(problem)]
    pools = threadpool_info()
    greedy = [pool["prefix"] for pool in pools if pool["num_threads"] != 1]
    if greedy:
        raise BenchmarkError(f"{', '.join(greedy)} would take more than one thread")
    result.settings["blas"] = {pool["prefix"]: pool["architecture"] for pool in pools if pool["user_api"] == "blas"}
    kernel_peers.verify(entered)
    calls = {contestant.name: contestant.call for contestant in entered} | others
    samples = interleave(calls, repeats=repeats, warmups=WARMUPS, sample_ns=SAMPLE_NS)
    kernel_peers.verify(entered)
    _keep(result, samples, *problem.rows.shape)
    return samples


def _share(result: Result, samples: dict[str, list[float]], problem: Problem) -> None:
    """Bytes of the matrix over time, next to reading them only."""
    rows, dim = problem.rows.shape
    for name in (OURS, READ):
        rates = [problem.rows.nbytes / sample for sample in samples[name]]
        result.add("bandwidth", "GB/s", rates, {"contestant": name, "rows": rows, "dim": dim}, "median")
    share = 100 * ratio(samples, READ, OURS)
    result.add("bandwidth_share", "%", [share], {"rows": rows, "dim": dim}, "median")
    result.promise(
        f"kernels: {rows:,} x {dim}",
        f"above {BANDWIDTH_SHARE:g} % of the memory bandwidth of one thread where the matrix does not fit the caches",
        share,
        "%",
        share > BANDWIDTH_SHARE,
    )


def _keep(result: Result, samples: dict[str, list[float]], rows: int, dim: int) -> None:
    for name, values in samples.items():
        where: dict[str, Param] = {"contestant": name, "rows": rows, "dim": dim}
        result.add("dots", "ns", values, where, "median")
        if name in PROMISED:
            times = result.add("times_faster", "x", [ratio(samples, name, OURS)], where, "median").value
            result.promise(
                f"kernels: {rows:,} x {dim}",
                f"one embedding against N int8 proxies faster than {name}",
                times,
                "x",
                times > 1,
            )


def tables(result: Result) -> dict[str, str]:
    """Microseconds of everyone at every size; the share of the memory's bandwidth."""
    names = list(dict.fromkeys(str(found.params["contestant"]) for found in result.select("dots")))
    sizes = list(dict.fromkeys((found.params["rows"], found.params["dim"]) for found in result.select("dots")))
    rows = []
    for count, dim in sizes:
        found = {each.params["contestant"]: each.value for each in result.select("dots", rows=count, dim=dim)}
        cells = [microseconds(found[name]) if name in found else "" for name in names if name != READ]
        rows.append([f"{count:,} x {dim:,}", *cells])
    times = table(["proxies x dim", *(name for name in names if name != READ)], rows)
    note = f"µs, median, called from Python, one thread; kernel: {result.settings['kernel']}."
    shares = [
        [
            f"{share.params['rows']:,} x {share.params['dim']:,}",
            *(f"{_rate(result, share.params, name):.1f}" for name in (OURS, READ)),
            f"{share.value:.0f} %",
        ]
        for share in result.select("bandwidth_share")
    ]
    return {
        "kernels": f"{times}\n\n{note}",
        "kernels.bandwidth": table(["proxies x dim", f"{OURS}, GB/s", f"{READ}, GB/s", "share"], shares),
    }


def _rate(result: Result, where: dict[str, Param], name: str) -> float:
    return result.one("bandwidth", contestant=name, rows=where["rows"], dim=where["dim"]).value
