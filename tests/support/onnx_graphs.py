"""Small ONNX graphs, and what onnxruntime makes of them; import it after `pytest.importorskip("onnx")`."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper

from edge_imprint_export.onnx_format.to_torch import onnx_to_torch

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def node(operator, inputs, outputs=1, **attributes):
    names = ["y"] if outputs == 1 else ["y", *(f"y{i}" for i in range(1, outputs))]
    return helper.make_node(operator, inputs, names, "node_under_test", **attributes)


def graph(nodes, shape, weights=None, opset=17, output="y"):
    nodes = nodes if isinstance(nodes, list) else [nodes]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "g",
        [value("x", FLOAT, shape)],
        [helper.make_empty_tensor_value_info(output)],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
    )
    # Runtimes here read old operator sets too; the file's format only has to know them.
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model.SerializeToString()


def run(content, x):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def compare(content, x, tolerance=1e-5):
    expected = run(content, x)
    with torch.no_grad():
        got = onnx_to_torch(content)(torch.from_numpy(x)).numpy()
    assert got.shape == expected.shape
    scale = max(1e-6, float(np.abs(expected.astype(float)).max()))
    assert np.abs(got.astype(float) - expected.astype(float)).max() <= tolerance * scale


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


MAP, ROW = (2, 6, 9, 8), (2, 12)
W = normal(4, 6, 3, 3, seed=1)
