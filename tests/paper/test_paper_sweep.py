"""One job, several jobs and a cluster give the same results; a killed or interrupted run goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.paper.cells import Cell, Setting
from benchmarks.paper.cluster import _check_workers, _facts
from benchmarks.paper.embeddings import Embedded
from benchmarks.paper.extra import on_cores, one_thread
from benchmarks.paper.store import Store, read_cells
from benchmarks.paper.sweep import run
from edge_imprint.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--shots", "1,5,all", "--merge", "1,2", "--k", "1,2,3", "--seeds", "2")
MANY = ("--protocol", "shots", "--shots", "1,2,5", "--seeds", "30")


def command(out: Path, photos: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "benchmarks.paper", "run", "--data", str(photos), "--out", str(out), "--json", *words
    ]  # fmt: skip


def start(words: list[str], cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "EDGE_IMPRINT_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout: float = 180) -> dict[str, Any]:
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    assert err == ""
    facts: dict[str, Any] = json.loads(out)
    return facts


def values(out: Path) -> dict[str, Any]:
    """What each cell found, without the time it took."""
    return {key: record.get("value", record.get("refused")) for key, record in read_cells(out).items()}


@contextlib.contextmanager
def stopping(*processes: subprocess.Popen[Any]) -> Iterator[None]:
    """Whatever the test finds, nothing of its processes stays."""
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def group_is_gone(process: subprocess.Popen[str], timeout: float = 20) -> bool:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def wait_for_lines(out: Path, process: subprocess.Popen[str], count: int) -> None:
    path, end = out / "cells.jsonl", time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if path.is_file() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} lines: {process.communicate()}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, photos: Path, shared_cache: Path) -> Path:
    """The results of one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    facts = finish(start(command(out, photos, *SMALL, "--jobs", "1"), shared_cache))
    assert facts["cells"] == facts["computed"] == len(values(out)) > 60
    assert facts["refused"] == []
    return out


def test_every_worker_computes_on_one_thread() -> None:
    import threadpoolctl

    threads = list(on_cores(os.getenv, [("OMP_NUM_THREADS",), ("OPENBLAS_NUM_THREADS",)], 2))
    assert threads == ["1", "1"]
    with one_thread():
        assert {found["num_threads"] for found in threadpoolctl.threadpool_info()} <= {1}


def test_progress_counts_every_cell_once_also_those_that_were_finished(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 5)
    rows = rng.normal(size=(10, 4)).astype(np.float32)
    np.savez(tmp_path / "set.npz", train=rows, train_labels=labels, test=rows, test_labels=labels)
    cells = [Cell("shots", "cups", "small", "all", "qi", shots, 1, 0, 0) for shots in (1, 2, 3)]
    sets = {("cups", "small"): Embedded("cups", "small", 4, tmp_path / "set.npz", ())}
    settings = {"budget": "8KB", "labels": 10, "data": {}, "backbones": {}}
    steps: list[int] = []
    with Store(tmp_path / "out", settings) as store:
        for count, computed in ((2, 2), (3, 1), (3, 0)):
            steps.clear()
            found = run(cells[:count], sets, Setting("8KB", 10), store, jobs=1, advance=lambda: steps.append(1))
            assert (found, len(steps)) == (computed, count)


class Client:
    """What `_check_workers` sees of a cluster."""

    def __init__(self, workers: int, answer: object) -> None:
        self.workers, self.answer = workers, answer

    def nthreads(self) -> dict[str, int]:
        return {f"tcp://worker-{place}": 1 for place in range(self.workers)}

    def run(self, function: object) -> dict[str, object]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict.fromkeys(self.nthreads(), self.answer)


@pytest.mark.parametrize(
    ("workers", "answer", "text"),
    [
        (0, None, "the cluster has no workers"),
        (2, ModuleNotFoundError("No module named 'edge_imprint'"), "cannot run edge_imprint.*Install"),
        (1, ("0.0.9", {"head": "a", "imprint": "b"}), r"tcp://worker-0 has another edge_imprint \(0.0.9\)"),
    ],
)
def test_a_cluster_that_would_compute_something_else_is_refused(workers: int, answer: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _check_workers(Client(workers, answer))
    _check_workers(Client(1, _facts()))


def test_several_processes_find_what_one_finds(alone: Path, photos: Path, shared_cache: Path, tmp_path: Path) -> None:
    process = start(command(tmp_path / "out", photos, *SMALL, "--jobs", "2"), shared_cache)
    with stopping(process):
        finish(process)
        assert values(tmp_path / "out") == values(alone)
        assert group_is_gone(process)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A scheduler and two worker processes, started far from this checkout."""
    quiet: dict[str, Any] = {
        "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True
    }  # fmt: skip
    file = tmp_path / "scheduler.json"
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--no-show", "--scheduler-file", str(file)],
        **quiet,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < end:
        time.sleep(0.1)
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1",
             "--no-dashboard", "--no-nanny", "--host", "127.0.0.1", "--local-directory", str(tmp_path / "dask")],
            **quiet,
        )
        for _ in range(2)
    ]  # fmt: skip
    with stopping(scheduler, *workers):
        yield json.loads(file.read_text())["address"]


def wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False, timeout="30s") as client:
        client.wait_for_workers(count, timeout=60)


def test_a_cluster_finds_what_one_process_finds(
    alone: Path, photos: Path, shared_cache: Path, tmp_path: Path, cluster: str
) -> None:
    wait_for_workers(cluster, 2)
    facts = finish(start(command(tmp_path / "out", photos, *SMALL, "--cluster", cluster), shared_cache))
    assert facts["computed"] == facts["cells"]
    assert values(tmp_path / "out") == values(alone)
    again = finish(start(command(tmp_path / "out", photos, *SMALL, "--jobs", "1"), shared_cache))
    assert again["computed"] == 0, "what the cluster found is finished for this machine as well"


def test_a_run_that_is_killed_goes_on_where_it_stopped(photos: Path, shared_cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(command(out, photos, *MANY, "--jobs", "2"), shared_cache)
    with stopping(process):
        wait_for_lines(out, process, 40)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert group_is_gone(process)
    path = out / "cells.jsonl"
    kept = path.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    path.write_bytes(kept + b'{"protocol": "sho')  # the kill may also come in the middle of a line
    finished = kept.count(b"\n")
    facts = finish(start(command(out, photos, *MANY, "--jobs", "1"), shared_cache))
    assert 40 <= finished < facts["cells"], "the kill came too late to test anything"
    assert facts["computed"] == facts["cells"] - finished
    assert path.read_bytes().startswith(kept), "finished cells stay as they were"
    whole = finish(start(command(tmp_path / "whole", photos, *MANY, "--jobs", "1"), shared_cache))
    assert whole["computed"] == whole["cells"]
    assert values(out) == values(tmp_path / "whole")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_finished_cells_and_ends_with_one_line(
    photos: Path, shared_cache: Path, tmp_path: Path, jobs: str
) -> None:
    out = tmp_path / "out"
    process = start(command(out, photos, *MANY, "--jobs", jobs), shared_cache)
    with stopping(process):
        wait_for_lines(out, process, 20)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        text, err = process.communicate(timeout=60)
        assert group_is_gone(process)
    assert (process.returncode, text) == (130, "")
    assert err.count("\n") == 1, err
    assert err.startswith("Interrupted: ")
    assert f"{len(values(out))} of 630 cells are kept" in err
    assert 20 <= len(values(out)) < 630
