"""A camera's frame to an answer, next to a bare script: Pillow's resize, numpy, the runtime's session, and no head.

All contestants of a network take turns in one process, each with a session of its own. Ratios are medians over turns of
two neighbours' times, so that a slow second hits both.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.context import Context
from benchmarks.end_to_end.bare import Bare, Frame
from benchmarks.end_to_end.cases import Case, default_cases, exported_cases, shared_cases
from benchmarks.harness import interleave
from benchmarks.markdown import table
from benchmarks.results import Param, Result
from edge_imprint import Learner
from edge_imprint.backbones import Backbone

HEIGHT, WIDTH = 480, 640
CLASSES, SHOTS = 5, 5
THREADS = (1, 2)
REPEATS, QUICK_REPEATS = 41, 5
WARMUPS = 3
SAMPLE_NS, QUICK_SAMPLE_NS = 8_000_000, 300_000
MOST_ABOVE, MOST_RESIZE = 1.03, 1.5
SCRIPT, LEARNER = "bare script", "Learner.predict"
SCRIPT_JPEG, LEARNER_JPEG = "bare script, JPEG", "Learner.predict, JPEG"
RESIZE, PREPARE, SESSION, HEAD = "Pillow resize", "Backbone.prepare", "session alone", "ImprintHead.answer"
RATIOS = {"frame": (LEARNER, SCRIPT), "jpeg": (LEARNER_JPEG, SCRIPT_JPEG), "prepare": (PREPARE, RESIZE)}


def run(context: Context, result: Result) -> None:
    """Measure every network with one and two threads."""
    repeats = QUICK_REPEATS if context.quick else REPEATS
    result.settings = {
        "frame": f"{WIDTH} x {HEIGHT} pixels of noise, blurred; as an array and as a JPEG of quality 90",
        "head": f"{CLASSES} classes of {SHOTS} shots, the learner's own budget",
        "warmups": WARMUPS,
        "repeats": repeats,
        "least_sample_ns": QUICK_SAMPLE_NS if context.quick else SAMPLE_NS,
        "garbage_collector": "off while timing",
    }
    with tempfile.TemporaryDirectory() as folder:
        cases = default_cases()
        if not context.quick:
            cases += [*shared_cases(), *exported_cases(Path(folder))]
        for case in context.track(cases, "frame to answer"):
            for threads in THREADS[:1] if context.quick else THREADS:
                _measure(result, case, threads, repeats)
    _promises(result)


def frame() -> Frame:
    """A picture with detail at every size, the same every time."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), np.uint8))
    smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
    return np.clip(smooth + rng.integers(-8, 9, smooth.shape), 0, 255).astype(np.uint8)


def taught(backbone: Backbone, seen: Frame) -> Learner:
    """A learner that knows a few classes: the frame in other colours, each shot shifted a little."""
    learner = Learner(backbone)
    for number in range(CLASSES):
        shots = [np.roll(seen, 16 * shot, axis=1) // (number + 1) for shot in range(SHOTS)]
        learner.learn(shots, f"class {number}")
    return learner


def contestants(case: Case, threads: int) -> dict[str, Callable[[], object]]:
    """What is timed; script and learner give the same embedding."""
    backbone, seen = case.backbone(threads), frame()
    spec = backbone.manifest.input
    assert spec is not None
    script, learner = Bare(case.file(backbone), spec, backbone.file, threads), taught(backbone, seen)
    stream = io.BytesIO()
    Image.fromarray(seen).save(stream, "JPEG", quality=90)
    jpeg, image = stream.getvalue(), Image.fromarray(seen)
    embedding = backbone.embed([seen])
    return {
        SCRIPT: lambda: script.frame(seen),
        LEARNER: lambda: learner.predict(seen),
        SCRIPT_JPEG: lambda: script.jpeg(jpeg),
        LEARNER_JPEG: lambda: learner.predict(jpeg),
        RESIZE: lambda: script.resize(image),
        PREPARE: lambda: backbone.prepare([seen]),
        SESSION: (lambda tensor: lambda: script.run(tensor))(script.tensor(image)),
        HEAD: lambda: learner.head.answer(embedding, live=True),
    }


def _measure(result: Result, case: Case, threads: int, repeats: int) -> None:
    where: dict[str, Param] = {"network": case.name, "title": case.title, "threads": threads}
    samples = interleave(
        contestants(case, threads),
        repeats=repeats,
        warmups=WARMUPS,
        sample_ns=result.settings["least_sample_ns"],
    )
    for name, values in samples.items():
        result.add("time", "ns", values, {"contestant": name, **where}, "median")
    for name, (ours, theirs) in RATIOS.items():
        paired = [a / b for a, b in zip(samples[ours], samples[theirs], strict=True)]
        result.add("ratio", "", paired, {"of": name, **where}, "median")


def _promises(result: Result) -> None:
    limits = {
        "frame": (MOST_ABOVE, "frame to answer at most 3 % above a bare script"),
        "jpeg": (MOST_ABOVE, "JPEG to answer at most 3 % above a bare script"),
        "prepare": (MOST_RESIZE, "preprocessing a frame at most 1.5 times Pillow's resize of an image"),
    }
    for found in result.select("ratio"):
        limit, rule = limits[str(found.params["of"])]
        name = f"end to end: {found.params['title']}, {found.params['threads']} threads"
        result.promise(name, rule, found.value, "x", found.value <= limit)


def tables(result: Result) -> dict[str, str]:
    """Milliseconds of the parts and the three ratios, a row for each network and number of threads."""
    head = ["network", "threads", "frame to answer, ms", "bare script", "session alone", "preprocessing", "head, us"]
    head += ["to script: frame", "JPEG", "preprocessing to resize"]
    rows = []
    for found in result.select("ratio", of="frame"):
        where = {key: found.params[key] for key in ("network", "threads")}
        taken = [result.one("time", contestant=name, **where).value for name in (LEARNER, SCRIPT, SESSION, PREPARE)]
        ratios = [result.one("ratio", of=name, **where).value for name in RATIOS]
        rows.append([
            str(found.params["title"]), str(found.params["threads"]), *_ms(taken),
            f"{result.one('time', contestant=HEAD, **where).value / 1000:.0f}", *(f"{ratio:.2f}" for ratio in ratios),
        ])  # fmt: skip
    return {"end_to_end": table(head, rows)}


def _ms(values: Sequence[float]) -> list[str]:
    return [f"{value / 1e6:.2f}" for value in values]
