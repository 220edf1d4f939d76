"""Rewrites that must not change what a graph computes: batch norms, pools, masks and sums that do nothing."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from onnx import helper  # noqa: E402
from onnx_graphs import W, graph, ints, normal, run  # noqa: E402

from edge_imprint_export.onnx_format.fusion import simplify  # noqa: E402


def n(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs.split(), [output], output, **attributes)


NORM = {"s": normal(4), "b": normal(4), "m": normal(4), "v": np.abs(normal(4)) + 0.1}
SCORES = [n("Reshape", "x rows", "r"), n("Transpose", "r", "t", perm=[0, 2, 1]), n("MatMul", "r t", "k")]
ROWS = {"rows": ints(0, 6, -1), "zero": np.float32(0), "one": np.float32(1)}
MASK = {**ROWS, "yes": np.ones((1, 1, 1), bool), "low": np.float32(-np.inf), "full": ints(1, 6, 6)}

# name: (nodes, weights, operators afterwards)
CASES = {
    "batch norm after a convolution": (
        [n("Conv", "x w", "c"), n("BatchNormalization", "c s b m v", "y")], {"w": W, **NORM}, ["Conv"],
    ),
    "batch norm after a convolution that something else reads": (
        [n("Conv", "x w", "c"), n("BatchNormalization", "c s b m v", "d"), n("Add", "c d", "y")], {"w": W, **NORM},
        ["Conv", "BatchNormalization", "Add"],
    ),
    "a mean over the map": ([n("ReduceMean", "x", "y", axes=[2, 3])], {}, ["GlobalAveragePool"]),
    "a mean over the map, axes dropped": (
        [n("ReduceMean", "x", "y", axes=[-1, -2], keepdims=0)], {}, ["GlobalAveragePool", "Flatten"],
    ),
    "a mean over channels": ([n("ReduceMean", "x", "y", axes=[1])], {}, ["ReduceMean"]),
    "sum with nothing": ([*SCORES, n("Add", "k zero", "a"), n("Relu", "a", "y")], ROWS,
                         ["Reshape", "Transpose", "MatMul", "Relu"]),
    "product with one": ([*SCORES, n("Mul", "one k", "a"), n("Relu", "a", "y")], ROWS,
                         ["Reshape", "Transpose", "MatMul", "Relu"]),
    "a sum with nothing that makes more of it": (
        [n("ReduceMean", "x", "r", axes=[1]), n("Add", "r wide", "a"), n("Relu", "a", "y")],
        {"wide": np.zeros((1, 5, 1, 1), np.float32)}, ["ReduceMean", "Add", "Relu"],
    ),
    "a mask that hides nothing, and the guard of the softmax": (
        [*SCORES, n("Expand", "yes full", "e"), n("Where", "e zero low", "f"), n("Add", "k f", "a"),
         n("Softmax", "a", "p"), n("IsNaN", "p", "i"), n("Where", "i zero p", "g"), n("MatMul", "g r", "y")],
        MASK, ["Reshape", "Transpose", "MatMul", "Softmax", "MatMul"],
    ),
    "a mask that hides something keeps its guard": (
        [*SCORES, n("Where", "some zero low", "f"), n("Add", "k f", "a"),
         n("Softmax", "a", "p"), n("IsNaN", "p", "i"), n("Where", "i zero p", "g"), n("MatMul", "g r", "y")],
        {**MASK, "some": np.tril(np.ones((6, 6), bool), -1)},
        ["Reshape", "Transpose", "MatMul", "Where", "Add", "Softmax", "IsNaN", "Where", "MatMul"],
    ),
    "lengths that are known": (
        [n("Shape", "x", "s"), n("Gather", "s two", "h"), n("Unsqueeze", "h first", "u"),
         n("Concat", "u minus", "t", axis=0), n("Reshape", "x t", "y")],
        {"two": np.int64(2), "first": ints(0), "minus": ints(-1)}, ["Reshape"],
    ),
    "a length on its own axis": (
        [n("Shape", "x", "s"), n("Slice", "s one two", "c"), n("Unsqueeze", "c first", "u"),
         n("Cast", "u", "f", to=1), n("Mul", "x f", "y")],
        {"one": ints(1), "two": ints(2), "first": ints(0)}, ["Unsqueeze", "Cast", "Mul"],
    ),
    "lengths with the open batch": (
        [n("Shape", "x", "s"), n("Slice", "s first one", "b"), n("Concat", "b minus", "t", axis=0),
         n("Reshape", "x t", "y")],
        {"first": ints(0), "one": ints(1), "minus": ints(-1)}, ["Shape", "Slice", "Concat", "Reshape"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_rewrite_keeps_the_result(case):
    nodes, weights, after = CASES[case]
    content = graph(nodes, ["N", 6, 9, 8], weights, 13)
    x = normal(2, 6, 9, 8, seed=4)
    expected = run(content, x)
    model = onnx.load_model_from_string(content)
    simplify(model)
    assert [node.op_type for node in model.graph.node] == after
    got = run(model.SerializeToString(), x)
    assert got.shape == expected.shape
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    read = {name for node in model.graph.node for name in node.input}
    assert {weight.name for weight in model.graph.initializer} <= read
