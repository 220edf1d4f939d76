"""What report.json and report.html say, and that the page needs nothing but itself."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_imprint.backbones import InputSpec, file_spec
from edge_imprint_export.calibration import Calibration
from edge_imprint_export.int8.choose import Chosen
from edge_imprint_export.measure import Measurement
from edge_imprint_export.parity import parity
from edge_imprint_export.report.data import FileReport, Report, report_file
from edge_imprint_export.report.html import render, size_text
from edge_imprint_export.report.machine import machine, versions

pytest.importorskip("onnx", reason="needs onnx: pip install edge-imprint[export]")
pytest.importorskip("jinja2", reason="needs jinja2: pip install edge-imprint[export]")

DIM = 24
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects text and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    from tiny import write_pictures

    folder = write_pictures(tmp_path_factory.mktemp("calibration") / "all", each=14)
    (folder / "dots" / "<b>broken.png").write_bytes(b"not a picture")
    return Calibration.open(folder, InputSpec(32, 32))


def entry(pictures: Calibration, noise: float, *, int8: bool, timed: bool = True) -> FileReport:
    """One file whose embeddings differ by so much noise from random, clustered ones."""
    from tiny import onnx_bytes

    rng = np.random.default_rng(5)
    labels = pictures.labels_of("judge")
    centre = {label: rng.normal(size=DIM) for label in sorted(set(labels))}
    reference = np.stack([centre[label] for label in labels]) + rng.normal(0, 0.3, (len(labels), DIM))
    got = reference + rng.normal(0, noise, reference.shape)
    content = onnx_bytes(int8)
    name = "backbone.int8.onnx" if int8 else "backbone.onnx"
    spec = file_spec(
        name, content, format="onnx", precision="int8" if int8 else "float32", layout="nchw", dtype="float32",
        embedding="embedding",
    )  # fmt: skip
    trials = [
        {"method": m, "kept": kept, "mean": 0.9992, "minimum": 0.9961, "centred_mean": 0.99, "centred_minimum": 0.98}
        for m, kept in (("minmax", []), ("entropy", []), ("entropy", ["stem"]))
    ]
    layers = tuple((f"block{i}/conv<{i}>", "Conv", 1e-3 / (i + 1)) for i in range(20))
    chosen = Chosen(content, "entropy", ("stem",), tuple(trials), (*layers, ("stem", "Conv", 1e-6)), True)
    return report_file(
        "onnx-int8" if int8 else "onnx",
        spec,
        content,
        parity(reference.astype(np.float32), got.astype(np.float32), labels=labels),
        pictures,
        int8=chosen if int8 else None,
        measured=Measurement("onnxruntime cpu", "1.32.0", 1, 3, 60, 1.5, 1.4, 1.75, 9_000_000, 9_500_000)
        if timed
        else None,
    )


def report_of(pictures: Calibration, *files: FileReport, **changes: object) -> Report:
    fields = {
        "name": "tiny & small", "licence": "Apache-2.0", "description": "two convolutions", "dim": DIM,
        "input": pictures.spec, "source": "torch:nets:make", "embedding": "pooled", "calibration": pictures,
        "files": files, "options": {"formats": ["onnx"], "project": None}, "machine": machine(), "versions": versions(),
        "notes": ("The classifier was cut off.",),
    }  # fmt: skip
    return Report(**(fields | changes))


@pytest.fixture(scope="module")
def good(pictures) -> Report:
    impossible = (("tflite", "operator <Exotic> has no counterpart"),)
    files = (entry(pictures, 1e-6, int8=False), entry(pictures, 0.01, int8=True))
    return report_of(pictures, *files, impossible=impossible)


def test_json_says_it_all_and_only_measured_things_vary(good, pictures):
    said = json.loads(good.to_json())
    assert said["schema"] == 1
    assert said["verdict"]["grade"] == "pass"
    assert said["source"]["name"] == "torch:nets:make"
    assert said["source"]["input"]["height"] == 32
    assert said["calibration"]["skipped"] == [
        {"file": "dots/<b>broken.png", "reason": said["calibration"]["skipped"][0]["reason"]}
    ]
    assert said["calibration"]["labels"] == ["dots", "plain", "rings", "stripes"]
    assert said["calibration"]["calibrating"] + said["calibration"]["judging"] == said["calibration"]["pictures"] == 56
    assert said["impossible"] == [{"format": "tflite", "reason": "operator <Exotic> has no counterpart"}]
    floating, whole = said["files"]
    assert floating["operators"] == {"Conv": 2, "Relu": 2, "Flatten": 1, "GlobalAveragePool": 1}
    assert set(floating["unsupported_operators"])
    assert floating["int8"] is None
    assert len(whole["parity"]["cosines"]) == 28
    assert whole["parity"]["cosine_min"] == min(whole["parity"]["cosines"]) == whole["worst_pictures"][0]["cosine"]
    assert [one["shots"] for one in whole["few_shot"]] == [1, 5]
    assert whole["int8"]["keep_float"] == ["stem"]
    assert whole["int8"]["sensitivity"][0] == {"layer": "block0/conv<0>", "operator": "Conv", "lost": 0.001}
    assert whole["measured"]["median_ms"] == 1.5
    slower = dataclasses.replace(good.files[0], measured=None)
    again = dataclasses.replace(good, files=(slower, good.files[1])).as_dict()
    again["files"][0]["measured"] = floating["measured"]
    assert json.loads(json.dumps(again)) == said


def test_nothing_in_the_report_tells_where_or_when(good, tmp_path_factory):
    import socket

    text = good.to_json() + render(good)
    assert str(tmp_path_factory.getbasetemp()) not in text
    assert not re.search(r'"/(home|tmp|root|work)/', text)
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4


def test_the_page_is_whole_and_needs_no_network(good):
    page = Page(render(good))
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "url(" not in render(good)
    assert "prefers-color-scheme: dark" in render(good)


def test_the_verdict_comes_first_and_names_what_could_not_be_made(good):
    text = Page(render(good)).text
    assert text.index("Ready for the device: tiny & small") < text.index("Every file gives") < text.index("The files")
    assert "tflite was not made: operator <Exotic> has no counterpart" in text
    assert "<Exotic>" not in render(good)


def test_the_page_shows_the_numbers_of_each_file(good):
    text = Page(render(good)).text
    whole = good.files[1]
    assert f"{whole.parity.cosine_min:.4f}"[:5] in text
    five = whole.parity.few_shot[1]
    assert f"{five.before:.1f} → {five.after:.1f} %" in text
    for words in ("1.5 ms", "1.4 ms to 1.8 ms", "9.1 MB", whole.spec.sha256, "block0/conv<0>", "left in float32"):
        assert words in text, words
    assert "block15" not in text  # twelve are enough, and the one that was kept
    assert "8 more layers hurt less" in text
    assert "edge-imprint learn mug" in text
    assert "pip install 'edge-imprint[onnx]'" in text


def test_the_worst_pictures_are_shown_as_the_network_gets_them(good, pictures):
    sources = [a["src"] for tag, a in Page(render(good)).tags if tag == "img"]
    assert len(sources) == 5
    stored = Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2])))
    place = pictures.judging[good.files[1].parity.worst]
    differences = np.abs(np.asarray(stored, int) - pictures.values).mean(axis=(1, 2, 3))
    assert differences.argmin() == place


def test_a_failing_file_is_named_with_its_worst_picture(pictures):
    report = report_of(pictures, entry(pictures, 1e-6, int8=False), entry(pictures, 0.4, int8=True))
    worst = report.files[1].worst[0]
    assert report.verdict.grade == "fail"
    assert worst.name in report.verdict.reasons[0]
    text = Page(render(report)).text
    assert "Do not use backbone.int8.onnx" in text
    assert worst.name in text


def test_a_file_to_look_at(pictures):
    report = report_of(pictures, entry(pictures, 0.07, int8=True))
    assert report.verdict.grade == "warn"
    assert "Look at backbone.int8.onnx" in Page(render(report)).text


def test_without_files_times_labels_or_pictures(pictures):
    nothing = report_of(pictures, impossible=(("onnx", "no"),))
    assert nothing.verdict.grade == "fail"
    assert "onnx was not made: no" in Page(render(nothing)).text
    untimed = Page(render(report_of(pictures, entry(pictures, 0.01, int8=True, timed=False), machine={}, versions={})))
    assert "time here" not in untimed.text
    sounds = Calibration.synthetic(None, (49, 10))
    rows = np.random.default_rng(0).normal(size=(32, DIM)).astype(np.float32)
    spec = good_spec()
    file = report_file("onnx-int8", spec[0], spec[1], parity(rows, rows), sounds)
    text = Page(render(report_of(sounds, file, input=None))).text
    assert "takes no pictures" in text
    assert "head.partial_fit(backbone.infer(tensors), labels)" in text
    assert "No calibration pictures" in text


def good_spec():
    from tiny import onnx_bytes

    content = onnx_bytes()
    spec = file_spec(
        "b.onnx", content, format="onnx", precision="int8", layout="nchw", dtype="float32", embedding="embedding"
    )
    return spec, content


def test_the_bundle_of_a_report_says_its_summary(good, tmp_path: Path):
    from edge_imprint.cli.export_report import read_report

    (tmp_path / "report.json").write_text(good.to_json())
    said = read_report(tmp_path)
    assert said["verdict"] == "pass"
    assert set(said["files"]) == {"backbone.onnx", "backbone.int8.onnx"}
    assert said["files"]["backbone.int8.onnx"]["cosine_min"] == round(good.files[1].parity.cosine_min, 8)


def test_the_machine_has_no_name_and_the_versions_are_those_installed():
    assert set(machine()) == {"processor", "architecture", "cores", "memory_bytes", "system", "python"}
    assert machine()["cores"] >= 1
    assert versions()["numpy"] == np.__version__


@pytest.mark.parametrize(("size", "text"), [(12, "12 B"), (1_500, "1.5 KB"), (64_000_000, "61.0 MB"), (3e9, "2.8 GB")])
def test_sizes_for_people(size, text):
    assert size_text(size) == text
