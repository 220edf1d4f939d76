"""What an export does to trained networks: parity, size and speed of every format, what it takes, and what a cut saves.

Networks are the default backbone, public int8 files turned back into float, and a small transformer trained for a
quarter of an hour. Pictures that judge were not used for calibration.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.context import Context
from benchmarks.data import ROOT, Pictures, data_folder, title_of
from benchmarks.errors import BenchmarkError, DataMissingError
from benchmarks.export_child import GATES, NETWORKS
from benchmarks.markdown import table
from benchmarks.results import Param, Result

CALIBRATION = "imagenet_samples_1000.zip"
FORMATS = ("onnx", "onnx-int8", "tflite", "tflite-int8")
TRANSFORMERS = ("vit",)
REPEATED = ("default",)
"""Exported twice: are the files the same?"""
LARGEST_DIFFERENCE = 1e-4
LEAST_COSINE, LEAST_COSINE_TRANSFORMER, MEAN_COSINE = 0.995, 0.98, 0.999
SPEED_UP, FAST = 1.6, ("mobilenet_v2_96", "mobilenet_v2_224")
PEAK_BYTES = 1_500_000_000
ACCURACY_POINTS = 0.5
SHOTS, EPISODES, PER_CLASS = (5,), 200, 80
LEAST_SAVED = 0.1
NO_CLASSIFIER = ("mobilenet_v1_1.0_224_quant_embedding_extractor",)


def run(context: Context, result: Result) -> None:
    """Export every network, then the accuracy of the default backbone's files, then the cuts."""
    result.settings = {
        "calibration": f"{CALIBRATION}: 400 pictures, half of them judge",
        "threads": 1,
        "few_shot": f"nearest mean, {EPISODES} episodes, {PER_CLASS} pictures per class",
    }
    archive = data_folder() / CALIBRATION
    if not archive.is_file():
        result.skip(f"{CALIBRATION} is missing; set EDGE_IMPRINT_DATA to the folder that holds it")
        return
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder / "pictures")
        names = list(NETWORKS)[:1] if context.quick else list(NETWORKS)
        for name in context.track(names, "exports"):
            _export(result, name, folder)
        _accuracy(context, result, folder / "default")
    _cuts(result)


def _export(result: Result, name: str, folder: Path) -> None:
    taken = _child(name, folder / name, folder / "pictures")
    where: dict[str, Param] = {"network": name}
    peak = result.add("peak", "bytes", [taken["peak_bytes"]], where, "max").value
    result.add("seconds", "s", [taken["seconds"]], where)
    gate = result.add("min_cosine", "", [taken["min_cosine"]], where, "max").value
    rule = f"the default settings pass their own gate, {GATES[0]}"
    result.promise(f"export: {name}", rule, gate, "", gate == GATES[0])
    result.promise(f"export: {name}", "the export's memory peaks under 1.5 GB", peak, "bytes", peak < PEAK_BYTES)
    report = json.loads((folder / name / "report.json").read_text())
    files = {file["format"]: file for file in report["files"]}
    for format, file in files.items():
        here = {**where, "format": format}
        result.add("size", "bytes", [file["size_bytes"]], here, "max")
        result.add("latency", "ms", [file["measured"]["median_ms"]], here, "median")
        result.add("cosine", "", file["parity"]["cosines"], here)
        result.add("largest_difference", "", [file["parity"]["largest_difference"]], here, "max")
        if file["int8"] is not None:
            result.add("kept_float", "layers", [len(file["int8"]["keep_float"])], here, "max")
            result.add("float_share", "", [file["int8"]["float_share"]], here, "max")
        _promise_parity(result, name, format, file)
    if name in FAST:
        for kind in ("onnx", "tflite"):
            ratio = files[kind]["measured"]["median_ms"] / files[f"{kind}-int8"]["measured"]["median_ms"]
            rule = f"int8 at least {SPEED_UP} times as fast as float32, {kind}"
            result.promise(f"export: {name}", rule, ratio, "x", ratio >= SPEED_UP)
    if name in REPEATED:
        again = folder / f"{name} again"
        _child(name, again, folder / "pictures")
        same = all(
            (again / path.name).read_bytes() == path.read_bytes()
            for path in (folder / name).iterdir()
            if not path.name.startswith("report.")
        )
        result.promise(f"export: {name}", "a second export gives the same bytes", float(same), "", same)


