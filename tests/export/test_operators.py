"""Operators of a file, and which targets lack them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_imprint.errors import BundleError
from edge_imprint_export.operators import onnx_operators, support, targets, tflite_operators


def test_the_operators_of_the_public_files(shared_data: Path) -> None:
    pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install 'edge-imprint[export]'")

    def lacking(name: str) -> dict[str, list[str]]:
        return support("tflite", tflite_operators((shared_data / "backbones" / f"{name}.tflite").read_bytes()))

    content = (shared_data / "backbones" / "vww_96_int8.tflite").read_bytes()
    assert tflite_operators(content) == [
        ("CONV_2D int8", 14), ("DEPTHWISE_CONV_2D int8", 13), ("AVERAGE_POOL_2D int8", 1),
        ("FULLY_CONNECTED int8", 1), ("RESHAPE int8", 1), ("SOFTMAX int8", 1),
    ]  # fmt: skip
    # Run under TFLite Micro's own interpreter: the int8 files work there, the old-style uint8 one does not.
    for name in ("vww_96_int8", "kws_ref_model", "pretrainedResnet_quant", "tf2_mobilenet_v2_1.0_224_ptq"):
        assert lacking(name)["TFLite Micro"] == []
        assert lacking(name)["tflite-runtime 2.14"] == []
    assert "CONV_2D uint8" in lacking("mobilenet_v1_0.25_128_quant")["TFLite Micro"]
    assert lacking("mobilenet_v1_0.25_128_quant")["tflite-runtime 2.14"] == []
    with pytest.raises(BundleError):
        tflite_operators(content[:1000])


def quantised(zero_point: np.ndarray | None) -> bytes:
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install edge-imprint[test]")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    values = {"scale": np.float32(0.1)} | ({} if zero_point is None else {"zero": zero_point})
    inputs = ["x", "scale", *(["zero"] if zero_point is not None else [])]
    nodes = [
        helper.make_node("QuantizeLinear", inputs, ["q"]),
        helper.make_node("DequantizeLinear", ["q", *inputs[1:]], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
        helper.make_node("FusedGelu", ["y"], ["z"], domain="com.example"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [1, 4])],
        [helper.make_tensor_value_info("z", kind, [1, 4])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize(
    ("zero_point", "stored", "on_tensorrt"),
    [
        (np.int8(0), "int8", True),
        (np.int8(3), "int8 with zero point", False),
        (np.uint8(0), "uint8", False),
        (np.uint8(128), "uint8 with zero point", False),
        (None, "uint8", False),
    ],
)
def test_tensorrt_takes_int8_without_zero_points_alone(
    zero_point: np.ndarray | None, stored: str, on_tensorrt: bool
) -> None:
    operators = onnx_operators(quantised(zero_point))
    assert (f"QuantizeLinear {stored}", 1) in operators
    lacking = support("onnx", operators)
    assert lacking["TensorRT (Jetson GPU)"] == sorted(
        ["com.example:FusedGelu", *([] if on_tensorrt else [f"QuantizeLinear {stored}", f"DequantizeLinear {stored}"])]
    )
    assert f"QuantizeLinear {stored}" in lacking["Jetson DLA"]  # it has its own calibration
    assert "Relu" not in lacking["Jetson DLA"]


def test_a_damaged_onnx_file_is_refused() -> None:
    with pytest.raises(BundleError, match="an ONNX file must be whole"):
        onnx_operators(b"\xff" * 100)


def test_every_table_names_its_source_and_a_version() -> None:
    for format in ("onnx", "tflite"):
        for target in targets(format):
            assert any(character.isdigit() for character in target.source), target
            assert target.note.endswith(".")
    assert support("tflite", [("NO_SUCH float32", 1), ("SHAPE int32", 1)]) == {
        "TFLite Micro": ["NO_SUCH float32"],
        "tflite-runtime 2.14": ["NO_SUCH float32"],
        "XNNPACK": ["NO_SUCH float32", "SHAPE int32"],
        "LiteRT GPU delegate": ["NO_SUCH float32", "SHAPE int32"],
    }
