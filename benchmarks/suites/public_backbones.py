"""The public backbones that `edge-imprint export public:NAME` fetches: accuracy on new classes, bytes, time.

Balanced accuracy of the nearest mean (`qi`) and of the streamed head after 5 shots per class, as in the suite
`backbones`; bytes of the file as it is published and of the file cut at its embedding. The figures of the list,
`registry.json`, come from here: `python -m benchmarks.public_registry` writes them there.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.context import Context, draw
from benchmarks.data import Pictures, backbone_of, data_folder, title_of
from benchmarks.errors import DataMissingError
from benchmarks.harness import interleave
from benchmarks.markdown import table
from benchmarks.methods import preset, streamed_head
from benchmarks.metrics import balanced_accuracy
from benchmarks.results import Param, Result
from edge_imprint.backbones.tflite import TfliteRunner
from edge_imprint.errors import MissingRuntimeError
from edge_imprint_export.public.registry import PublicBackbone, registry
from edge_imprint_export.tflite_format.rewrite import cut

SHOTS = 5
WITHOUT_CLASSIFIER = ("mobilenet_v1_1.0_224",)
BUDGET = "256KB"
METHODS = {"mean": "nearest mean", "head": "head"}
REPEATS, QUICK_REPEATS = 51, 5
WARMUPS = 3
# Its classes are those that the network was trained on: a figure there says nothing about new classes.
TRAINED_ON = {"mlperf_resnet8_32": "cifar10_subset"}


def run(context: Context, result: Result) -> None:
    """Accuracy of those that take pictures, then bytes and time of all."""
    result.settings = {"budget": BUDGET, "shots": SHOTS, "threads": 1, "warmups": WARMUPS}
    for entry in registry():
        if entry.takes_pictures:
            _accuracy(context, result, entry)
    _cost(result, QUICK_REPEATS if context.quick else REPEATS)


def _accuracy(context: Context, result: Result, entry: PublicBackbone) -> None:
    for embeddings in context.sets(entry.name, result):
        if TRAINED_ON.get(entry.name) == embeddings.data:
            continue
        scores: dict[str, list[float]] = {method: [] for method in METHODS}
        for seed in context.track(range(context.seeds), f"{entry.title}, {title_of(embeddings.data)}"):
            seen = draw(embeddings, SHOTS, seed)
            answers = {"mean": preset("qi", seen, seed), "head": streamed_head(seen, BUDGET).predict}
            for method, answer in answers.items():
                scores[method].append(balanced_accuracy(embeddings.test_labels, answer(embeddings.test)))
        for method, values in scores.items():
            where: dict[str, Param] = {"method": method, "backbone": entry.name, "data": embeddings.data}
            result.add("balanced_accuracy", "%", values, where)


def _cost(result: Result, repeats: int) -> None:
    """Bytes before and after the cut, and milliseconds from a decoded photograph to its embedding."""
    contestants: dict[str, Callable[[], object]] = {}
    for entry in registry():
        path = data_folder() / "backbones" / entry.file_name
        if not path.is_file():
            result.skip(
                f"{entry.name}: {path.name} is missing; set EDGE_IMPRINT_DATA to the folder that holds backbones/"
            )
            continue
        content = path.read_bytes()
        try:
            shortened = cut(content, entry.embedding, entry.file_name).content
        except MissingRuntimeError as error:
            result.skip(f"{entry.name}: {error}")
            continue
        result.add("size", "bytes", [len(content)], {"backbone": entry.name}, "max")
        result.add("cut_size", "bytes", [len(shortened)], {"backbone": entry.name}, "max")
        share = 100 * len(shortened) / len(content)
        if entry.name not in WITHOUT_CLASSIFIER:
            rule = "a file with a classifier, cut at its embedding: at most 90 % of its bytes"
            result.promise(f"public_backbones: {entry.name}", rule, share, "%", share <= 90)
        try:
            contestants[entry.name] = _contestant(entry, shortened, path)
        except DataMissingError as error:
            result.skip(f"{entry.name}: {error}")
    if not contestants:
        return
    result.settings["input"] = "a decoded photograph of 224 x 398, resizing counts; the tensor where none is taken"
    samples = interleave(contestants, repeats=repeats, warmups=WARMUPS, sample_ns=20_000_000)
    for name, values in samples.items():
        result.add("embed", "ns", values, {"backbone": name}, "median")


def _contestant(entry: PublicBackbone, shortened: bytes, path: Path) -> Callable[[], object]:
    if not entry.takes_pictures:
        runner = TfliteRunner(shortened, path.name, 1)
        return partial(runner, np.zeros((1, *entry.shape), np.int8))
    with Image.open(io.BytesIO(Pictures("clothing_small", "test").read([0])[0])) as image:
        pixels = np.asarray(image.convert("RGB"))
    return partial(backbone_of(entry.name).embed, [pixels])


def tables(result: Result) -> dict[str, str]:
    """One table: a row per backbone."""
    cells = list(dict.fromkeys(str(found.params["data"]) for found in result.select("balanced_accuracy")))
    rows = []
    for entry in registry():
        row = [f"`public:{entry.name}`", entry.licence, str(entry.dim), " x ".join(map(str, entry.shape[:2]))]
        for size in ("size", "cut_size"):
            row.append("".join(f"{found.value / 1000:,.0f}" for found in result.select(size, backbone=entry.name)))
        row.append("".join(f"{found.value / 1e6:.2f}" for found in result.select("embed", backbone=entry.name)))
        for data in cells:
            pair = [found.value for found in result.select("balanced_accuracy", backbone=entry.name, data=data)]
            row.append(" / ".join(f"{value:.1f}" for value in pair) or "-")
        rows.append(row)
    head = ["backbone", "licence", "dim", "input", "kB", "kB, cut", "ms", *(f"{title_of(data)}" for data in cells)]
    note = (
        f"Balanced accuracy in % after {SHOTS} shots per class, {' / '.join(METHODS.values())}, mean of "
        f"{result.seeds} seeds, on classes that the network was not trained on; time on one thread from decoded "
        "picture to embedding."
    )
    return {"public_backbones": f"{table(head, rows)}\n\n{note}"}
