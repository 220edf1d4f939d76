"""Memory and cold start, measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_imprint.errors import ProfileError
from edge_imprint.profiling.subject import Subject
from edge_imprint.profiling.sysfs import not_available

_MOST_S = 600
# Not `-m edge_imprint.profiling.child`, which would import the package before the child's first look.
_FILE = str(Path(__file__).with_name("child.py"))
_PROGRAM = f"exec(compile(open({_FILE!r}, encoding='utf-8').read(), {_FILE!r}, 'exec'))"
_STEPS = ("import_ms", "construct_ms", "first_prediction_ms", "total_ms")


def _child(subject: Subject, *arguments: str) -> dict[str, Any]:
    what, *rest = arguments
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
    command = [sys.executable, "-c", _PROGRAM, what, json.dumps(subject.as_dict()), *rest]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise ProfileError(
            f"a process that measures {what} must end; it ran over {_MOST_S} s. Free the machine"
        ) from None
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ProfileError(f"a process that measures {what} failed: {last[:300]}") from None
    if "error" in found:
        raise ProfileError(str(found["error"]))
    return dict(found)


def memory(subject: Subject, predictions: int) -> dict[str, Any]:
    """Bytes of a process that opens the backbone, takes up the head and predicts; Linux only."""
    if not os.access("/proc/self/status", os.R_OK):
        return not_available("no /proc/self/status: memory is measured on Linux")
    return _child(subject, "memory", str(predictions))


def cold_start(subject: Subject, repeats: int, step: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Milliseconds from starting an interpreter to the first answer: medians and all samples; `step` before each."""
    taken: dict[str, list[float]] = {name: [] for name in _STEPS}
    for _ in range(repeats):
        step()
        start = time.perf_counter()
        found = _child(subject, "cold")
        taken["total_ms"].append(round((time.perf_counter() - start) * 1000, 3))
        for name in _STEPS[:-1]:
            taken[name].append(found[name])
    return {**{name: float(np.median(values)) for name, values in taken.items()}, "samples": taken}
