"""Sources of every kind to whatever formats they can have."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")
for package in ("onnx", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_quantizer"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'edge-imprint[export]'")

from exporting import (  # noqa: E402
    classifier,
    difference,
    expected,
    least_cosine,
)
from small_cnn import DIM, SIDE, pictures  # noqa: E402

from edge_imprint.backbones import InputSpec, Manifest, load_backbone  # noqa: E402
from edge_imprint.backbones.embedding import find_embedding  # noqa: E402
from edge_imprint.backbones.flatbuffer import cut, read_graph  # noqa: E402
from edge_imprint.backbones.tflite import TfliteRunner  # noqa: E402
from edge_imprint_export import InputChanges, export_backbone  # noqa: E402

torch.set_num_threads(1)

KINDS = [(runtime, precision) for runtime in ("onnx", "tflite") for precision in ("float32", "int8")]
NEW, _ = pictures(24, seed=11)


def embed(out, runtime, precision, values=NEW):
    return load_backbone(out, runtime=runtime, precision=precision).embed(list(values))


@pytest.mark.parametrize("kind", ["pt2", pytest.param("torchscript", marks=pytest.mark.slow)])
def test_a_saved_torch_network(kind, calibration, tmp_path):
    picture = (torch.zeros(1, 3, SIDE, SIDE),)
    path = tmp_path / ("network.pt2" if kind == "pt2" else "network.pt")
    if kind == "pt2":
        torch.export.save(torch.export.export(classifier(), picture), path)
    else:
        with warnings.catch_warnings():  # deprecated, and what older networks lie in
            warnings.simplefilter("ignore")
            torch.jit.save(torch.jit.trace(classifier(), picture), path)
    report = export_backbone(
        path, tmp_path / "b", formats=["onnx"], input=InputChanges(SIDE, SIDE), calibration=calibration, timing=False
    )
    assert (report.name, report.source, report.dim) == ("network", path.name, DIM)
    assert difference(embed(tmp_path / "b", "onnx", "float32"), expected(NEW)) <= 1e-4


ONNX = {"input": InputChanges(mean=(127.5,) * 3, std=(127.5,) * 3), "embedding": "features", "timing": False}


def test_an_onnx_source_to_onnx_and_tflite(network, calibration, tmp_path):
    report = export_backbone(network, tmp_path / "b", formats="onnx,tflite", calibration=calibration, **ONNX)
    assert [file.format for file in report.files] == ["onnx", "tflite"]
    for runtime in ("onnx", "tflite"):
        assert difference(embed(tmp_path / "b", runtime, "float32"), expected(NEW)) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("fold", [False, True])
def test_the_default_backbone_to_everything(repository, calibration, tmp_path, fold):
    source = repository / "edge_imprint" / "backbones" / "default"
    spec = load_backbone().manifest.input
    export_backbone(
        source / "backbone.onnx", tmp_path / "b", input=spec, calibration=calibration, timing=False,
        min_cosine=0.9, fold_preprocessing=fold,
    )  # fmt: skip
    wanted = load_backbone(runtime="onnx", precision="float32").embed(list(NEW))
    for runtime, precision in KINDS:
        got = embed(tmp_path / "b", runtime, precision)
        if precision == "float32":
            assert difference(got, wanted) <= 1e-4
        else:
            assert least_cosine(got, wanted) >= 0.9


def test_a_float_tflite_source_to_both_tflite_formats(exported, calibration, tmp_path):
    """As large as what the exporter wrote itself, without ONNX files, and the report says why."""
    source = exported[1] / "backbone.tflite"
    report = export_backbone(source, tmp_path / "b", input=InputSpec(SIDE, SIDE), calibration=calibration, timing=False)
    assert [file.format for file in report.files] == ["tflite", "tflite-int8"]
    assert report.impossible == ()
    assert any("Left out onnx, onnx-int8" in note for note in report.notes)
    assert difference(embed(tmp_path / "b", "tflite", "float32"), expected(NEW)) <= 1e-4
    assert least_cosine(embed(tmp_path / "b", "tflite", "int8"), expected(NEW)) >= 0.99


def test_a_format_that_was_asked_for_by_name_and_cannot_be_is_reported(exported, calibration, tmp_path):
    report = export_backbone(
        exported[1] / "backbone.tflite", tmp_path / "b", formats="onnx,tflite", calibration=calibration, timing=False,
        input=InputSpec(SIDE, SIDE),
    )  # fmt: skip
    assert [format for format, _ in report.impossible] == ["onnx"]
    assert "start from the PyTorch or ONNX network" in report.impossible[0][1]
    assert json.loads((tmp_path / "b" / "report.json").read_text())["impossible"][0]["format"] == "onnx"


@pytest.mark.parametrize(("name", "side"), [("pretrainedResnet_quant", 32), ("vww_96_int8", 96)])
def test_an_int8_tflite_source_is_cut_and_nothing_else(shared_data, calibration, tmp_path, name, side):
    source = shared_data / "backbones" / f"{name}.tflite"
    report = export_backbone(source, tmp_path / "b", calibration=calibration, timing=False)
    assert [file.format for file in report.files] == ["tflite-int8"]
    assert report.files[0].parity.cosine_min == pytest.approx(1, abs=1e-6)
    assert report.files[0].int8 is None
    assert report.files[0].spec.size_bytes < source.stat().st_size
    assert (report.input.height, report.input.width) == (side, side)
    whole = load_backbone(source)
    assert np.array_equal(embed(tmp_path / "b", "tflite", "int8"), whole.embed(list(NEW)))


def test_a_public_backbone_from_a_file(shared_data, calibration, tmp_path):
    file = shared_data / "backbones" / "pretrainedResnet_quant.tflite"
    report = export_backbone(
        "public:mlperf_resnet8_32", tmp_path / "b", from_file=file, calibration=calibration, timing=False
    )
    manifest = Manifest.from_json((tmp_path / "b" / "manifest.json").read_text())
    assert (report.name, manifest.name, report.source) == ("mlperf_resnet8_32",) * 2 + ("public:mlperf_resnet8_32",)
    assert manifest.licence == "Apache-2.0"
    assert load_backbone(tmp_path / "b").embed(list(NEW)).shape == (24, 64)


def test_a_network_that_takes_no_pictures(shared_data, tmp_path):
    """Keyword spotting: tensors of its own calibrate, and the manifest has no input rule."""
    rng = np.random.default_rng(0)
    source = shared_data / "backbones" / "kws_ref_model.tflite"
    graph = read_graph(source.read_bytes())
    tensor = find_embedding(graph, "kws", None)
    whole = TfliteRunner(cut(source.read_bytes(), graph, tensor), "kws")
    values = rng.normal(0, 20, (16, *whole.input_shape[1:])).astype(np.float32)
    np.save(tmp_path / "sounds.npy", values)
    for number, calibration in enumerate((tmp_path / "sounds.npy", None)):
        out = tmp_path / f"b{number}"
        report = export_backbone(source, out, calibration=calibration, timing=False)
        assert (report.input, report.calibration.is_synthetic) == (None, calibration is None)
        backbone = load_backbone(out)
        assert backbone.manifest.input is None
        assert (backbone.base_statistics is None) == (calibration is None)
        stored = np.clip(np.rint(values[:1]), -128, 127).astype(backbone.file.dtype)
        scale, zero_point = tensor.quantisation
        wanted = (whole(stored).astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        assert np.array_equal(backbone.infer(stored), wanted.reshape(1, -1))
