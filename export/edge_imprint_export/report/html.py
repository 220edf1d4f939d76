"""The report's page: one HTML file with every picture and chart inside, in the look of the demo's report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge_imprint
from edge_imprint.demo.charts import time_text
from edge_imprint.errors import MissingRuntimeError
from edge_imprint_export.int8.choose import Chosen
from edge_imprint_export.parity import INT8_MIN
from edge_imprint_export.report.data import FileReport, Report

_THUMBNAIL_PIXELS = 128
_MOST_LAYERS = 12
_BINS = 32
_WORDS = {"pass": "faithful", "warn": "look at it", "fail": "do not use"}
_HEADLINES = {
    "pass": "Ready for the device",
    "warn": "Works, with something to look at",
    "fail": "Not faithful to its source",
}
_WIDTH, _HEIGHT = 640.0, 120.0


def render(report: Report) -> str:
    """The page of an export.

    Raises:
        MissingRuntimeError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingRuntimeError(
            f"the report's page needs jinja2; importing it failed: {error}. "
            "Install it: pip install 'edge-imprint[export]'"
        ) from None
    folders = [Path(__file__).parent, Path(edge_imprint.__file__).parent / "demo"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(_page(report))


def _page(report: Report) -> dict[str, Any]:
    facts = report.as_dict()
    verdict = report.verdict
    return {
        **facts,
        "version": edge_imprint.__version__,
        "headline": _HEADLINES[verdict.grade],
        "summary": _summary(report),
        "tiles": _tiles(report),
        "rows": [_row(file) for file in report.files],
        "closer": [_closer(report, file) for file in report.files if file.spec.precision == "int8"],
        "choices": [_choice(file) for file in report.files if file.int8 is not None],
        "targets": [_targets(file) for file in report.files],
        "about_targets": _about_targets(report),
        "input_text": _input_text(report),
        "memory_text": size_text(report.machine["memory_bytes"]) if "memory_bytes" in report.machine else "",
        "runtimes": _runtimes(report),
        "has_labels": any(file.parity.few_shot for file in report.files),
        "has_times": any(file.measured is not None for file in report.files),
    }


def _summary(report: Report) -> str:
    """The verdict in half a line."""
    grade = report.verdict.grade
    if grade == "pass":
        return "✓ Every file gives the source's embeddings"
    names = " and ".join(file.spec.name for file in report.files if file.verdict.grade == grade)
    return f"! Look at {names}" if grade == "warn" else f"✗ Do not use {names or 'this'}"


def size_text(size: float) -> str:
    """Bytes for people.

    >>> size_text(2_560), size_text(9_263_514)
    ('2.5 KB', '8.8 MB')
    """
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GB"


def _tiles(report: Report) -> list[dict[str, str]]:
    tiles = []
    files = report.files
    if files:
        smallest = min(files, key=lambda file: file.spec.size_bytes)
        tiles.append({"value": size_text(smallest.spec.size_bytes), "text": f"smallest file, {smallest.spec.name}"})
    timed = [(file.measured, file) for file in files if file.measured is not None]
    if timed:
        fastest, file = min(timed, key=lambda pair: pair[0].median_ms)
        text = f"per picture here with {file.spec.name}, one thread"
        tiles.append({"value": time_text(fastest.median_ms), "text": text})
        least, file = min(timed, key=lambda pair: pair[0].peak_bytes)
        tiles.append({"value": size_text(least.peak_bytes), "text": f"memory to load and run {file.spec.name}"})
    if files:
        worst = min(files, key=lambda file: file.parity.cosine_min)
        text = f"cosine of the worst of {worst.parity.count} pictures, {worst.spec.name}"
        tiles.append({"value": _cosine(worst.parity.cosine_min), "text": text})
    changed = [(one, file) for file in files for one in file.parity.few_shot if file.spec.precision == "int8"]
    if changed:
        one, file = max(changed, key=lambda pair: (pair[0].shots, pair[0].before - pair[0].after))
        text = f"{one.shots}-shot accuracy with {file.spec.name}; the source has {one.before:.1f} %"
        tiles.append({"value": f"{one.after:.1f} %", "text": text})
    return tiles


def _row(file: FileReport) -> dict[str, Any]:
    parity, measured = file.parity, file.measured
    shots = max(parity.few_shot, key=lambda one: one.shots, default=None)
    return {
        "name": file.spec.name,
        "input": f"{file.spec.dtype} {file.spec.layout}",
        "grade": file.verdict.grade,
        "word": _WORDS[file.verdict.grade],
        "reasons": file.verdict.reasons,
        "size": size_text(file.spec.size_bytes),
        "cosine_min": _cosine(parity.cosine_min),
        "cosine_mean": _cosine(parity.cosine_mean),
        "centred_min": "" if parity.centred_min is None else _cosine(parity.centred_min),
        "difference": f"{parity.largest_difference:.1e}" if file.spec.precision == "float32" else "",
        "neighbours": "" if parity.neighbours is None else f"{100 * parity.neighbours:.0f} %",
        "accuracy": "" if shots is None else f"{shots.before:.1f} → {shots.after:.1f} %",
        "shots": 0 if shots is None else shots.shots,
        "time": "" if measured is None else time_text(measured.median_ms),
        "quartiles": "" if measured is None else f"{time_text(measured.q1_ms)} to {time_text(measured.q3_ms)}",
        "runtime": "" if measured is None else f"{measured.runtime} {measured.version}",
        "memory": "" if measured is None else size_text(measured.peak_bytes),
        "sha256": file.spec.sha256,
    }


def _cosine(value: float) -> str:
    """Four decimals; five, rounded down, between 0.9999 and 0.99999."""
    if value > 0.99999:
        return "1.0000"
    return f"{int(value * 1e5) / 1e5:.5f}" if value >= 0.9999 else f"{value:.4f}"


def _closer(report: Report, file: FileReport) -> dict[str, Any]:
    few_shot = [
        f"{one.shots}-shot accuracy {one.before:.1f} → {one.after:.1f} % ({one.classes} classes)"
        for one in file.parity.few_shot
    ]
    return {
        "name": file.spec.name,
        "histogram": _histogram(file.parity.cosines),
        "few_shot": few_shot,
        "worst": [
            {
                "src": _thumbnail(report, one.place),
                "name": one.name,
                "short": _shortened(one.name),
                "cosine": _cosine(one.cosine),
            }
            for one in file.worst
        ],
    }


def _shortened(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:16]}…{name[-12:]}"


