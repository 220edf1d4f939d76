"""The packages of the extra `paper`, imported when they are needed: processes, threads, a cluster, figures."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from edge_imprint.errors import MissingRuntimeError

T = TypeVar("T")


def need(module: str, what: str) -> Any:
    """Import a module of the extra.

    Raises:
        MissingRuntimeError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingRuntimeError(
            f"{what} needs {package}; importing it failed: {error}. Install it with: pip install 'edge-imprint[paper]'"
        ) from error


def one_thread() -> AbstractContextManager[Any]:
    """While it lasts, BLAS and OpenMP use one thread: as many processes as cores, and the same sums everywhere."""
    try:
        limits = importlib.import_module("threadpoolctl").threadpool_limits
    except ImportError:  # a worker of a cluster may lack it; its own settings hold
        return nullcontext()
    made: AbstractContextManager[Any] = limits(limits=1)
    return made


def on_cores(
    task: Callable[..., T], arguments: Sequence[tuple[Any, ...]], jobs: int, *, ordered: bool = True
) -> Generator[T, None, None]:
    """Call `task` with each of the arguments in processes of this machine, and hand out results as they come.

    Args:
        task: a function of a module.
        arguments: of each call.
        jobs: processes; -1 for one per core, 1 for none besides this one.
        ordered: in the order of the arguments, or as they are ready.
    """
    joblib = need("joblib", "running on all cores")
    calls = (joblib.delayed(task)(*each) for each in arguments)
    how = "generator" if ordered else "generator_unordered"
    with joblib.parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        yield from joblib.Parallel(return_as=how)(calls)
