"""How fast each file is here and how much memory it takes, in processes that hold nothing else.

Run as `python -m edge_imprint_export.measure FILE ...`; prints JSON. Memory is measured in one process per file.
Time is measured in one process for all files, taking turns, so that float32 and int8 meet the same machine: on a busy
one their ratio still holds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.atomic import scratch_folder
from edge_imprint.backbones.onnx import OnnxRunner
from edge_imprint.backbones.probe import noise
from edge_imprint.backbones.tflite import RUNTIMES, TfliteRunner
from edge_imprint.errors import BundleError, EdgeImprintError, ExportError

THREADS = 1
WARM_UPS = 3
# Runs of a turn that count; one before them does not, since the other files' weights are in the caches.
RUNS_PER_TURN = 3
LEAST_TURNS, MOST_TURNS = 5, 40
TIMING_S = 6.0
MOST_S = 900


@dataclass(frozen=True)
class Measurement:
    """One file on this machine, one picture at a time.

    Attributes:
        runtime: that ran it.
        version: of it.
        threads: of one run.
        warm_ups: runs before the first that counts.
        runs: that count.
        median_ms: of them.
        q1_ms: a quarter took at most this.
        q3_ms: three quarters took at most this.
        resident_bytes: growth of resident memory from before loading the file to after some runs, the runtime's own
            code loaded before.
        peak_bytes: the most it grew in between.
        all_int8_ms: what the same file takes with every layer in int8; None where that is no other file.
    """

    runtime: str
    version: str
    threads: int
    warm_ups: int
    runs: int
    median_ms: float
    q1_ms: float
    q3_ms: float
    resident_bytes: int
    peak_bytes: int
    all_int8_ms: float | None = None


def measure(contents: Mapping[str, bytes]) -> dict[str, Measurement]:
    """Measure finished files by their names, `.onnx` or `.tflite`.

    Raises:
        ExportError: a process with a file failed; the message names the file or says what happened.
    """
    with scratch_folder() as folder:
        paths = [folder / name for name in contents]
        for path in paths:
            path.write_bytes(contents[path.name])
        return dict(zip(contents, measure_files(paths), strict=True))


def measure_files(files: Sequence[Path]) -> list[Measurement]:
    """Measure files, one after the other for memory and in turns for time; raises as `measure`."""
    memory = [_in_child("memory", [file]) for file in files]
    times = _in_child("time", files)
    return [Measurement(**fast, **small) for fast, (small,) in zip(times, memory, strict=True)]


def _in_child(what: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
    # Threads that a library starts on its own would share the processor with the one that is measured.
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", __name__ if __name__ != "__main__" else "edge_imprint_export.measure"]
    command += [f"--{what}", *map(str, files)]
    names = ", ".join(file.name for file in files)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S, env=environment)
    except subprocess.TimeoutExpired:
        raise ExportError(f"files must run once in a while; measuring {names} took over {MOST_S} s") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ExportError(f"a finished file must run; measuring {names} failed: {last[:300]}") from None
    if isinstance(answer, str):
        raise ExportError(answer)
    return list(answer)


def _open(path: Path) -> tuple[OnnxRunner | TfliteRunner, NDArray[Any]]:
    """A file as a device opens it, and a tensor of its shape, the same every time."""
    content = path.read_bytes()
    opened: OnnxRunner | TfliteRunner
    if path.suffix == ".onnx":
        opened = OnnxRunner(content, path.name, threads=THREADS)
    else:
        opened = TfliteRunner(content, path.name, threads=THREADS)
    sides = [axis for axis in opened.input_shape[1:] if axis is not None]
    if len(sides) + 1 < len(opened.input_shape):
        raise BundleError(f"a finished file takes pictures of one size; {path.name} takes {opened.input_shape}")
    return opened, noise((1, *sides), opened.input_dtype)


def _time(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Milliseconds of each file, in this process, taking turns."""
    opened = [_open(file) for file in files]
    start = time.perf_counter()
    for runner, tensor in opened:
        for _ in range(WARM_UPS):
            runner(tensor)
    turn_s = (time.perf_counter() - start) / WARM_UPS * (1 + RUNS_PER_TURN)
    turns = int(np.clip(TIMING_S / max(turn_s, 1e-6), LEAST_TURNS, MOST_TURNS))
    taken: list[list[float]] = [[] for _ in opened]
    for _ in range(turns):
        for (runner, tensor), times in zip(opened, taken, strict=True):
            runner(tensor)
            for _ in range(RUNS_PER_TURN):
                began = time.perf_counter_ns()
                runner(tensor)
                times.append((time.perf_counter_ns() - began) / 1e6)
    return [_summary(runner, times) for (runner, _), times in zip(opened, taken, strict=True)]


def _summary(runner: OnnxRunner | TfliteRunner, times: Sequence[float]) -> dict[str, Any]:
    low, middle, high = (round(float(value), 4) for value in np.percentile(times, [25, 50, 75]))
    return {
        "runtime": runner.runtime,
        "version": runner.version,
        "threads": THREADS,
        "warm_ups": WARM_UPS,
        "runs": len(times),
        "median_ms": middle,
        "q1_ms": low,
        "q3_ms": high,
    }


def _memory(file: Path) -> dict[str, int]:
    """Growth of this process's resident memory by loading and running one file, in bytes."""
    _import_runtime(file)
    with contextlib.suppress(OSError):  # no such file outside Linux, or not allowed: then the peak so far counts
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before, _ = resident_and_peak()
    runner, tensor = _open(file)
    for _ in range(WARM_UPS):
        runner(tensor)
    after, peak = resident_and_peak()
    return {"resident_bytes": max(after - before, 0), "peak_bytes": max(peak - before, after - before, 0)}


def _import_runtime(file: Path) -> None:
    modules = ["onnxruntime"] if file.suffix == ".onnx" else [module for module, _ in RUNTIMES]
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
            return


def resident_and_peak() -> tuple[int, int]:
    """Resident memory of this process now and at its peak, in bytes; outside Linux the peak for both."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        resident, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return resident, peak
    except (OSError, KeyError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return most, most


def main(arguments: Sequence[str]) -> int:
    """Print what was asked for as one line of JSON: a list, or a text that says what went wrong."""
    what, *named = arguments if arguments and arguments[0].startswith("--") else ("", *arguments)
    files = [Path(name) for name in named]
    answer: object
    try:
        if what == "--memory":
            answer = [_memory(file) for file in files]
        elif what == "--time":
            answer = _time(files)
        else:
            found = measure_files(files)
            answer = [{"file": file.name, **vars(one)} for file, one in zip(files, found, strict=True)]
    except EdgeImprintError as error:
        answer = str(error)
    except OSError as error:
        answer = f"{error.filename}: {error.strerror}"
    print(json.dumps(answer))
    return int(isinstance(answer, str))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