def _promise_parity(result: Result, name: str, format: str, file: dict[str, Any]) -> None:
    parity, title = file["parity"], f"export: {name}, {format}"
    if not format.endswith("int8"):
        worst = parity["largest_difference"]
        result.promise(title, "differs by at most 1e-4 of the output's scale", worst, "", worst <= LARGEST_DIFFERENCE)
        return
    least = LEAST_COSINE_TRANSFORMER if name in TRANSFORMERS else LEAST_COSINE
    lowest, mean = parity["cosine_min"], parity["cosine_mean"]
    result.promise(title, f"cosine of the worst picture at least {least}", lowest, "", lowest >= least)
    if name not in TRANSFORMERS:
        result.promise(title, f"mean cosine at least {MEAN_COSINE}", mean, "", mean >= MEAN_COSINE)


def _child(name: str, out: Path, pictures: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.export_child", name, str(out), str(pictures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"exporting {name} failed: {done.stderr.strip()[-500:]}")
    return dict(json.loads(done.stdout))


def _accuracy(context: Context, result: Result, bundle: Path) -> None:
    """5-shot accuracy of the default backbone's files, the same episodes for all."""
    from edge_imprint.backbones import load_backbone
    from edge_imprint.episodes import evaluate

    for data in context.data:
        try:
            pictures = Pictures(data, "test")
        except DataMissingError as error:
            result.skip(str(error))
            continue
        places = [
            int(i) for label in np.unique(pictures.labels) for i in np.flatnonzero(pictures.labels == label)[:PER_CLASS]
        ]
        labels, blobs = [str(pictures.labels[i]) for i in places], pictures.read(places)
        reached = {}
        for format in context.track(FORMATS, f"accuracy, {title_of(data)}"):
            kind, _, precision = format.partition("-")
            backbone = load_backbone(bundle, runtime=kind, precision=precision or "float32", threads=1)
            rows = np.concatenate([backbone.embed([blob]) for blob in blobs])
            (outcome,) = evaluate(rows, labels, shots=SHOTS, methods=("qi",), episodes=EPISODES, queries=5)
            reached[format] = 100 * outcome.accuracy.mean
            values = [100 * value for value in outcome.per_episode]
            result.add("balanced_accuracy", "%", values, {"network": "default", "format": format, "data": data})
        for kind in ("onnx", "tflite"):
            drop = reached[kind] - reached[f"{kind}-int8"]
            rule = f"int8 costs at most {ACCURACY_POINTS} points at 5 shots, {title_of(data)}"
            result.promise(f"export: default, {kind}", rule, drop, "points", drop <= ACCURACY_POINTS)


def _cuts(result: Result) -> None:
    """Sizes of the public files before and after the cut, and whether the embedding is the same to the last bit."""
    from edge_imprint_export.tflite_format.rewrite import cut

    for path in sorted((data_folder() / "backbones").glob("*.tflite")):
        content = path.read_bytes()
        made = cut(content, None, path.name)
        where: dict[str, Param] = {"file": path.name}
        result.add("size_before", "bytes", [len(content)], where, "max")
        result.add("size_after", "bytes", [len(made.content)], where, "max")
        result.promise(f"export: {path.name}", "the cut changes no bit", *_same(content, made.content, made.embedding))
        if path.stem not in NO_CLASSIFIER:
            saved = 1 - len(made.content) / len(content)
            result.promise(
                f"export: {path.name}", "the cut saves at least 10 %", 100 * saved, "%", saved >= LEAST_SAVED
            )


def _same(before: bytes, after: bytes, name: str) -> tuple[float, str, bool]:
    """Values that differ on ten random inputs: the inner tensor of the whole network against the cut one's output."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this is for debugging: it is
        whole = Interpreter(model_content=before, experimental_preserve_all_tensors=True, num_threads=1)
    part = Interpreter(model_content=after, num_threads=1)
    for one in (whole, part):
        one.allocate_tensors()
    (entry,) = whole.get_input_details()
    (size,) = {int(np.prod(one["shape"])) for one in part.get_output_details()}
    inner = next(
        one
        for one in whole.get_tensor_details()
        if one["name"].split(";")[0] == name.split(";")[0] and int(np.prod(one["shape"])) == size
    )
    rng = np.random.default_rng(0)
    different = 0
    for _ in range(10):
        if np.dtype(entry["dtype"]).kind == "f":
            fed = rng.normal(size=entry["shape"]).astype(entry["dtype"])
        else:
            limits = np.iinfo(entry["dtype"])
            fed = rng.integers(limits.min, limits.max + 1, entry["shape"]).astype(entry["dtype"])
        for one in (whole, part):
            one.set_tensor(one.get_input_details()[0]["index"], fed)
            one.invoke()
        got = part.get_tensor(part.get_output_details()[0]["index"])
        different += int((whole.get_tensor(inner["index"]).ravel() != got.ravel()).sum())
    return float(different), "values", different == 0


def tables(result: Result) -> dict[str, str]:
    """Every network's files; the default backbone's accuracy; the cuts."""
    return {
        "export": f"{table(*_files(result))}\n\nint8 cosines to the source on 200 pictures that calibrated nothing; "
        "time on one thread, all four files in turns; kept: layers left in "
        "float32, and their share of the multiplications.",
        "export.accuracy": table(*_accuracies(result)),
        "export.cut": table(*_saved(result)),
    }


def _files(result: Result) -> tuple[list[str], list[list[str]]]:
    head = ["network", "format", "kB", "mean cosine", "worst cosine", "ms", "kept", "export"]
    rows = []
    for name, (title, _) in NETWORKS.items():
        for format in FORMATS:
            here: dict[str, Param] = {"network": name, "format": format}
            for size in result.select("size", **here):
                cosine = result.one("cosine", **here)
                kept = [
                    f"{found.value:.0f}, {100 * result.one('float_share', **here).value:.0f} %" if found.value else "0"
                    for found in result.select("kept_float", **here)
                ]
                seconds = result.one("seconds", network=name).value
                peak = result.one("peak", network=name).value
                first = format == "onnx"
                rows.append(
                    [
                        title if first else "",
                        format,
                        f"{size.value / 1000:,.0f}",
                        f"{cosine.value:.4f}",
                        f"{min(cosine.samples):.4f}",
                        f"{result.one('latency', **here).value:.2f}",
                        kept[0] if kept else "",
                        f"{seconds:.0f} s, {peak / 1e6:,.0f} MB" if first else "",
                    ]
                )
    return head, rows


def _accuracies(result: Result) -> tuple[list[str], list[list[str]]]:
    data = list(dict.fromkeys(str(found.params["data"]) for found in result.select("balanced_accuracy")))
    rows = [
        [f"default, {format}"]
        + [f"{result.one('balanced_accuracy', format=format, data=one).value:.1f}" for one in data]
        for format in FORMATS
        if list(result.select("balanced_accuracy", format=format))
    ]
    return ["5 shots, nearest mean, %", *map(title_of, data)], rows


def _saved(result: Result) -> tuple[list[str], list[list[str]]]:
    rows = []
    for before in result.select("size_before"):
        after = result.one("size_after", file=before.params["file"])
        share = 100 * (1 - after.value / before.value)
        rows.append([f"`{before.params['file']}`", f"{before.value:,.0f}", f"{after.value:,.0f}", f"{share:.1f} %"])
    return ["file", "bytes", "cut", "smaller by"], rows
