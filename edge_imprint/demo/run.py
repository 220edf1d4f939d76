"""Run all parts of the demo, write the page and the numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_imprint import __version__
from edge_imprint.demo import data
from edge_imprint.errors import StorageError

STEPS = 20
"""How often `run_demo` calls `advance`: ten chunks of scans, five draws, five parts."""


def run_demo(
    out: str | Path, *, backbone: str = "default", advance: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Teach, recognise, refuse, forget and reload on real pictures; write report.html and report.json.

    Args:
        out: a folder; created when missing. Files of an earlier demo in it are replaced.
        backbone: "default", a bundle folder, an .onnx or a .tflite file.
        advance: called `STEPS` times, for a progress bar.

    Returns:
        What report.json holds, with "html", "json" (the two paths) and "story" (lines for a terminal) added.

    Raises:
        MissingRuntimeError: a package of the `demo` extra is not installed.
        StorageError: the folder cannot be made or written.
    """
    data.require_packages()
    from edge_imprint.demo import report as page
    from edge_imprint.demo import story, timing
    from edge_imprint.learner import Learner

    start = time.perf_counter()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"the report folder cannot be made: {folder} ({error.strerror}); choose another --out"
        ) from error
    learner = Learner(backbone=backbone, budget=story.BUDGET, method="auto")
    scans = story.embed_digits(learner, advance)
    digits = story.digits_part(scans, advance)
    advance()
    objects = story.objects_part(learner)
    advance()
    memory = story.memory_part(scans)
    advance()
    milliseconds = timing.stages(learner)
    advance()
    numbers: dict[str, Any] = {
        "version": __version__,
        "machine": timing.machine(),
        "backbone": {
            "name": learner.backbone.name,
            "dim": learner.backbone.dim,
            "digest": learner.backbone.digest,
        },
        "seconds": round(time.perf_counter() - start, 2),
        "objects": objects.numbers,
        "digits": digits.numbers,
        "memory": memory,
        "milliseconds": milliseconds,
    }
    html, numbers_file = folder / "report.html", folder / "report.json"
    try:
        html.write_text(page.render(numbers, objects, digits), encoding="utf-8")
        numbers_file.write_text(json.dumps(numbers, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"the report cannot be written: {folder} ({error.strerror}); choose another --out"
        ) from error
    advance()
    return {**numbers, "html": str(html), "json": str(numbers_file), "story": _tell(numbers)}


def _tell(numbers: dict[str, Any]) -> list[str]:
    objects, digits, memory = numbers["objects"], numbers["digits"], numbers["memory"]
    strangers = objects["verdicts_never_shown"]
    head = {point["shots"]: point["mean"] for point in digits["curve"] if point["method"] == "auto"}
    return [
        f"Photographs: taught {len(objects['taught'])} things from {objects['shots']} views each; "
        f"{objects['accuracy']:.0f} % of new views named right.",
        f"Never shown: {strangers['unknown']:.0f} % of views of {len(objects['never_shown'])} strangers "
        f"were called unknown, {strangers['known']:.0f} % slipped through.",
        f"Handwritten digits: {head[1]:.0f} % right after 1 scan each, {head[5]:.0f} % after 5, "
        f"{head[20]:.0f} % after 20.",
        f"Memory: {memory['shots']} single shots in a budget of {memory['budget']} bytes, at most "
        f"{memory['most_used']} in use; forgetting one digit gave {memory['bytes_freed']} bytes back.",
        f"Save and reload: {memory['snapshot_bytes']} bytes on disk, "
        + ("every answer the same." if memory["same_after_reload"] else "answers differ (a defect)."),
    ]
