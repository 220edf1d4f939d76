"""Run the cells of a sweep: in this process, on all cores of this machine, or on a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.paper.cells import Cell, Setting, measure
from benchmarks.paper.cluster import Outcome, Results, on_cluster
from benchmarks.paper.embeddings import Embedded, load
from benchmarks.paper.extra import on_cores, one_thread
from benchmarks.paper.store import Store, code_digests, code_of


def run(
    cells: Sequence[Cell],
    sets: Mapping[tuple[str, str], Embedded],
    setting: Setting,
    store: Store,
    *,
    jobs: int = -1,
    cluster: str | None = None,
    advance: Callable[[], None] = lambda: None,
) -> int:
    """Compute what is not finished yet and store each cell as soon as it is there.

    Results do not depend on where and in which order cells run.

    Args:
        cells: all cells of the sweep.
        sets: embeddings by (data, backbone).
        setting: shared by all cells.
        store: finished cells, and where new ones go.
        jobs: processes on this machine, -1 for one per core.
        cluster: address of a Dask scheduler, like "tcp://10.0.0.1:8786"; None stays on this machine.
        advance: called once per cell, also for those that were finished before.

    Returns:
        How many cells were computed.

    Raises:
        UsageError: the cluster cannot be reached, has no workers, or runs other code.
        MissingRuntimeError: joblib or distributed is not installed.
        StorageError: a result cannot be written. What was stored before stays.
    """
    digests = code_digests()
    todo = []
    for cell in cells:
        if store.finished(cell, code_of(cell, digests)):
            advance()
        else:
            todo.append(cell)
    todo.sort(key=lambda cell: (cell.data, cell.backbone))  # a worker keeps the last two files in memory
    if cluster is None:
        results = _local(todo, sets, setting, jobs)
    else:
        results = on_cluster(todo, {place: found.path for place, found in sets.items()}, setting, cluster)
    with contextlib.closing(results):
        for cell, outcome in results:
            store.add(cell, code_of(cell, digests), outcome)
            advance()
    return len(todo)


def measure_stored(cell: Cell, setting: Setting, path: Path) -> tuple[Cell, Outcome]:
    """`measure` on a cache file of this machine, on one thread."""
    with one_thread():
        return cell, measure(cell, setting, load(path))


def _local(cells: Sequence[Cell], sets: Mapping[tuple[str, str], Embedded], setting: Setting, jobs: int) -> Results:
    calls = [(cell, setting, sets[cell.data, cell.backbone].path) for cell in cells]
    return on_cores(measure_stored, calls, jobs, ordered=False)
