"""A camera that does not wait: which frames are answered, and which are gone before anybody looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LEAST_FRAMES = 30
LEAST_SLEEP_S = 1e-4
"""So that rounding cannot make the wait one of no time at all."""


def run(
    answer: Callable[[int], object],
    fps: float,
    frames: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Answer the newest frame there is, as soon as the one before is answered.

    Args:
        answer: called with the number of a frame.
        fps: frames that the camera gives in a second.
        frames: how many it gives in all.
        clock: seconds that never go back.
        sleep: waits so many of them.

    Returns:
        `fps`, `frames`, `answered`, `dropped` (frames that a newer one replaced), `answered_fps`, and `latency_ms_p50`
        and `latency_ms_p99` from a frame's arrival to its answer.

    Example:
        >>> found = run(lambda number: None, fps=1000, frames=30)
        >>> found["answered"] + found["dropped"]
        30
    """
    began = clock()
    latencies, seen, dropped = [], -1, 0
    while seen < frames - 1:
        newest = min(int((clock() - began) * fps), frames - 1)
        if newest <= seen:
            sleep(max(began + (seen + 1) / fps - clock(), LEAST_SLEEP_S))
            continue
        dropped += newest - seen - 1
        seen = newest
        answer(newest)
        latencies.append((clock() - began - newest / fps) * 1000)
    seconds = max(clock() - began, frames / fps)
    ordered = sorted(latencies)
    return {
        "fps": fps,
        "frames": frames,
        "answered": len(latencies),
        "dropped": dropped,
        "answered_fps": round(len(latencies) / seconds, 2),
        "latency_ms_p50": round(ordered[len(ordered) // 2], 3),
        "latency_ms_p99": round(ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)], 3),
    }
