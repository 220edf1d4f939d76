"""Camera frame to answer, next to the bare runtime: how much edge-imprint adds to what has to be done anyway.

"Decoding" is what makes a Pillow picture of a frame: `Image.fromarray` of an array, opening and decoding of a JPEG.
Resizing and normalising come after it. Both bases are measured in turns with the answer: decoding, resizing,
normalising and the runtime by hand; and decoding and the runtime alone, on a tensor that is ready.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.context import Context
from benchmarks.end_to_end import networks
from benchmarks.end_to_end.ladder import CLASSES, HEIGHT, SHOTS, WIDTH, Footage, footage, rungs
from benchmarks.end_to_end.networks import Network
from benchmarks.errors import DataMissingError
from benchmarks.harness import interleave, ratio
from benchmarks.markdown import table
from benchmarks.results import Param, Result

REPEATS, QUICK_REPEATS = 15, 5
WARMUPS, QUICK_WARMUPS = 2, 1
SAMPLE_NS, QUICK_SAMPLE_NS = 4_000_000, 300_000
THREADS = (1, 2)
MOST_ABOVE, MOST_RESIZE = 1.03, 1.5
REST_S = 0.05
FORMS = {"array": "", "JPEG": ", jpeg"}


def run(context: Context, result: Result) -> None:
    """Time every file on one thread and on two."""
    result.settings = {
        "frame": f"{WIDTH} x {HEIGHT}, uint8 array and JPEG of quality 90 in memory",
        "taught": f"{CLASSES} classes of {SHOTS} shots",
        "repeats": QUICK_REPEATS if context.quick else REPEATS,
        "warmups": QUICK_WARMUPS if context.quick else WARMUPS,
        "least_sample_ns": QUICK_SAMPLE_NS if context.quick else SAMPLE_NS,
        "garbage_collector": "off while timing",
        "rest_before_a_sample_s": f"{REST_S:g} with two threads: those of another session wait for work by spinning",
    }
    try:
        seen = footage()
    except DataMissingError as error:
        result.skip(str(error))
        return
    with tempfile.TemporaryDirectory() as work:
        measured = networks.default() + networks.public()
        if context.quick:
            measured = [networks.default()[0], *networks.public()[:1]]
        else:
            for name in context.track(list(networks.EXPORTED), "exports"):
                measured += networks.export(name, Path(work))
        for network in context.track(measured, "frame to answer"):
            for threads in THREADS[:1] if context.quick else THREADS:
                _measure(network, threads, seen, result)
    _promises(result)


def _measure(network: Network, threads: int, seen: Footage, result: Result) -> None:
    settings = result.settings
    contestants = rungs(network, threads, seen)
    samples = interleave(
        contestants,
        repeats=settings["repeats"],
        warmups=settings["warmups"],
        sample_ns=settings["least_sample_ns"],
        before=dict.fromkeys(contestants, _rest) if threads > 1 else None,
    )
    where: dict[str, Param] = {"network": network.title, "file": network.kind, "threads": threads}
    if "head" not in samples:
        result.skip(f"{network.title}: its embeddings are all zeros; measured up to the embedding, without a head")
    for name, values in samples.items():
        result.add("time", "ns", values, {**where, "rung": name}, "median")
    for form, ending in FORMS.items():
        for base in ("same by hand", "decode and run"):
            found = ratio(samples, f"answer{ending}", f"{base}{ending}")
            result.add("answer_ratio", "x", [found], {**where, "frame": form, "base": base}, "median")
    result.add("resize_ratio", "x", [ratio(samples, "preprocess", "resize")], where, "median")


def _rest() -> None:
    """Wait until the threads of the session before have given up waiting for work, which they do by spinning."""
    time.sleep(REST_S)


def _promises(result: Result) -> None:
    for base, rule in (
        ("same by hand", "at most 3 % above decoding, resizing, normalising and the runtime by hand"),
        ("decode and run", "at most 3 % above decoding and the runtime alone, resizing not counted"),
    ):
        for form in FORMS:
            for found in result.select("answer_ratio", base=base, frame=form):
                name = f"end to end: {_named(found.params)}, {form}"
                result.promise(name, rule, found.value, "x", found.value <= MOST_ABOVE)
    for found in result.select("resize_ratio"):
        rule = f"preprocessing at most {MOST_RESIZE} x Pillow's own resize"
        result.promise(f"end to end: {_named(found.params)}", rule, found.value, "x", found.value <= MOST_RESIZE)


def _named(params: dict[str, Param]) -> str:
    plural = "" if params["threads"] == 1 else "s"
    return f"{params['network']}, {params['file']}, {params['threads']} thread{plural}"


def tables(result: Result) -> dict[str, str]:
    """Two tables: ratios of every file, and the rungs in milliseconds."""
    ratios, ladder = [], []
    for found in result.select("resize_ratio"):
        where = found.params
        ratios.append(
            [str(where["network"]), str(where["file"]), str(where["threads"])]
            + [
                f"{result.one('answer_ratio', **where, frame=form, base=base).value:.3f}"
                for form in FORMS
                for base in ("same by hand", "decode and run")
            ]
            + [f"{found.value:.2f}"]
        )
        ladder.append(
            [str(where["network"]), str(where["file"]), str(where["threads"])]
            + [
                next((f"{took.value / 1e6:.3f}" for took in result.select("time", **where, rung=rung)), "none")
                for rung in ("decode", "decode, jpeg", "resize", "preprocess", "run", "backbone", "head", "answer")
            ]
        )
    head = ["network", "file", "threads"]
    bases = [f"{form} / {base}" for form in FORMS for base in ("by hand", "decode + run")]
    note = (
        "Medians, in turns in one process. By hand: Pillow decodes and resizes, numpy normalises, the runtime runs; "
        "decode + run: the runtime alone on a ready tensor after decoding. Preprocess: against Pillow's resize alone."
    )
    rungs_of = ["decode array", "decode JPEG", "Pillow resize", "preprocess", "bare run", "backbone", "head", "answer"]
    return {
        "end_to_end": f"{table([*head, *bases, 'preprocess'], ratios)}\n\n{note}",
        "end_to_end.ladder": f"{table([*head, *rungs_of], ladder)}\n\nMilliseconds, medians; answer: of an array.",
    }
