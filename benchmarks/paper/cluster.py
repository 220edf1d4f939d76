"""Cells on a Dask cluster. Workers need edge_imprint and the extra `paper`, not this checkout: the code travels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.paper.cells import Arrays, Cell, Setting, measure
from benchmarks.paper.embeddings import load
from benchmarks.paper.extra import need, one_thread
from benchmarks.paper.store import code_digests
from edge_imprint import __version__
from edge_imprint.errors import UsageError

AHEAD = 4
"""Cells that wait at each worker, so that none is idle while results travel."""

PATIENCE = "10s"
"""How long a scheduler may take to answer."""

Outcome = dict[str, Any]
Results = Generator[tuple[Cell, Outcome], None, None]


class Travelling:
    """A function of this package that unpickles where the package is not installed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        import benchmarks

        cloudpickle = need("cloudpickle", "a cluster")
        cloudpickle.register_pickle_by_value(benchmarks)
        try:
            self._load, self._bytes = cloudpickle.loads, cloudpickle.dumps(function)
        finally:
            cloudpickle.unregister_pickle_by_value(benchmarks)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; what arrives at a worker is the function itself."""
        return self._load(self._bytes)(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._load, (self._bytes,)


def on_cluster(cells: Sequence[Cell], paths: Mapping[tuple[str, str], Path], setting: Setting, address: str) -> Results:
    """Compute cells on the workers of a scheduler, and hand out results as they come.

    Embeddings are sent to every worker once, and the workers compute on one thread each.

    Args:
        cells: what to compute.
        paths: cache files of embeddings by (data, backbone), on this machine.
        setting: shared by all cells.
        address: of the scheduler, like "tcp://10.0.0.1:8786".

    Raises:
        UsageError: nobody answers, there are no workers, one has another edge_imprint, or the cluster breaks down.
        MissingRuntimeError: distributed is not installed.
    """
    distributed = need("distributed", "a cluster")
    # A worker that is lost is the scheduler's business; when the cluster cannot go on, one line says so.
    logging.getLogger("distributed.client").setLevel(logging.ERROR)
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--cluster must be the address of a Dask scheduler that runs, like tcp://10.0.0.1:8786; {address!r} "
            f"does not answer ({str(error) or type(error).__name__})"
        ) from None
    with client:
        _check_workers(client)
        function = Travelling(_measure_sent)
        waiting = iter(cells)
        sent: dict[tuple[str, str], Any] = {}
        running: dict[Any, Cell] = {}
        ready = distributed.as_completed(loop=client.loop)
        while True:
            while len(running) < AHEAD * max(1, sum(client.nthreads().values())):
                cell = next(waiting, None)
                if cell is None:
                    break
                where = cell.data, cell.backbone
                if where not in sent:
                    sent[where] = client.scatter(_named(load(paths[where])), broadcast=True, hash=False)
                future = client.submit(
                    function, asdict(cell), asdict(setting), sent[where], key=f"{cell.key}/{id(client)}", pure=False
                )
                running[future] = cell
                ready.add(future)
            if not running:
                return
            future = next(ready)
            cell = running.pop(future)
            try:
                outcome = future.result()
            except Exception as error:  # workers that died, a scheduler that went away
                raise UsageError(
                    f"the cluster did not finish {cell.key} ({type(error).__name__}). Finished cells are kept: see to "
                    "the cluster, then run the same command again"
                ) from error
            yield cell, outcome


def _named(arrays: Arrays) -> dict[str, Any]:
    return {field.name: getattr(arrays, field.name) for field in fields(arrays)}


def _measure_sent(cell: dict[str, Any], setting: dict[str, Any], arrays: dict[str, Any]) -> Outcome:
    with one_thread():
        return measure(Cell(**cell), Setting(**setting), Arrays(**arrays))


def _check_workers(client: Any) -> None:
    """Refuse a cluster whose workers would compute something else."""
    if not client.nthreads():
        raise UsageError("the cluster has no workers. Start some: dask worker ADDRESS --nthreads 1")
    try:
        found = client.run(Travelling(_facts))
    except Exception as error:  # of any kind: distributed does not always keep it
        raise UsageError(
            f"a worker cannot run edge_imprint ({error}). Install edge-imprint[paper] {__version__} on all of them"
        ) from None
    ours = _facts()
    for worker, theirs in found.items():
        if tuple(theirs) != ours:
            raise UsageError(
                f"worker {worker} has another edge_imprint ({theirs[0]}) than this machine ({ours[0]}): their sources "
                "differ. Install the same one there"
            )


def _facts() -> tuple[str, dict[str, str]]:
    import edge_imprint  # the worker's own: a name of this module would travel with its value

    return edge_imprint.__version__, code_digests()
