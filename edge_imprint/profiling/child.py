"""Measures in a process that holds nothing else: `processes` runs this file with WHAT and SUBJECT; prints JSON.

WHAT is `memory` or `cold`; SUBJECT is `Subject.as_dict` as JSON. Nothing but the standard library is imported before
the first look at clock and memory.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def _status(*names: str) -> list[int]:
    """Bytes of fields of /proc/self/status, such as VmRSS."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:  # noqa: PTH123
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return [int(fields[name].split()[0]) * 1024 for name in names]


def _pss() -> object:
    """Share of this process in all memory that it maps, in bytes."""
    try:
        with open("/proc/self/smaps_rollup", encoding="ascii", errors="replace") as lines:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration) as error:
        return {"not_available": f"/proc/self/smaps_rollup: {error or 'no Pss'}"}


def memory(plain: dict[str, Any], predictions: int) -> dict[str, Any]:
    """Bytes as the process grows, and a timeline of (seconds, bytes)."""
    import threading

    began = time.perf_counter()
    timeline = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.01):
            timeline.append([round(time.perf_counter() - began, 3), _status("VmRSS")[0]])

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    [python] = _status("VmRSS")
    import numpy as np  # noqa: F401

    [numpy] = _status("VmRSS")
    from edge_imprint.profiling.subject import Subject

    subject = Subject.from_dict(plain)
    frame = subject.frames(1)[0]
    [package] = _status("VmRSS")
    learner = subject.learner()
    [loaded] = _status("VmRSS")
    learner.predict(frame)
    [first] = _status("VmRSS")
    for _ in range(predictions):
        learner.predict(frame)
    steady, peak = _status("VmRSS", "VmHWM")
    ended.set()
    sampler.join()
    return {
        "peak_bytes": peak,
        "steady_bytes": steady,
        "pss_bytes": _pss(),
        "python_bytes": python,
        "numpy_bytes": numpy - python,
        "package_bytes": package - numpy,
        "backbone_and_runtime_bytes": max(loaded - package - learner.head.budget, 0),
        "head_arena_bytes": learner.head.budget,
        "first_prediction_bytes": first - loaded,
        "growth_bytes": steady - first,
        "predictions": predictions,
        "timeline": timeline,
    }


def cold(plain: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of each step to the first answer, from the interpreter's first line on."""
    start = time.perf_counter()
    from edge_imprint.profiling.subject import Subject

    subject = Subject.from_dict(plain)
    imported = time.perf_counter()
    learner = subject.learner() if subject.state else _untaught(subject)
    constructed = time.perf_counter()
    encoded = subject.encoded()
    ready = time.perf_counter()
    learner.predict(encoded)
    answered = time.perf_counter()
    steps = (imported - start, constructed - imported, answered - ready)
    names = ("import_ms", "construct_ms", "first_prediction_ms")
    return {name: round(seconds * 1000, 3) for name, seconds in zip(names, steps, strict=True)}


def _untaught(subject: Any) -> Any:
    """A learner with one class made of a single embedding: teaching pictures is not part of starting."""
    from edge_imprint.learner import Learner

    learner = Learner(subject.backbone(), subject.budget, method=subject.method)
    learner.head.partial_fit([[1.0] + [0.5] * (learner.head.dim - 1)], "made up")
    return learner


def main(arguments: list[str]) -> int:
    """Print one line of JSON: what was measured, or `{"error": message}`."""
    from edge_imprint.errors import EdgeImprintError

    what, plain, *rest = arguments
    try:
        found = memory(json.loads(plain), int(rest[0])) if what == "memory" else cold(json.loads(plain))
    except EdgeImprintError as error:
        found = {"error": str(error)}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
