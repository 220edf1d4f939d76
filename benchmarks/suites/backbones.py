"""The embedded default backbone next to MobileNetV1 0.25/128: accuracy on new classes, bytes, time.

Balanced accuracy of the nearest mean (`qi`) and of the streamed head on classes that no backbone was
trained on.
"""

from __future__ import annotations

import io
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.context import Context, draw
from benchmarks.data import BACKBONES, DEFAULT, Pictures, backbone_of, title_of
from benchmarks.errors import DataMissingError
from benchmarks.harness import interleave
from benchmarks.markdown import table
from benchmarks.methods import preset, streamed_head
from benchmarks.metrics import balanced_accuracy
from benchmarks.results import Param, Result

COMPARED = (*DEFAULT, "mobilenet_v1_0.25_128")
BUDGET = "64KB"
SHOTS, QUICK_SHOTS = (5, 20), (5,)
METHODS = {"mean": "nearest mean", "head": "head"}
REPEATS, QUICK_REPEATS = 51, 5
WARMUPS = 3
# Issue 2: what the default backbone must reach with the nearest mean.
FLOORS = {("clothing_small", 5): 36.0, ("clothing_small", 20): 46.0,
          ("cifar10_subset", 5): 46.0, ("cifar10_subset", 20): 52.0}  # fmt: skip


def run(context: Context, result: Result) -> None:
    """Accuracy of every backbone, then their time in turns on one photograph."""
    result.settings = {"budget": BUDGET, "threads": 1, "warmups": WARMUPS}
    for backbone in COMPARED:
        for embeddings in context.sets(backbone, result):
            for shots in QUICK_SHOTS if context.quick else SHOTS:
                where: dict[str, Param] = {"backbone": backbone, "data": embeddings.data, "shots": shots}
                scores: dict[str, list[float]] = {method: [] for method in METHODS}
                text = f"{BACKBONES[backbone].title}, {title_of(embeddings.data)}, {shots} shots"
                for seed in context.track(range(context.seeds), text):
                    seen = draw(embeddings, shots, seed)
                    answers = {"mean": preset("qi", seen, seed), "head": streamed_head(seen, BUDGET).predict}
                    for method, answer in answers.items():
                        scores[method].append(balanced_accuracy(embeddings.test_labels, answer(embeddings.test)))
                for method, values in scores.items():
                    result.add("balanced_accuracy", "%", values, {"method": method, **where})
                if backbone in DEFAULT and (embeddings.data, shots) in FLOORS:
                    _promise(result, embeddings.data, shots, backbone)
    _cost(result, QUICK_REPEATS if context.quick else REPEATS)


def _promise(result: Result, data: str, shots: int, backbone: str) -> None:
    value = result.one("balanced_accuracy", method="mean", backbone=backbone, data=data, shots=shots).value
    floor = FLOORS[data, shots]
    rule = f"nearest mean on {title_of(data)} at {shots} shots at least {floor:g} %"
    result.promise(f"backbones: {BACKBONES[backbone].title}", rule, value, "%", value >= floor)


def _cost(result: Result, repeats: int) -> None:
    """Bytes on disk, and milliseconds from a decoded photograph to its embedding."""
    found = {}
    for name in COMPARED:
        try:
            found[name] = backbone_of(name)
        except DataMissingError as error:
            result.skip(f"{name}: {error}")
    for name, network in found.items():
        result.add("size", "bytes", [network.file.size_bytes], {"backbone": name}, "max")
    try:
        photograph = Pictures("clothing_small", "test").read([0])[0]
    except DataMissingError as error:
        result.skip(str(error))
        return
    with Image.open(io.BytesIO(photograph)) as image:
        pixels = np.asarray(image.convert("RGB"))
    result.settings["picture"] = f"{pixels.shape[1]} x {pixels.shape[0]}, decoded; resizing counts"
    samples = interleave(
        {name: partial(network.embed, [pixels]) for name, network in found.items()},
        repeats=repeats,
        warmups=WARMUPS,
        sample_ns=20_000_000,
    )
    for name, values in samples.items():
        result.add("embed", "ns", values, {"backbone": name}, "median")


def tables(result: Result) -> dict[str, str]:
    """One table: a row per backbone."""
    cells = list(dict.fromkeys((str(f.params["data"]), int(f.params["shots"]))
                               for f in result.select("balanced_accuracy", method="mean")))  # fmt: skip
    rows = []
    for name in COMPARED:
        if not list(result.select("size", backbone=name)):
            continue
        row = [BACKBONES[name].title, f"{result.one('size', backbone=name).value / 1000:,.0f}"]
        row += [f"{found.value / 1e6:.2f}" for found in result.select("embed", backbone=name)]
        for data, shots in cells:
            pair = [
                result.one("balanced_accuracy", backbone=name, data=data, shots=shots, method=method).value
                for method in METHODS
            ]
            row.append(" / ".join(f"{value:.1f}" for value in pair))
        rows.append(row)
    head = [
        "backbone",
        "kB on disk",
        "ms per picture",
        *(f"{title_of(data)}, {shots} shots" for data, shots in cells),
    ]
    note = (
        f"Balanced accuracy in %, {' / '.join(METHODS.values())}, mean of {result.seeds} seeds; "
        "time on one thread from decoded picture to embedding."
    )
    return {"backbones": f"{table(head, rows)}\n\n{note}"}
