"""Which runtimes of this machine run each file of a bundle, and how fast: tried, not guessed.

Each runtime is tried in a process of its own. An import proves nothing (tflite-runtime 2.14 imports under numpy 2 and
fails when an interpreter is made), two TFLite runtimes do not belong into one process, and one that was built for
another processor takes its process down.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.backbones import tflite
from edge_imprint.backbones.bundle import read_verified
from edge_imprint.backbones.embedding import find_embedding
from edge_imprint.backbones.flatbuffer import cut, read_graph
from edge_imprint.backbones.manifest import Manifest, read_manifest
from edge_imprint.backbones.onnx import OnnxRunner
from edge_imprint.backbones.preprocess import Preprocessor
from edge_imprint.backbones.spec import FileSpec
from edge_imprint.errors import BundleError, EdgeImprintError, MissingRuntimeError

ONNX = ("onnxruntime", "onnxruntime")
WARM_UPS = 3
# A network of a second per picture should not keep anybody waiting for ten.
MOST_TIMING_S = 3.0
MOST_PROBING_S = 180
# Too large to be worth a line where it is not installed.
_ONLY_WHERE_INSTALLED = {"tensorflow"}


@dataclass(frozen=True)
class Probe:
    """One file with one runtime.

    Attributes:
        file: its name in the bundle.
        format: "onnx" or "tflite".
        precision: "float32" or "int8".
        runtime: the distribution: "onnxruntime", "ai-edge-litert", "tflite-runtime", "tensorflow".
        version: of it, where it could be used.
        runs: whether it ran the file here.
        median_ms: of one picture; None when it does not run or nothing was timed.
        reason: why it does not run.
    """

    file: str
    format: str
    precision: str
    runtime: str
    version: str | None = None
    runs: bool = False
    median_ms: float | None = None
    reason: str | None = None


def probe(bundle: Path, *, runs: int = 10, threads: int = 1) -> list[Probe]:
    """Try every file of a bundle with every runtime for its format.

    Args:
        bundle: the folder.
        runs: how many runs to take the median of, after three that do not count; 0 tries a single one and times
            nothing.
        threads: of one run.

    Returns:
        One entry per file and runtime, files in the manifest's order, the preferred runtime first.

    Raises:
        BundleError: the manifest cannot be read. A damaged file is the reason in its entries.
    """
    manifest = read_manifest(bundle)
    found: dict[tuple[str, str], Probe] = {}
    for format, runtimes in (("onnx", (ONNX,)), ("tflite", tflite.RUNTIMES)):
        files = [file for file in manifest.files if file.format == format]
        for module, runtime in runtimes if files else ():
            answers: dict[str, dict[str, Any]] | str
            if not _is_installed(module):
                if runtime in _ONLY_WHERE_INSTALLED:
                    continue
                answers = "not installed"
            else:
                answers = _ask(bundle, format, module, runtime, runs, threads)
            for file in files:
                answer = {"reason": answers} if isinstance(answers, str) else answers[file.name]
                found[file.name, runtime] = Probe(file.name, file.format, file.precision, runtime, **answer)
    order = [file.name for file in manifest.files]
    return sorted(found.values(), key=lambda entry: order.index(entry.file))


def _is_installed(module: str) -> bool:
    """Whether the top-level package can be found; a None in `sys.modules` hides one."""
    top = module.partition(".")[0]
    try:
        return importlib.util.find_spec(top) is not None
    except ValueError:
        return False


def _ask(
    bundle: Path, format: str, module: str, runtime: str, runs: int, threads: int
) -> dict[str, dict[str, Any]] | str:
    """What a process with this runtime says of each file, or why it said nothing."""
    command = [sys.executable, "-m", __name__, str(bundle), format, module, runtime, str(runs), str(threads)]
    # The child finds what this process finds, wherever it was started.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_PROBING_S, env=environment)
    except subprocess.TimeoutExpired:
        return f"took longer than {MOST_PROBING_S} s"
    except OSError as error:
        return f"could not be tried: {error.strerror or error}"
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"crashed ({name}{', built for another processor?' if name == 'SIGILL' else ''})"
    try:
        answers: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return f"failed: {last[:200]}"
    return answers


def answer(bundle: Path, format: str, runtime: tuple[str, str], runs: int, threads: int) -> dict[str, dict[str, Any]]:
    """Try the files of one format with one runtime in this process.

    Returns:
        For each file's name the fields of its `Probe` that are known only now.
    """
    manifest = read_manifest(bundle)
    answers: dict[str, dict[str, Any]] = {}
    for file in manifest.files:
        if file.format != format:
            continue
        try:
            answers[file.name] = _try(bundle, manifest, file, runtime, runs, threads)
        except EdgeImprintError as error:
            answers[file.name] = {"reason": _one_line(error)}
    return answers


def _try(
    bundle: Path, manifest: Manifest, file: FileSpec, runtime: tuple[str, str], runs: int, threads: int
) -> dict[str, Any]:
    content = read_verified(bundle, file.name, file.sha256)
    runner: OnnxRunner | tflite.TfliteRunner
    if file.format == "onnx":
        runner = OnnxRunner(content, file.name, file.embedding, threads=threads)
    else:
        graph = read_graph(content, file.name)
        content = cut(content, graph, find_embedding(graph, file.name, file.embedding))
        try:
            runner = tflite.TfliteRunner(content, file.name, threads, [runtime])
        except EdgeImprintError:
            return {"reason": _refusal(runtime[0], content)}
    median_ms = _median_ms(runner, _example(manifest, file, runner.input_shape), runs)
    return {"version": runner.version, "runs": True, "median_ms": median_ms}


def _refusal(module: str, content: bytes) -> str:
    """Why no interpreter of this file can be made, in the runtime's own words."""
    try:
        tflite.interpreter(module, content, None)
    except MissingRuntimeError as error:
        return f"installed, but does not work: {_one_line(error)}"
    except BundleError as error:
        return f"refuses the file: {_one_line(error)}"
    return "worked only at the second try"


def _example(manifest: Manifest, file: FileSpec, input_shape: Sequence[int | None]) -> NDArray[Any]:
    """A tensor (1, ...) that the file takes."""
    shape = tuple(axis or 1 for axis in input_shape[1:])
    if manifest.input is not None:
        shape = Preprocessor.of(manifest.input, file).shape
    return noise((1, *shape), file.dtype)


def noise(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Seeded numbers to run a network on: -1 to 1, or the whole range of an integer."""
    rng = np.random.default_rng(0)
    wanted = np.dtype(dtype)
    if wanted.kind == "f":
        return rng.uniform(-1, 1, shape).astype(wanted)
    limits = np.iinfo(wanted)
    return rng.integers(limits.min, limits.max, shape, wanted, endpoint=True)


def _median_ms(runner: OnnxRunner | tflite.TfliteRunner, tensor: NDArray[Any], runs: int) -> float | None:
    for _ in range(WARM_UPS if runs else 1):
        runner(tensor)
    taken: list[float] = []
    while len(taken) < runs and sum(taken) < 1e3 * MOST_TIMING_S:
        start = time.perf_counter_ns()
        runner(tensor)
        taken.append((time.perf_counter_ns() - start) / 1e6)
    return round(statistics.median(taken), 4) if taken else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def as_json(found: Sequence[Probe]) -> list[dict[str, Any]]:
    """Entries ready for JSON."""
    return [asdict(entry) for entry in found]


if __name__ == "__main__":
    _bundle, _format, _module, _runtime, _runs, _threads = sys.argv[1:]
    print(json.dumps(answer(Path(_bundle), _format, (_module, _runtime), int(_runs), int(_threads))))
