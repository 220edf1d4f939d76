"""A profile to read and compare, made up."""

from __future__ import annotations

from edge_imprint.profiling import Profile
from edge_imprint.profiling.result import Stage
from edge_imprint.profiling.stages import NAMES


def made(factor: float = 1.0, **changes) -> Profile:
    """A profile whose times are `factor` times a usual one's."""
    stages = {name: Stage(tuple(factor * (100 + i) for i in range(100)), 5) for name in NAMES}
    sizes = {"peak_bytes": 64 << 20, "steady_bytes": 60 << 20, "pss_bytes": 50 << 20, "timeline": [[0.0, 1], [0.1, 2]]}
    fields = {
        "date": "2026-11-28T00:00:00+00:00",
        "machine": {"cpu": "a processor", "board": {"not_available": "none"}, "cores": 2},
        "runtimes": {"python": "3.11"},
        "bundle": {"name": "a", "runtime": "onnxruntime cpu"},
        "head": {"method": "ridge"},
        "settings": {},
        "stages": stages,
        "camera": {"answered_fps": 30.0, "dropped": 0},
        "memory": sizes,
        "cold_start": {"import_ms": 1.0, "construct_ms": 2.0, "first_prediction_ms": 3.0, "total_ms": 10.0 * factor},
        "thermal": {"before": {}, "after": {}},
        "power": {"not_available": "no sensor"},
        "overhead_us": 0.1,
    }
    return Profile(**{**fields, **changes})
