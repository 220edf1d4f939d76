"""A real bundle made here: convolution, ReLU, global average pool, with seeded weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_imprint.backbones import (
    BaseStatistics,
    InputSpec,
    Manifest,
    StatisticsSpec,
    file_spec,
    write_bundle,
)

DIM, SIDE = 16, 32


def onnx_network(
    seed: int = 0,
    *,
    dtype: str = "float32",
    layout: str = "nchw",
    pooled: bool = True,
    side: int | str = SIDE,
    channels: int = 3,
    batch: int | str = 1,
    second_output: bool = False,
) -> bytes:
    """An ONNX file with the input `image` and the output `embedding` of width DIM."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install edge-imprint[test]")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(DIM, channels, 5, 5)).astype(np.float32) / 8
    nodes, value = [], "image"
    if dtype != "float32":
        nodes.append(helper.make_node("Cast", [value], ["cast"], to=TensorProto.FLOAT))
        value = "cast"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [value], ["turned"], perm=[0, 3, 1, 2]))
        value = "turned"
    nodes.append(helper.make_node("Conv", [value, "weights"], ["map"], strides=[4, 4]))
    nodes.append(helper.make_node("Relu", ["map"], ["embedding" if not pooled else "relu"]))
    if pooled:
        nodes.append(helper.make_node("GlobalAveragePool", ["relu"], ["pool"]))
        nodes.append(helper.make_node("Flatten", ["pool"], ["embedding"]))
    kind = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8}[dtype]
    shape = [batch, channels, side, side] if layout == "nchw" else [batch, side, side, channels]
    # The length of `embedding`'s axes is left open, as exporters do with a dynamic batch.
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [None] * (2 if pooled else 4))]
    if second_output:
        outputs.append(helper.make_tensor_value_info("relu", TensorProto.FLOAT, [None] * 4))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", kind, shape)],
        outputs,
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def make_network() -> Callable[..., bytes]:
    return onnx_network


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle folder and returns it."""

    def make(name: str = "bundle", *, seed: int = 0, title: str = "tiny", statistics: bool = True) -> Path:
        # The second file stands for an int8 one: other bytes, the same input.
        contents = {"backbone.onnx": onnx_network(seed), "backbone.int8.onnx": onnx_network(seed + 100)}
        files = tuple(
            file_spec(
                file,
                content,
                format="onnx",
                precision="int8" if "int8" in file else "float32",
                layout="nchw",
                dtype="float32",
                embedding="embedding",
            )
            for file, content in contents.items()
        )
        base = None
        if statistics:
            moments = BaseStatistics(np.zeros(DIM, np.float32), np.eye(DIM, dtype=np.float32) / DIM, 100)
            contents["base_statistics.npz"] = moments.to_npz()
            spec = file_spec(
                "base_statistics.npz",
                contents["base_statistics.npz"],
                format="onnx",
                precision="float32",
                layout="nchw",
                dtype="float32",
                embedding="x",
            )
            base = StatisticsSpec("base_statistics.npz", spec.sha256)
        manifest = Manifest(title, "Apache-2.0", "a test", DIM, InputSpec(SIDE, SIDE), files, base)
        folder = tmp_path / name
        write_bundle(folder, manifest, contents)
        return folder

    return make
