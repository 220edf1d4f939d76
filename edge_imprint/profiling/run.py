"""One profile of the machine at hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_imprint.errors import ProfileError
from edge_imprint.profiling import camera, machine, processes, runtimes, stages, thermal
from edge_imprint.profiling.power import Meter
from edge_imprint.profiling.result import Profile
from edge_imprint.profiling.subject import Subject, facts

LEAST_REPEATS = 100
"""A 99th percentile of fewer runs would be the slowest one."""
LEAST_COLD_STARTS = 3
REPEATS, WARM_UPS, COLD_STARTS = 200, 10, 5
STEPS = len(stages.NAMES) + 2
"""How often `progress` is called, and once more for each cold start."""


def profile(
    subject: Subject | None = None,
    *,
    repeats: int = REPEATS,
    warm_ups: int = WARM_UPS,
    camera_fps: float = 30.0,
    camera_seconds: float = 3.0,
    cold_starts: int = COLD_STARTS,
    root: Path = Path("/"),
    progress: Callable[[str], None] = lambda step: None,
) -> Profile:
    """Measure what teaching and recognising cost on this machine.

    Args:
        subject: which backbone and head; the default backbone with made-up classes when None.
        repeats: runs of every stage that count, at least 100.
        warm_ups: runs before those.
        camera_fps: frames in a second that a camera gives.
        camera_seconds: for so long; at least 30 frames.
        cold_starts: processes that start from nothing, at least 3.
        root: where /proc and /sys are found.
        progress: called with the name of each step before it is taken.

    Returns:
        The profile. What the machine does not tell is `{"not_available": why}` in it.

    Raises:
        ProfileError: too short a run to trust; the message names the length that would do.
        EdgeImprintError: what is wrong with backbone, state, budget or pictures.

    Example:
        >>> found = profile(camera_seconds=1, cold_starts=3, repeats=100)  # doctest: +SKIP
        >>> found.stages["frame to answer"].percentile(50) / 1000  # doctest: +SKIP
        1.9
    """
    asked = Subject() if subject is None else subject
    frames = round(camera_fps * camera_seconds)
    _check(repeats, warm_ups, camera_fps, frames, cold_starts)
    before = thermal.read(root)
    here = _in_this_process(asked, repeats, warm_ups, camera_fps, frames, root, progress)
    progress("memory")
    memory = processes.memory(asked, min(repeats, 100))

    cold = processes.cold_start(asked, cold_starts, lambda: progress("cold start"))
    return Profile(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine.describe(root),
        runtimes={**runtimes.versions(), "kernels": runtimes.kernels()},
        **here,
        settings=_settings(asked, repeats, warm_ups, cold_starts),
        memory=memory,
        cold_start=cold,
        thermal={"before": before, "after": thermal.read(root)},
    )


def _in_this_process(
    asked: Subject,
    repeats: int,
    warm_ups: int,
    fps: float,
    frames: int,
    root: Path,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """What needs a learner here: stages, camera, power, and facts on backbone and head."""
    learner, seen = asked.learner(), asked.frames(8)
    overhead = stages.overhead_us()
    measured = stages.measure(learner, asked.encoded(), seen, repeats=repeats, warm_ups=warm_ups, progress=progress)
    progress("camera")
    with Meter(root) as meter:
        shown = camera.run(lambda number: learner.predict(seen[number % len(seen)]), fps, frames)
    bundle, head = facts(learner, asked.state is None)
    return {
        "bundle": bundle,
        "head": head,
        "stages": measured,
        "camera": shown,
        "power": meter.found,
        "overhead_us": overhead,
    }


def _settings(asked: Subject, repeats: int, warm_ups: int, cold_starts: int) -> dict[str, Any]:
    pictures = len(asked.pictures)
    return {
        "repeats": repeats,
        "warm_ups": warm_ups,
        "cold_starts": cold_starts,
        "threads": asked.threads,
        "pictures": pictures if pictures else "made up, 640 x 480",
        "garbage_collector": "off while timing",
    }


def _check(repeats: int, warm_ups: int, fps: float, frames: int, cold_starts: int) -> None:
    if repeats < LEAST_REPEATS:
        raise ProfileError(
            f"a 99th percentile needs at least {LEAST_REPEATS} runs; got {repeats}. Give --repeats {LEAST_REPEATS}"
        )
    if warm_ups < 1:
        raise ProfileError(
            f"the first run pays for everything once: at least 1 must not count; got {warm_ups} warm-ups"
        )
    if not 0 < fps <= 1000:
        raise ProfileError(f"a camera gives above 0 and at most 1,000 frames in a second; got {fps}")
    if frames < camera.LEAST_FRAMES:
        seconds = camera.LEAST_FRAMES / fps
        raise ProfileError(
            f"dropped frames are counted over at least {camera.LEAST_FRAMES} frames; {fps:g} in a second make "
            f"{frames}. Give --camera-seconds {seconds:.3g}"
        )
    if cold_starts < LEAST_COLD_STARTS:
        raise ProfileError(
            f"a median of cold starts needs at least {LEAST_COLD_STARTS}; got {cold_starts}. "
            f"Give --cold-starts {LEAST_COLD_STARTS}"
        )
