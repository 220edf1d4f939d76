"""What an export can be asked for: projection, folded preprocessing, another input, formats, int8 settings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="exporting needs torch: pip install edge-imprint[export]")
for package in ("onnx", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_quantizer"):
    pytest.importorskip(package, reason=f"needs {package}: pip install 'edge-imprint[export]'")

from exporting import (  # noqa: E402
    difference,
    expected,
    least_cosine,
    prepared,
    read_pictures,
)
from small_cnn import SIDE, pictures, trained_cnn  # noqa: E402

from edge_imprint.backbones import InputSpec, Manifest, load_backbone  # noqa: E402
from edge_imprint.errors import ExportError, ParityError, UsageError  # noqa: E402
from edge_imprint.learner import Learner  # noqa: E402
from edge_imprint_export import InputChanges, export_backbone  # noqa: E402
from edge_imprint_export.operators import onnx_operators, tflite_operators  # noqa: E402
from edge_imprint_export.projection import fit_projection  # noqa: E402

torch.set_num_threads(1)

KINDS = [(runtime, precision) for runtime in ("onnx", "tflite") for precision in ("float32", "int8")]
NEW, NEW_LABELS = pictures(24, seed=11)
HALVES = InputChanges(mean=(127.5,) * 3, std=(127.5,) * 3)
ODD = InputSpec(
    SIDE, SIDE, colour="bgr", mean=(103.53, 116.28, 123.675), scale=(1 / 57.375, 1 / 57.12, 1 / 58.395)
)  # fmt: skip
WORDS = {"input": HALVES, "embedding": "features", "timing": False}


@pytest.fixture(scope="module")
def few(calibration):
    """Twenty of the pictures: enough where settings are tried out one by one."""
    return sorted(calibration.rglob("*.png"))[::4]


def embed(out, runtime, precision, values=NEW):
    return load_backbone(out, runtime=runtime, precision=precision).embed(list(values))


def source_embeddings(values, spec):
    """By torch, of pictures that another rule normalises."""
    with torch.no_grad():
        return np.maximum(trained_cnn()(prepared(values, spec)).numpy(), 0)


def close(out, wanted, least=0.99, kinds=KINDS):
    for runtime, precision in kinds:
        got = embed(out, runtime, precision)
        assert got.shape == wanted.shape
        if precision == "float32":
            assert difference(got, wanted) <= 1e-4, runtime
        else:
            assert least_cosine(got, wanted) >= least, runtime


def takes_raw_pixels(out):
    """Every file, by its manifest and in truth."""
    manifest = Manifest.from_json((out / "manifest.json").read_text())
    assert manifest.input.colour == "rgb"
    for file in manifest.files:
        assert (file.dtype, file.layout) == ("uint8", "nhwc")
        backbone = load_backbone(out, runtime=file.format, precision=file.precision)
        assert np.array_equal(backbone.prepare(list(NEW[:3])), NEW[:3])


@pytest.fixture(scope="module")
def folded(tmp_path_factory, calibration, factory):
    """Projected and folded at once: torch to everything."""
    out = tmp_path_factory.mktemp("folded") / "bundle"
    report = export_backbone(
        factory, out, calibration=calibration, input=ODD, project=8, fold_preprocessing=True, timing=False
    )
    return report, out


def test_torch_folded_and_projected(folded, calibration):
    report, out = folded
    takes_raw_pixels(out)
    projection = fit_projection(source_embeddings(read_pictures(calibration), ODD), 8)
    close(out, projection(source_embeddings(NEW, ODD)))
    assert report.dim == 8
    assert Manifest.from_json((out / "manifest.json").read_text()).input == InputSpec(
        SIDE, SIDE, mean=(0, 0, 0), scale=(1, 1, 1)
    )
    assert any("Projected from 24 to 8 dimensions" in note for note in report.notes)


def test_base_statistics_are_those_of_projected_embeddings(folded, calibration):
    rows = source_embeddings(read_pictures(calibration), ODD)
    rows = fit_projection(rows, 8)(rows).astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    statistics = load_backbone(folded[1]).base_statistics
    assert statistics.count == 80
    np.testing.assert_allclose(statistics.mean, unit.mean(0), atol=1e-4)
    np.testing.assert_allclose(statistics.second_moment, unit.T @ unit / 80, atol=1e-4)


def test_a_learner_on_a_folded_bundle(folded):
    for runtime, precision in KINDS:
        learner = Learner(load_backbone(folded[1], runtime=runtime, precision=precision), "16KB")
        values, labels = pictures(40, seed=21)
        for label in range(4):
            learner.learn([v for v, own in zip(values, labels, strict=True) if own == label][:5], int(label))
        said = [prediction.label for prediction in learner.predict_many(list(NEW))]
        assert np.mean(np.array(said) == NEW_LABELS) >= 0.8


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_an_onnx_source_folded(network, calibration, tmp_path, colour):
    spec = replace(ODD, colour=colour)
    export_backbone(
        network, tmp_path / "b", calibration=calibration, formats="onnx,onnx-int8", fold_preprocessing=True,
        **{**WORDS, "input": spec},
    )  # fmt: skip
    takes_raw_pixels(tmp_path / "b")
    close(tmp_path / "b", source_embeddings(NEW, spec), kinds=KINDS[:2])


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_a_float_tflite_source_folded(exported, calibration, tmp_path, colour):
    spec = replace(ODD, colour=colour)
    export_backbone(
        exported[1] / "backbone.tflite", tmp_path / "b", calibration=calibration, input=spec, fold_preprocessing=True,
        timing=False,
    )  # fmt: skip
    takes_raw_pixels(tmp_path / "b")
    close(tmp_path / "b", source_embeddings(NEW, spec), kinds=KINDS[2:])


def test_an_int8_tflite_source_folded(shared_data, calibration, tmp_path):
    source = shared_data / "backbones" / "pretrainedResnet_quant.tflite"
    export_backbone(source, tmp_path / "b", calibration=calibration, fold_preprocessing=True, timing=False)
    takes_raw_pixels(tmp_path / "b")
    assert np.array_equal(embed(tmp_path / "b", "tflite", "int8"), load_backbone(source).embed(list(NEW)))


def test_an_int8_source_that_takes_other_values_cannot_be_folded(shared_data, calibration, tmp_path):
    source = shared_data / "backbones" / "pretrainedResnet_quant.tflite"
    for changes in (InputChanges(mean=(10.0,) * 3, std=(3.0,) * 3), InputChanges(colour="bgr")):
        with pytest.raises(ExportError, match="nothing can be folded into an integer input"):
            export_backbone(source, tmp_path / "b", calibration=calibration, input=changes, fold_preprocessing=True)
    assert list(tmp_path.iterdir()) == []


def test_what_takes_no_pictures_has_nothing_to_fold(shared_data, tmp_path):
    source = shared_data / "backbones" / "kws_ref_model.tflite"
    with pytest.raises(ExportError, match=r"takes none\. Leave --fold-preprocessing out"):
        export_backbone(source, tmp_path / "b", fold_preprocessing=True)


def test_an_onnx_source_projected(network, calibration, tmp_path):
    projection = fit_projection(expected(read_pictures(calibration)), 6)
    export_backbone(network, tmp_path / "b", calibration=calibration, formats="onnx,onnx-int8", project=6, **WORDS)
    close(tmp_path / "b", projection(expected(NEW)), kinds=KINDS[:2])


def test_a_float_tflite_source_projected(exported, calibration, tmp_path):
    projection = fit_projection(expected(read_pictures(calibration)), 6)
    export_backbone(
        exported[1] / "backbone.tflite", tmp_path / "b", calibration=calibration, input=InputSpec(SIDE, SIDE),
        project=6, timing=False,
    )  # fmt: skip
    close(tmp_path / "b", projection(expected(NEW)), kinds=KINDS[2:])


def test_an_int8_tflite_source_projected(shared_data, calibration, tmp_path):
    source = shared_data / "backbones" / "pretrainedResnet_quant.tflite"
    report = export_backbone(source, tmp_path / "b", calibration=calibration, project=12, timing=False)
    whole = load_backbone(source)
    projection = fit_projection(whole.embed(read_pictures(calibration)), 12)
    assert report.dim == load_backbone(tmp_path / "b").dim == 12
    assert least_cosine(embed(tmp_path / "b", "tflite", "int8"), projection(whole.embed(list(NEW)))) >= 0.98


def test_a_projection_needs_more_pictures_than_dimensions(network, calibration, tmp_path):
    few = sorted(calibration.rglob("*.png"))[:6]
    with pytest.raises(UsageError, match="project to 6 dimensions needs more than 6 calibration pictures; got 6"):
        export_backbone(network, tmp_path / "b", calibration=few, formats="onnx", project=6, **WORDS)
    with pytest.raises(UsageError, match="at most the embedding's 24 dimensions; got 25"):
        export_backbone(network, tmp_path / "b", calibration=calibration, formats="onnx", project=25, **WORDS)
    with pytest.raises(UsageError, match="Add --calibration"):
        export_backbone(network, tmp_path / "b", formats="onnx", project=6, **WORDS)
    assert list(tmp_path.iterdir()) == []


def test_another_embedding(network, calibration, tmp_path):
    words = {**WORDS, "embedding": None}
    found = export_backbone(network, tmp_path / "a", calibration=calibration, formats="onnx", **words)
    assert "features" in found.candidates
    named = export_backbone(network, tmp_path / "b", calibration=calibration, formats="onnx", **WORDS)
    assert (named.embedding, named.dim) == ("features", 24)
    with pytest.raises(ExportError, match="no_such"):
        export_backbone(network, tmp_path / "c", formats="onnx", **{**words, "embedding": "no_such"})


def test_what_is_said_about_pictures_reaches_the_manifest_and_the_network(network, calibration, tmp_path):
    changes = InputChanges.parse(size="32", mean="10,20,30", std="50,60,70", colour="bgr", resize="crop:40")
    export_backbone(network, tmp_path / "b", calibration=calibration, formats="onnx", **{**WORDS, "input": changes})
    spec = Manifest.from_json((tmp_path / "b" / "manifest.json").read_text()).input
    assert spec == InputSpec(
        32, 32, colour="bgr", mean=(10, 20, 30), scale=(1 / 50, 1 / 60, 1 / 70),
        resize="shorter_side_then_centre_crop", resize_side=40,
    )  # fmt: skip
    large = np.zeros((80, 80, 3), np.uint8)
    large[:] = (200, 100, 50)
    wanted = source_embeddings([large[:SIDE, :SIDE]], spec)
    assert difference(embed(tmp_path / "b", "onnx", "float32", [large]), wanted) <= 1e-4


def test_another_size_than_that_of_the_file_is_refused(network, tmp_path):
    with pytest.raises(ExportError, match="32 x 32"):
        export_backbone(network, tmp_path / "b", formats="onnx", input=InputChanges(48, 48))


def test_layers_that_stay_in_float(exported, network, few, tmp_path):
    words = {"calibration": few, "timing": False, "keep_float": 3, "min_cosine": 0.5}
    one = export_backbone(network, tmp_path / "a", formats="onnx-int8", **{**WORDS, **words}).files[0]
    other = export_backbone(
        exported[1] / "backbone.tflite", tmp_path / "b", formats="tflite-int8", input=InputSpec(SIDE, SIDE), **words
    ).files[0]
    for file in (one, other):
        assert len(file.int8.keep_float) == 3
        assert [row[0] for row in file.int8.sensitivity[:3]] == list(file.int8.keep_float)
    assert layers_in_float(tmp_path / "b" / "backbone.int8.tflite") == 3
    assert layers_in_float(exported[1] / "backbone.int8.tflite") == 0
    assert other.spec.size_bytes > (exported[1] / "backbone.int8.tflite").stat().st_size


def layers_in_float(path):
    operators = dict(tflite_operators(path.read_bytes()))
    return sum(operators.get(f"{name} float32", 0) for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))


def test_more_layers_in_float_than_there_are(network, calibration, tmp_path):
    with pytest.raises(UsageError, match="onnx-int8 has 13 layers that can stay in float; got 14"):
        export_backbone(network, tmp_path / "b", calibration=calibration, formats="onnx-int8", keep_float=14, **WORDS)
    assert list(tmp_path.iterdir()) == []


def test_a_method_of_ones_own(network, exported, few, tmp_path):
    report = export_backbone(network, tmp_path / "b", calibration=few, formats="onnx-int8", method="entropy", **WORDS)
    assert report.files[0].int8.method == "entropy"
    assert {trial["method"] for trial in report.files[0].int8.trials} == {"entropy"}
    other = export_backbone(
        exported[1] / "backbone.tflite", tmp_path / "c", calibration=few, formats="tflite-int8",
        method="entropy", input=InputSpec(SIDE, SIDE), timing=False,
    )  # fmt: skip
    assert any("tflite-int8: entropy is not known" in note for note in other.notes)


def test_too_low_a_cosine_names_the_worst_picture_and_writes_nothing(network, few, tmp_path):
    message = r"backbone.int8.onnx .*nothing was written: The worst picture, \d\d.png, has a cosine"
    with pytest.raises(ParityError, match=message) as error:
        export_backbone(network, tmp_path / "b", calibration=few, min_cosine=1.0, formats="onnx,onnx-int8", **WORDS)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_formats_in_any_order_and_twice(network, few, tmp_path):
    report = export_backbone(network, tmp_path / "b", calibration=few, formats=["onnx-int8", "onnx", "onnx"], **WORDS)
    assert [file.format for file in report.files] == ["onnx", "onnx-int8"]
    assert json.loads((tmp_path / "b" / "report.json").read_text())["options"]["formats"] == ["onnx", "onnx-int8"]
    assert not dict(onnx_operators((tmp_path / "b" / "backbone.onnx").read_bytes())).get("QuantizeLinear")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"formats": "coreml"}, "coreml"),
        ({"formats": ""}, "formats must be some of"),
        ({"formats": []}, "got none"),
        ({"project": 1}, "2 to 4096"),
        ({"min_cosine": 1.5}, "from 0 to 1"),
        ({"min_cosine": float("nan")}, "from 0 to 1"),
        ({"keep_float": -1}, "keep_float"),
        ({"keep_float": "some"}, "keep_float"),
        ({"method": "magic"}, "magic"),
        ({"name": ""}, "--name"),
        ({"licence": "x" * 301}, "--licence"),
    ],
)
def test_arguments_out_of_range_are_refused_before_anything_is_opened(tmp_path, words, message):
    from edge_imprint.errors import EdgeImprintError

    with pytest.raises(EdgeImprintError, match=message):
        export_backbone(tmp_path / "missing.onnx", tmp_path / "b", **words)
