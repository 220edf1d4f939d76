"""A torch network to all four formats: the bundle, its embeddings, its statistics and its report."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")
for package in ("onnx", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_quantizer"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'edge-imprint[export]'")

from exporting import (  # noqa: E402
    FORMATS,
    classifier,
    difference,
    expected,
    hashes,
    least_cosine,
    read_pictures,
)
from small_cnn import DIM, SIDE, pictures  # noqa: E402

from edge_imprint.backbones import InputSpec, Manifest, load_backbone  # noqa: E402
from edge_imprint.learner import Learner  # noqa: E402
from edge_imprint_export import InputChanges, export_backbone  # noqa: E402
from edge_imprint_export.operators import onnx_operators, tflite_operators  # noqa: E402

torch.set_num_threads(1)

REPORTS = {"report.json", "report.html"}
FILES = ("backbone.onnx", "backbone.int8.onnx", "backbone.tflite", "backbone.int8.tflite")
# What the runtime calls them.
KINDS = [(runtime, precision) for runtime in ("onnx", "tflite") for precision in ("float32", "int8")]
NEW, NEW_LABELS = pictures(24, seed=11)


def embed(out, runtime, precision, values=NEW):
    return load_backbone(out, runtime=runtime, precision=precision).embed(list(values))


def test_the_manifest_says_what_is_there(exported):
    report, out = exported
    assert {path.name for path in out.iterdir()} == {*FILES, *REPORTS, "manifest.json", "base_statistics.npz"}
    manifest = Manifest.from_json((out / "manifest.json").read_text())
    assert (manifest.name, manifest.licence, manifest.dim) == (report.name, "unknown", DIM)
    assert manifest.input == InputSpec(SIDE, SIDE)
    assert [file.name for file in manifest.files] == list(FILES)
    for file in manifest.files:
        content = (out / file.name).read_bytes()
        assert (file.sha256, file.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert file.format == file.name.rpartition(".")[2]
        assert file.layout == {"onnx": "nchw", "tflite": "nhwc"}[file.format]
        assert file.precision == ("int8" if ".int8." in file.name else "float32")
        assert file.dtype == ("int8" if file.name == "backbone.int8.tflite" else "float32")


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_every_file_embeds_as_the_torch_network_does(exported, runtime, precision):
    got, wanted = embed(exported[1], runtime, precision), expected(NEW)
    if precision == "float32":
        assert difference(got, wanted) <= 1e-4
    else:
        assert least_cosine(got, wanted) >= 0.99
        assert not np.array_equal(got, embed(exported[1], runtime, "float32"))


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_a_learner_works_on_every_file(exported, runtime, precision):
    learner = Learner(load_backbone(exported[1], runtime=runtime, precision=precision), "16KB")
    values, labels = pictures(40, seed=21)
    for label in range(4):
        learner.learn([value for value, own in zip(values, labels, strict=True) if own == label][:5], int(label))
    said = [prediction.label for prediction in learner.predict_many(list(NEW))]
    assert np.mean(np.array(said) == NEW_LABELS) >= 0.9


def test_the_classifier_is_gone(exported):
    report, out = exported
    assert report.dim == DIM
    for name in FILES:
        read = onnx_operators if name.endswith(".onnx") else tflite_operators
        operators = dict(read((out / name).read_bytes()))
        linear = ("Gemm", "MatMul", "FULLY_CONNECTED")
        layers = sum(count for code, count in operators.items() if code.split()[0] in linear)
        assert layers == 1, operators  # the network's own last layer


def test_the_base_statistics_are_those_of_the_calibration_pictures(exported, calibration):
    rows = expected(read_pictures(calibration)).astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    statistics = load_backbone(exported[1]).base_statistics
    assert statistics.count == len(unit) == 80
    np.testing.assert_allclose(statistics.mean, unit.mean(0), atol=1e-5)
    np.testing.assert_allclose(statistics.second_moment, unit.T @ unit / len(unit), atol=1e-5)


def test_the_report_tells_everything(exported):
    report, out = exported
    said = json.loads((out / "report.json").read_text())
    assert said == json.loads(report.to_json())
    assert said["verdict"]["grade"] == "pass"
    assert said["source"]["name"] == "torch:exported_network:make"
    assert said["source"]["embedding"] in said["source"]["candidates"]
    assert said["calibration"]["pictures"] == 80
    assert said["calibration"]["labels"] == ["0", "1", "2", "3"]
    assert said["calibration"]["held_out"] is True
    assert said["impossible"] == []
    assert [file["format"] for file in said["files"]] == list(FORMATS)
    for file in said["files"]:
        assert file["size_bytes"] == (out / file["file"]).stat().st_size
        assert file["measured"]["median_ms"] > 0
        assert file["measured"]["runtime"] == ("onnxruntime cpu" if "onnx" in file["format"] else "ai-edge-litert")
        assert len(file["parity"]["cosines"]) == said["calibration"]["judging"] == 40
        assert [one["shots"] for one in file["few_shot"]]
        assert file["unsupported_operators"]
        assert (file["int8"] is None) == (file["precision"] == "float32")
        if file["int8"]:
            layers = [layer["layer"] for layer in file["int8"]["sensitivity"]]
            assert len(set(layers)) == len(layers) == 13  # 12 convolutions and the last layer
    page = (out / "report.html").read_text()
    for word in (*FILES, report.name, "5-shot accuracy", "TFLite Micro"):
        assert word.lower() in page.lower()


def test_nothing_in_a_bundle_says_where_or_when_it_was_made(exported, tmp_path_factory):
    _, out = exported
    for path in out.iterdir():
        content = path.read_bytes()
        for secret in (str(tmp_path_factory.getbasetemp()), "/work/", "site-packages", "small_cnn.py"):
            assert secret.encode() not in content, f"{secret} in {path.name}"


def test_the_same_export_gives_the_same_bytes(exported, calibration, factory, tmp_path):
    first, out = exported
    second = export_backbone(factory, tmp_path / "bundle", calibration=calibration, timing=False)
    before, after = hashes(out), hashes(tmp_path / "bundle")
    assert {name: before[name] for name in before.keys() - REPORTS} == {
        name: after[name] for name in after.keys() - REPORTS
    }
    kept = []
    for report in (first, second):
        said = {name: value for name, value in report.as_dict().items() if name not in ("machine", "versions")}
        said["files"] = [{name: value for name, value in file.items() if name != "measured"} for file in said["files"]]
        kept.append(said)
    assert kept[0] == kept[1]


def test_a_module_of_the_callers_own_stays_as_it_was(calibration, tmp_path):
    module = classifier()
    module.train()
    module[0].eval()
    for value in module[2].parameters():
        value.requires_grad_(True)
    export_backbone(
        module, tmp_path / "b", formats="onnx", input=InputSpec(SIDE, SIDE), calibration=calibration, timing=False
    )
    assert difference(embed(tmp_path / "b", "onnx", "float32"), expected(NEW)) <= 1e-4
    assert [module.training, module[0].training, module[2].training] == [True, False, True]
    assert [value.requires_grad for value in module[2].parameters()] == [True, True]
    assert not any(value.requires_grad for value in module[0].parameters())


ONNX = {"input": InputChanges(mean=(127.5,) * 3, std=(127.5,) * 3), "embedding": "features", "timing": False}


def test_a_licence_and_a_name_of_ones_own_and_an_earlier_bundle_replaced(network, calibration, tmp_path):
    words = {"formats": "onnx", "calibration": calibration, **ONNX}
    export_backbone(network, tmp_path / "b", **words)
    export_backbone(network, tmp_path / "b", **words, name="mine", licence="MIT", replace_bundle=True)
    manifest = Manifest.from_json((tmp_path / "b" / "manifest.json").read_text())
    assert (manifest.name, manifest.licence) == ("mine", "MIT")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_calibration_by_a_list_of_files(network, calibration, tmp_path):
    files = sorted(calibration.rglob("*.png"))[:10]
    report = export_backbone(network, tmp_path / "b", formats="onnx", calibration=files, **ONNX)
    assert (len(report.calibration), report.calibration.labels) == (10, None)
    rows = expected([np.asarray(value) for value in report.calibration.values])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(load_backbone(tmp_path / "b").base_statistics.mean, unit.mean(0), atol=1e-5)


def test_progress_is_told_and_never_overshoots(network, calibration, tmp_path):
    told = []
    export_backbone(
        network, tmp_path / "b", formats="onnx,onnx-int8", calibration=calibration, **ONNX,
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert all(0 <= done <= total for _, done, total in told)
    texts = list(dict.fromkeys(text for text, _, _ in told))
    assert texts[0] == "Opening the source"
    assert texts[-1] == "Writing"
    assert "onnx-int8: choosing settings" in texts
    last = {text: (done, total) for text, done, total in told if total > 1}
    assert all(done == total for done, total in last.values()), last


def test_what_a_report_is_made_of_can_be_asked_for_in_python(exported):
    report, _ = exported
    assert {file.format: file.verdict.grade for file in report.files} == dict.fromkeys(FORMATS, "pass")
    assert dataclasses.is_dataclass(report)
