"""How long each stage takes, measured on this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_imprint.backbones import load_image
from edge_imprint.demo import data
from edge_imprint.learner import Learner
from edge_imprint.profiling.machine import processor
from edge_imprint.profiling.stages import Nothing, timed

WARM_UPS = 3
REPEATS = 30


def median_ms(action: Callable[[], object], afterwards: Nothing = lambda: None) -> dict[str, float]:
    """Median and quartiles of the time an action takes, in milliseconds, after three warm-up runs.

    `afterwards` is called after each run and not timed.
    """
    stage = timed(action, REPEATS, WARM_UPS, after=afterwards)
    low, middle, high = (round(stage.percentile(p) / 1000, 4) for p in (25, 50, 75))
    return {"median": middle, "q1": low, "q3": high}


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
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