def _layer_name(name: str) -> str:
    """The end of a layer's name, of the first where a converter joined several."""
    first = name.split(";")[0]
    return first if len(first) <= 44 else f"…{first[-42:]}"


def _histogram(cosines: Sequence[float]) -> dict[str, Any]:
    """Bars of how many pictures have which cosine, and where on the same axis the usual minimum lies."""
    low = min(*cosines, INT8_MIN)
    low = 1 - (1 - low) * 1.08
    counts, edges = np.histogram(cosines, bins=_BINS, range=(low, 1.0))
    scale = (_HEIGHT - 24) / max(int(counts.max()), 1)

    def x(cosine: float) -> float:
        return round((cosine - low) / (1 - low) * _WIDTH, 1)

    bars = [
        {
            "x": x(edges[i]) + 1,
            "width": round(_WIDTH / _BINS - 2, 1),
            "y": round(_HEIGHT - max(count * scale, 2), 1),
            "height": round(max(count * scale, 2), 1),
            "title": f"{count} of {len(cosines)} pictures from {edges[i]:.4f} to {edges[i + 1]:.4f}",
        }
        for i, count in enumerate(counts.tolist())
        if count
    ]
    ticks = [{"x": x(value), "text": f"{value:.4f}"} for value in np.linspace(low, 1, 5)]
    return {"bars": bars, "ticks": ticks, "usual": x(INT8_MIN), "usual_text": f"{INT8_MIN:g}", "width": _WIDTH}


def _thumbnail(report: Report, place: int) -> str | None:
    """A judging picture as the network gets it, as a data URL; None for a network that takes no pictures."""
    calibration = report.calibration
    if calibration.spec is None:
        return None
    from PIL import Image

    pixels: NDArray[np.uint8] = calibration.values[calibration.places("judge")[place]]
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _choice(file: FileReport) -> dict[str, Any]:
    chosen = file.int8
    assert chosen is not None
    layers = _layers(chosen)
    return {
        "name": file.spec.name,
        "method": chosen.method,
        "keep_float": [_layer_name(name) for name in chosen.keep_float],
        "price": file.price,
        "trials": [
            {
                "method": trial["method"],
                "kept": len(trial["kept"]),
                "cosine_min": _cosine(trial["minimum"]),
                "cosine_mean": _cosine(trial["mean"]),
                "chosen": (trial["method"], tuple(trial["kept"])) == (chosen.method, chosen.keep_float),
            }
            for trial in chosen.trials
        ],
        "layers": layers,
        "more_layers": len(chosen.sensitivity) - len(layers),
    }


def _layers(chosen: Chosen) -> list[dict[str, Any]]:
    """The layers that hurt most, the worst first, and those left in float32, with bars of what they cost."""
    shown = [row for place, row in enumerate(chosen.sensitivity) if place < _MOST_LAYERS or row[0] in chosen.keep_float]
    most = max((lost for _, _, lost in shown), default=0) or 1
    return [
        {
            "name": _layer_name(name),
            "operator": operator,
            "kept": name in chosen.keep_float,
            "share": round(100 * max(lost, 0) / most, 1),
            "text": f"{max(lost, 0):.1e}",
        }
        for name, operator, lost in shown
    ]


def _targets(file: FileReport) -> dict[str, Any]:
    return {
        "name": file.spec.name,
        "operators": [{"name": name, "count": count} for name, count in file.operators],
        "support": [{"target": target, "missing": list(missing)} for target, missing in file.unsupported.items()],
    }


def _about_targets(report: Report) -> list[dict[str, str]]:
    from edge_imprint_export.operators import targets

    formats = dict.fromkeys(file.spec.format for file in report.files)
    return [{"name": one.name, "source": one.source, "note": one.note} for f in formats for one in targets(f)]


def _input_text(report: Report) -> str:
    spec = report.input
    if spec is None:
        return "takes no pictures"
    cut = "the whole picture" if spec.resize_side is None else f"shorter side to {spec.resize_side}, then the middle"
    mean, scale = (", ".join(f"{value:.5g}" for value in dict.fromkeys(values)) for values in (spec.mean, spec.scale))
    values = "raw pixels" if mean == "0" and scale == "1" else f"(pixel - {mean}) x {scale}"
    return f"{spec.width} x {spec.height} pixels, {cut}, {spec.colour.upper()}, {values}"


def _runtimes(report: Report) -> list[str]:
    """Extras of edge-imprint that run a file of this bundle."""
    return [extra for extra in ("onnx", "tflite") if any(file.spec.format == extra for file in report.files)]
