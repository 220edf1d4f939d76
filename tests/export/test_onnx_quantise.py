"""From a float32 .onnx file to int8 ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'edge-imprint[export]'")
import onnx
from int8_graphs import CALIBRATING, JUDGING, chain, cosines, fused, network, node, normal, run
from onnx import numpy_helper

from edge_imprint.errors import ExportError
from edge_imprint_export.int8.agreement import compare
from edge_imprint_export.onnx_format.quantise import OnnxQuantiser


@pytest.fixture(scope="module")
def trained():
    """A trained network with clipped ReLUs, residual sums and a linear layer, its float file and pictures."""
    pytest.importorskip("torch", reason="needs torch: pip install 'edge-imprint[export]'")
    pytest.importorskip("onnxscript", reason="needs onnxscript: pip install 'edge-imprint[export]'")
    import small_cnn

    from edge_imprint.backbones import InputSpec
    from edge_imprint_export.onnx_format.build import torch_to_onnx

    content = torch_to_onnx(small_cnn.trained_cnn(), InputSpec(height=small_cnn.SIDE, width=small_cnn.SIDE))
    values = small_cnn.prepared(small_cnn.pictures(112, seed=1)[0]).transpose(0, 3, 1, 2)
    return content, np.ascontiguousarray(values[:64, None]), np.ascontiguousarray(values[64:])


@pytest.fixture(scope="module")
def quantiser(trained):
    return OnnxQuantiser(trained[0], trained[1])


def test_every_method_keeps_the_direction_of_embeddings(trained, quantiser):
    content, _, judging = trained
    measured = {name: cosines(quantiser.quantise(name), content, judging) for name in quantiser.methods}
    assert set(measured) == {"mse", "minmax", "percentile", "entropy"}
    assert min(m["mean"] for m in measured.values()) > 0.998
    assert measured["mse"]["mean"] > 0.999
    assert measured["mse"]["minimum"] > 0.995


def test_file_is_small_and_has_the_same_input_and_output(trained, quantiser):
    content = quantiser.quantise("minmax")
    assert len(content) < 0.55 * len(trained[0])  # a small network: what describes it weighs as much as its weights
    before, after = onnx.load_from_string(trained[0]), onnx.load_from_string(content)
    onnx.checker.check_model(after, full_check=True)
    assert before.graph.input[0].type == after.graph.input[0].type
    assert [v.name for v in after.graph.output] == ["embedding"]
    assert after.ir_version <= 10
    assert not after.metadata_props
    assert not after.graph.metadata_props


def test_all_layers_run_as_integers(quantiser, tmp_path):
    operators = fused(quantiser.quantise("minmax"), tmp_path)
    assert operators["QLinearConv"] == sum(layer.operator == "Conv" for layer in quantiser.layers)
    assert operators["QLinearAdd"] == 2  # the third sum feeds the mean, in float
    assert operators["Conv"] == operators["Clip"] == 0


def test_same_inputs_give_the_same_bytes(trained, quantiser):
    again = OnnxQuantiser(trained[0], list(trained[1]))
    for method in quantiser.methods:
        assert again.quantise(method) == quantiser.quantise(method)


def test_another_process_gives_the_same_bytes():
    made = hashlib.sha256(OnnxQuantiser(chain(), CALIBRATING).quantise("mse")).hexdigest()
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); import int8_graphs as g;"
        "from edge_imprint_export.onnx_format.quantise import OnnxQuantiser as Q;"
        "print(hashlib.sha256(Q(g.chain(), g.CALIBRATING).quantise('mse')).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1] / "support")],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert result.stdout.strip() == made
    assert result.stderr == ""


def test_kept_layers_keep_their_float_weights(trained, quantiser, tmp_path):
    """Onnxruntime rounds a float layer between integer tensors to int8 by itself unless the file prevents it."""
    content, _, judging = trained
    middle = [layer.name for layer in quantiser.layers if layer.operator == "Conv"][1:-1]
    kept = frozenset(middle[::2])
    made = quantiser.quantise("minmax", keep_float=kept)
    assert fused(made, tmp_path)["QLinearConv"] == sum(x.operator == "Conv" for x in quantiser.layers) - len(kept)
    difference = compare(run(made, judging), run(made, judging, optimise=False))
    whole = cosines(quantiser.quantise("minmax"), content, judging)["centred_mean"]
    assert 1 - difference["centred_mean"] < 0.2 * (1 - whole)
    assert cosines(made, content, judging)["centred_mean"] > 0.9 * whole


def test_no_layer_kept_in_int8_is_the_float_network(trained, quantiser):
    made = quantiser.quantise("minmax", keep_float=frozenset(layer.name for layer in quantiser.layers))
    np.testing.assert_allclose(run(made, trained[2]), run(trained[0], trained[2]), rtol=1e-3, atol=1e-4)
    assert b"QuantizeLinear" not in made


def test_only_one_layer_hurts_less_than_all(trained, quantiser):
    content, _, judging = trained
    whole = cosines(quantiser.quantise("minmax"), content, judging)["centred_mean"]
    for layer in quantiser.layers:
        made = quantiser.quantise("minmax", only=frozenset({layer.name}))
        assert b"DequantizeLinear" in made
        assert cosines(made, content, judging)["centred_mean"] > whole


def test_last_linear_layer_multiplies_in_float(quantiser, tmp_path):
    operators = fused(quantiser.quantise("minmax"), tmp_path)
    assert operators["Gemm"] + operators["FusedGemm"] == 1
    assert operators["QGemm"] == 0


def test_neighbouring_weights_never_overflow_sixteen_bits(quantiser):
    model = onnx.load_from_string(quantiser.quantise("mse"))
    checked = 0
    for tensor in model.graph.initializer:
        if not tensor.name.endswith("_weight_q"):
            continue
        weights = numpy_helper.to_array(tensor).astype(np.int64)
        if weights.ndim == 4 and weights.shape[1] == 1:
            continue
        rows = np.moveaxis(weights, 1, -1).reshape(len(weights), -1)
        for sign in (1, -1):
            pairs = np.maximum(sign * rows[:, :-1], 0) + np.maximum(sign * rows[:, 1:], 0)
            assert 255 * pairs.max() <= 2**15 - 1
        checked += 1
    assert checked >= 5


@pytest.mark.parametrize("edge", ["outlier", "zero channel", "zero layer", "tiny weights", "large bias", "dead"])
def test_unusual_weights_stay_sane(edge):
    weights = {}
    if edge == "outlier":
        weights["w1"] = normal(16, 8, 1, 1, scale=0.3)
        weights["w1"][3, 2] = 400.0
    elif edge == "zero channel":
        weights["w3"] = normal(12, 16, 3, 3, seed=4, scale=0.1)
        weights["w3"][5] = 0
        weights["w2"] = normal(16, 1, 3, 3, seed=2, scale=0.4)
        weights["w2"][[0, 9]] = 0
    elif edge == "zero layer":
        weights["w1"] = np.zeros((16, 8, 1, 1), np.float32)
    elif edge == "tiny weights":
        weights["w3"] = normal(12, 16, 3, 3, seed=4, scale=1e-20)
    elif edge == "large bias":
        weights["w3"] = normal(12, 16, 3, 3, seed=4, scale=1e-6)
        weights["b3"] = normal(12, seed=5, scale=1e3)
    else:
        weights["b1"] = np.full(16, -1e4, np.float32)
    content = chain(**weights)
    quantiser = OnnxQuantiser(content, CALIBRATING)
    for method in quantiser.methods:
        measured = cosines(quantiser.quantise(method), content)
        assert measured["minimum"] > 0.97, method


def test_activations_that_are_always_zero():
    content = chain(b1=np.full(16, -1e4, np.float32), b2=np.full(16, -1.0, np.float32))
    made = OnnxQuantiser(content, CALIBRATING).quantise("minmax")
    np.testing.assert_allclose(run(made, JUDGING), run(content, JUDGING), atol=0.02)


def test_nan_in_weights_is_refused_by_name():
    weights = normal(16, 8, 1, 1)
    weights[1, 1] = np.nan
    with pytest.raises(ExportError, match=r"'w1' of Conv 'first' holds NaN"):
        OnnxQuantiser(chain(w1=weights), CALIBRATING)


def test_activations_that_are_not_finite_are_refused_by_name():
    nodes = [node("Conv", ["x", "w"], ["c"], "only"), node("Log", ["c"], ["y"], "logarithm")]
    content = network(nodes, {"w": normal(4, 8, 1, 1)})
    with pytest.raises(ExportError, match=r"calibration picture 0 gives NaN or infinity in 'y' \(Log 'logarithm'\)"):
        OnnxQuantiser(content, CALIBRATING).quantise("minmax")


def test_what_cannot_be_quantised_is_refused():
    with pytest.raises(ExportError, match="must be an ONNX file"):
        OnnxQuantiser(b"no network", CALIBRATING)
    with pytest.raises(ExportError, match="needs layers with constant float32 weights"):
        OnnxQuantiser(network([node("Relu", ["x"], ["y"])], {}), CALIBRATING)
    with pytest.raises(ExportError, match="needs calibration pictures; got none"):
        OnnxQuantiser(chain(), [])
    made = OnnxQuantiser(chain(), CALIBRATING)
    with pytest.raises(ExportError, match="quantised already"):
        OnnxQuantiser(made.quantise("minmax"), CALIBRATING)
    with pytest.raises(ExportError, match="no layer is called 'fourth'"):
        made.quantise("minmax", keep_float=frozenset({"fourth"}))
    with pytest.raises(ExportError, match="no method is called 'guess'"):
        made.quantise("guess")
    with pytest.raises(ExportError, match=r"calibration inputs must be tensor\(float\) \[1, 8, 12, 12\]; got float32"):
        OnnxQuantiser(chain(), CALIBRATING[:, :, :, :5]).quantise("minmax")
    with pytest.raises(ExportError, match="operator set 13 or newer; this network has 11"):
        OnnxQuantiser(network([node("Conv", ["x", "w"], ["y"])], {"w": normal(4, 8, 1, 1)}, opset=11), CALIBRATING)


def test_calibration_is_read_one_by_one_and_twice():
    class Watched:
        reads = 0

        def __len__(self):
            return len(CALIBRATING)

        def __getitem__(self, i):
            self.reads += 1
            return CALIBRATING[i]

    watched = Watched()
    quantiser = OnnxQuantiser(chain(), watched)
    assert watched.reads == 0
    for method in quantiser.methods:
        quantiser.quantise(method)
    assert watched.reads <= 2 * len(CALIBRATING) + 8


@pytest.mark.slow
def test_default_backbone_meets_its_aim_on_other_photographs(shared_data):
    """Target: least cosine 0.995 and mean 0.999 on pictures that were not used for calibration."""
    import zipfile

    from PIL import Image

    import edge_imprint.backbones as backbones
    from edge_imprint.backbones import InputSpec, Preprocessor

    spec = InputSpec(80, 80, resize="shorter_side_then_centre_crop", resize_side=80)
    prepare = Preprocessor(spec, layout="nchw", dtype="float32")
    with zipfile.ZipFile(shared_data / "imagenet_samples_1000.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))[::2]
        photographs = []
        for name in names:
            with archive.open(name) as stream:
                photographs.append(Image.open(stream).convert("RGB"))
    values = prepare(photographs)
    content = (Path(backbones.__file__).parent / "default" / "backbone.onnx").read_bytes()
    made = OnnxQuantiser(content, values[::2, None]).quantise("mse")
    measured = cosines(made, content, values[1::2])
    assert measured["mean"] >= 0.999
    assert measured["minimum"] >= 0.995
