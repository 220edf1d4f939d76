"""How long each stage takes, measured on this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_imprint.backbones import load_image
from edge_imprint.demo import data
from edge_imprint.learner import Learner

WARM_UPS = 3
REPEATS = 30


def median_ms(action: Callable[[], object], afterwards: Callable[[], object] = lambda: None) -> dict[str, float]:
    """Median and quartiles of the time an action takes, in milliseconds, after three warm-up runs.

    `afterwards` is called after each run and not timed.
    """
    taken = []
    for turn in range(WARM_UPS + REPEATS):
        start = time.perf_counter_ns()
        action()
        if turn >= WARM_UPS:
            taken.append((time.perf_counter_ns() - start) / 1e6)
        afterwards()
    low, middle, high = np.percentile(taken, [25, 50, 75])
    return {"median": round(float(middle), 4), "q1": round(float(low), 4), "q3": round(float(high), 4)}


def stages(learner: Learner) -> dict[str, dict[str, float]]:
    """Milliseconds per stage for one picture; the learner is as it was afterwards."""
    [file] = data.views(data.available(data.TAUGHT)[0].teach_from, 1, np.random.default_rng(1))
    picture = load_image(file)
    tensor = learner.backbone.prepare([picture])
    embedding = learner.embed([picture])
    label = str(learner.head.classes_[0])

    return {
        "decode": median_ms(lambda: load_image(file)),
        "preprocess": median_ms(lambda: learner.backbone.prepare([picture])),
        "backbone": median_ms(lambda: learner.backbone.infer(tensor)),
        "head: learn": median_ms(lambda: learner.head.partial_fit(embedding, label), learner.head.undo),
        "head: predict": median_ms(lambda: learner.head.predict(embedding)),
    }


def machine() -> dict[str, Any]:
    """What the milliseconds were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in ("model name", "Model"):
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
