"""Small ONNX networks to quantise, and what onnxruntime makes of the files; import it after `importorskip("onnx")`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from edge_imprint_export.int8.agreement import compare

FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
node = helper.make_node


def network(nodes, weights, shape=(1, 8, 12, 12), *, kind=FLOAT, opset=18):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", kind, shape)],
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    inferred = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    )
    return inferred.SerializeToString()


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def run(content, values, *, optimise=True, threads=1):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: value[None]})[0].reshape(1, -1) for value in values])


def fused(content, tmp_path):
    """Operators of the graph that onnxruntime really runs."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Counter(n.op_type for n in onnx.load(tmp_path / "fused.onnx").graph.node)


def chain(**weights):
    """Conv, Relu, depthwise Conv, Relu, Conv, mean, Gemm: (1, 8, 12, 12) to (1, 5)."""
    own = {
        "w1": normal(16, 8, 1, 1, scale=0.3), "b1": normal(16, seed=1, scale=0.1),
        "w2": normal(16, 1, 3, 3, seed=2, scale=0.4), "b2": normal(16, seed=3, scale=0.1),
        "w3": normal(12, 16, 3, 3, seed=4, scale=0.1), "b3": normal(12, seed=5, scale=0.1),
        "w4": normal(5, 12, seed=6, scale=0.3), "b4": normal(5, seed=7, scale=0.1),
        "axes": np.array([2, 3], np.int64), **weights,
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "first"),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"], "second", group=16, pads=[1, 1, 1, 1]),
        node("Relu", ["c2"], ["r2"]),
        node("Conv", ["r2", "w3", "b3"], ["c3"], "third", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("ReduceMean", ["c3", "axes"], ["m"], keepdims=0),
        node("Gemm", ["m", "w4", "b4"], ["y"], "last", transB=1),
    ]
    return network(nodes, own)


CALIBRATING = normal(24, 1, 8, 12, 12, seed=20)
JUDGING = normal(24, 8, 12, 12, seed=21)


def cosines(quantised, content, values=JUDGING):
    return compare(run(quantised, values), run(content, values))
