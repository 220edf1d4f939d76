"""Operators that compute number by number or move numbers about, in torch and in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from onnx import helper, numpy_helper
from onnx_graphs import FLOAT, INT64, MAP, ROW, compare, graph, ints, node, normal

# name: (nodes, shape of x, weights, opset)
CASES = {
    **{
        name.lower(): (node(name, ["x"]), MAP, {}, 18)
        for name in (
            "Relu", "Exp", "Neg", "Abs", "Erf", "Tanh", "Sigmoid", "HardSwish", "Softplus", "Softsign", "Mish", "Floor",
            "Ceil", "Round", "Sign", "Sin", "Cos", "Identity", "LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu",
            "HardSigmoid", "Flatten", "Transpose", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean",
        )
    },
    "sqrt of abs": ([helper.make_node("Abs", ["x"], ["a"]), node("Sqrt", ["a"])], MAP, {}, 13),
    "log of abs": ([helper.make_node("Abs", ["x"], ["a"]), node("Log", ["a"])], MAP, {}, 13),
    "reciprocal": ([helper.make_node("Exp", ["x"], ["a"]), node("Reciprocal", ["a"])], MAP, {}, 13),
    **{
        f"{name.lower()} with a channel's constant": (node(name, ["x", "c"]), MAP, {"c": normal(6, 1, 1) + 3}, 13)
        for name in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Mean", "Sum")
    },
    "constant before": (node("Sub", ["c", "x"]), MAP, {"c": normal(8)}, 13),
    "fmod": (node("Mod", ["x", "c"], fmod=1), MAP, {"c": np.float32(0.7)}, 13),
    "square": (node("Pow", ["x", "c"]), MAP, {"c": np.float32(2)}, 13),
    "cube, integer exponent": (node("Pow", ["x", "c"]), MAP, {"c": np.int64(3)}, 13),
    "pow of a vector": (node("Pow", ["x", "c"]), ROW, {"c": np.arange(12).astype(np.float32) % 3}, 13),
    "leaky": (node("LeakyRelu", ["x"], alpha=0.3), MAP, {}, 13),
    "prelu by channel": (node("PRelu", ["x", "c"]), MAP, {"c": normal(6, 1, 1)}, 13),
    "prelu single": (node("PRelu", ["x", "c"]), MAP, {"c": normal(1)}, 13),
    "prelu by place": (node("PRelu", ["x", "c"]), MAP, {"c": normal(6, 9, 8)}, 13),
    "hard sigmoid of torch": (node("HardSigmoid", ["x"], alpha=1 / 6, beta=0.5), MAP, {}, 13),
    "clip to 6": (node("Clip", ["x", "a", "b"]), MAP, {"a": np.float32(0), "b": np.float32(6)}, 13),
    "clip below only": (node("Clip", ["x", "a"]), MAP, {"a": np.float32(-0.2)}, 13),
    "clip above only": (node("Clip", ["x", "", "a"]), MAP, {"a": np.float32(0.2)}, 13),
    "clip by attributes": (node("Clip", ["x"], min=-0.5, max=0.4), MAP, {}, 7),
    "clip without limits": (node("Clip", ["x"]), MAP, {}, 7),
    "gelu": (node("Gelu", ["x"]), MAP, {}, 20),
    "gelu by tanh": (node("Gelu", ["x"], approximate="tanh"), MAP, {}, 20),
    "where less": (
        [helper.make_node("Less", ["x", "c"], ["m"]), node("Where", ["m", "x", "c"])], MAP, {"c": np.float32(0.3)}, 13,
    ),
    "logic": (
        [
            helper.make_node("Greater", ["x", "c"], ["a"]), helper.make_node("LessOrEqual", ["x", "d"], ["b"]),
            helper.make_node("And", ["a", "b"], ["e"]), helper.make_node("Not", ["e"], ["f"]),
            node("Cast", ["f"], to=FLOAT),
        ], MAP, {"c": np.float32(-0.3), "d": np.float32(0.5)}, 13,
    ),
    "equal": (
        [helper.make_node("Round", ["x"], ["r"]), helper.make_node("Equal", ["r", "c"], ["e"]),
         node("Cast", ["e"], to=FLOAT)], MAP, {"c": np.float32(1)}, 13,
    ),
    "cast to integers and back": (
        [helper.make_node("Cast", ["x"], ["i"], to=INT64), node("Cast", ["i"], to=FLOAT)], MAP, {}, 13,
    ),
    "integer division": (
        [helper.make_node("Mul", ["x", "h"], ["b"]), helper.make_node("Cast", ["b"], ["i"], to=INT64),
         helper.make_node("Div", ["i", "c"], ["d"]), node("Cast", ["d"], to=FLOAT)], MAP,
        {"h": np.float32(10), "c": np.int64(3)}, 13,
    ),
    "dropout": (node("Dropout", ["x"]), MAP, {}, 13),
    "reshape": (node("Reshape", ["x", "s"]), MAP, {"s": ints(0, 2, 3, -1)}, 13),
    "flatten at 2": (node("Flatten", ["x"], axis=2), MAP, {}, 13),
    "flatten at 0": (node("Flatten", ["x"], axis=0), MAP, {}, 13),
    "transpose": (node("Transpose", ["x"], perm=[0, 2, 3, 1]), MAP, {}, 13),
    "squeeze, old": (node("Squeeze", ["x"], axes=[1, 3]), (2, 1, 4, 1), {}, 11),
    "squeeze": (node("Squeeze", ["x", "a"]), (2, 1, 4, 1), {"a": ints(-1)}, 13),
    "squeeze all": (node("Squeeze", ["x"]), (2, 1, 4, 1), {}, 13),
    "unsqueeze, old": (node("Unsqueeze", ["x"], axes=[0, 3]), (2, 4), {}, 11),
    "unsqueeze": (node("Unsqueeze", ["x", "a"]), (2, 4), {"a": ints(-1, 1)}, 13),
    "concat": (node("Concat", ["x", "c", "x"], axis=1), MAP, {"c": normal(2, 1, 9, 8)}, 13),
    "split, old": (
        [helper.make_node("Split", ["x"], ["a", "b"], axis=1, split=[2, 4]), node("Concat", ["b", "a"], axis=1)],
        MAP, {}, 11,
    ),
    "split": (
        [helper.make_node("Split", ["x", "s"], ["a", "b"], axis=1), node("Concat", ["b", "a"], axis=1)],
        MAP, {"s": ints(1, 5)}, 13,
    ),
    "split in even parts": (
        [helper.make_node("Split", ["x"], ["a", "b", "c"], axis=1), node("Concat", ["c", "a", "b"], axis=1)],
        MAP, {}, 13,
    ),
    "split by number": (
        [helper.make_node("Split", ["x"], ["a", "b"], axis=2, num_outputs=2), node("Concat", ["b", "a"], axis=2)],
        MAP, {}, 18,
    ),
    "slice, old": (node("Slice", ["x"], starts=[1, 0], ends=[4, -1], axes=[1, 2]), MAP, {}, 9),
    "slice": (
        node("Slice", ["x", "s", "e", "a", "t"]), MAP,
        {"s": ints(0, 1), "e": ints(2**63 - 1, -1), "a": ints(2, -1), "t": ints(2, 1)}, 13,
    ),
    "slice backwards": (
        node("Slice", ["x", "s", "e", "a", "t"]), MAP,
        {"s": ints(-1), "e": ints(-(2**63)), "a": ints(1), "t": ints(-1)}, 13,
    ),
    "gather one": (node("Gather", ["x", "i"], axis=1), MAP, {"i": np.int64(-2)}, 13),
    "gather some": (node("Gather", ["x", "i"], axis=2), MAP, {"i": ints(3, -1, 0)}, 13),
    "gather a table": (node("Gather", ["x", "i"], axis=1), MAP, {"i": np.array([[0, 5], [2, 2]])}, 13),
    "expand": (node("Expand", ["x", "s"]), (2, 1, 4), {"s": ints(3, 1, 5, 1)}, 13),
    "tile": (node("Tile", ["x", "s"]), ROW, {"s": ints(1, 3)}, 13),
    "pad": (node("Pad", ["x", "p", "v"]), MAP, {"p": ints(0, 1, 2, 0, 0, 0, 1, 3), "v": np.float32(0.5)}, 13),
    "pad, old": (node("Pad", ["x"], pads=[0, 0, 1, 1, 0, 0, 0, 2], value=2.0), MAP, {}, 9),
    "pad, crop": (node("Pad", ["x", "p"]), MAP, {"p": ints(0, 0, -1, 1, 0, 0, 2, -2)}, 13),
    "pad, reflect": (node("Pad", ["x", "p"], mode="reflect"), MAP, {"p": ints(0, 0, 1, 2, 0, 0, 3, 1)}, 13),
    "pad, edge": (node("Pad", ["x", "p"], mode="edge"), MAP, {"p": ints(0, 0, 1, 2, 0, 0, 3, 1)}, 13),
    "pad, axes": (node("Pad", ["x", "p", "", "a"]), MAP, {"p": ints(1, 2, 3, 0), "a": ints(-1, 2)}, 18),
    "depth to space": (node("DepthToSpace", ["x"], blocksize=2), (2, 12, 3, 4), {}, 13),
    "depth to space, crd": (node("DepthToSpace", ["x"], blocksize=2, mode="CRD"), (2, 12, 3, 4), {}, 13),
    "space to depth": (node("SpaceToDepth", ["x"], blocksize=2), (2, 3, 4, 6), {}, 13),
    "triangle": (node("Trilu", ["x", "k"], upper=0), MAP, {"k": np.int64(1)}, 14),
    "quantise and back": (
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"])], MAP,
        {"s": np.float32(0.02), "z": np.uint8(120)}, 13,
    ),
    "weights by channel": (
        [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["r"], axis=0), node("Conv", ["x", "r"])], MAP,
        {"w": np.random.default_rng(0).integers(-127, 127, (4, 6, 3, 3)).astype(np.int8),
         "s": np.abs(normal(4)), "z": np.zeros(4, np.int8)}, 13,
    ),
    "shape arithmetic": (
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["n"]),
         helper.make_node("Unsqueeze", ["n", "first"], ["m"]), helper.make_node("Concat", ["m", "rest"], ["t"], axis=0),
         node("Reshape", ["x", "t"])],
        MAP, {"zero": np.int64(0), "first": ints(0), "rest": ints(-1, 72)}, 13,
    ),
    "expand as torch writes it": (
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Slice", ["s", "a", "b"], ["n"]),
         helper.make_node("Concat", ["n", "rest"], ["t"], axis=0), helper.make_node("Shape", ["t"], ["k"]),
         helper.make_node("ConstantOfShape", ["k"], ["o"], value=numpy_helper.from_array(ints(1))),
         helper.make_node("Mul", ["o", "minus"], ["m"]), helper.make_node("Equal", ["t", "m"], ["e"]),
         helper.make_node("Where", ["e", "o", "t"], ["u"]), helper.make_node("Expand", ["token", "u"], ["v"]),
         node("Concat", ["v", "x"], axis=1)],
        (2, 5, 8), {"a": ints(0), "b": ints(1), "rest": ints(-1, -1), "minus": np.int64(-1), "token": normal(1, 1, 8)},
        13,
    ),
    "scale by a length": (
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "i"], ["n"]),
         helper.make_node("Cast", ["n"], ["f"], to=FLOAT), helper.make_node("Sqrt", ["f"], ["r"]),
         node("Div", ["x", "r"])],
        MAP, {"i": np.int64(3)}, 13,
    ),
    "constants are folded": (
        [helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0]),
         helper.make_node("Concat", ["c", "c"], ["d"], axis=0), node("Add", ["x", "d"])],
        (3, 4), {}, 13,
    ),
    "range of positions": (
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "i"], ["n"]),
         helper.make_node("Range", ["zero", "n", "one"], ["r"]), helper.make_node("Gather", ["table", "r"], ["p"]),
         node("Add", ["x", "p"])],
        (2, 5, 8), {"i": np.int64(1), "zero": np.int64(0), "one": np.int64(1), "table": normal(9, 8)}, 13,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_operator_computes_what_onnxruntime_computes(case):
    nodes, shape, weights, opset = CASES[case]
    compare(graph(nodes, list(shape), weights, opset), normal(*shape, seed=2))
