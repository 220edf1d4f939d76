"""Convolutions, pools, products, norms, reductions and resizing, in torch and in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from onnx import helper
from onnx_graphs import MAP, ROW, W, compare, graph, ints, node, normal

# name: (nodes, shape of x, weights, opset)
CASES = {
    "conv": (node("Conv", ["x", "w", "b"], pads=[1, 1, 1, 1], strides=[2, 1]), MAP, {"w": W, "b": normal(4)}, 13),
    "conv, uneven pads": (node("Conv", ["x", "w"], pads=[0, 1, 2, 0], strides=[2, 2]), MAP, {"w": W}, 13),
    "conv, same upper": (node("Conv", ["x", "w"], auto_pad="SAME_UPPER", strides=[2, 2]), MAP, {"w": W}, 13),
    "conv, same lower": (node("Conv", ["x", "w"], auto_pad="SAME_LOWER", strides=[2, 3]), MAP, {"w": W}, 13),
    "conv, valid": (node("Conv", ["x", "w"], auto_pad="VALID"), MAP, {"w": W}, 13),
    "conv, dilated": (node("Conv", ["x", "w"], dilations=[2, 2], pads=[2, 2, 2, 2]), MAP, {"w": W}, 13),
    "conv, groups": (node("Conv", ["x", "w"], group=3), MAP, {"w": normal(6, 2, 3, 3)}, 13),
    "conv, depthwise": (node("Conv", ["x", "w"], group=6, pads=[1, 1, 1, 1]), MAP, {"w": normal(6, 1, 3, 3)}, 13),
    "conv 1d": (node("Conv", ["x", "w"], pads=[1, 1]), (2, 6, 9), {"w": normal(4, 6, 3)}, 13),
    "conv transpose": (
        node("ConvTranspose", ["x", "w", "b"], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]), MAP,
        {"w": normal(6, 4, 3, 3), "b": normal(4)}, 13,
    ),
    "conv transpose, uneven": (
        node("ConvTranspose", ["x", "w", "b"], strides=[2, 2], pads=[0, 1, 1, 0]), MAP,
        {"w": normal(6, 4, 3, 3), "b": normal(4)}, 13,
    ),
    "conv transpose, same": (
        node("ConvTranspose", ["x", "w"], strides=[2, 2], auto_pad="SAME_UPPER"), MAP, {"w": normal(6, 4, 3, 3)}, 13,
    ),
    "conv transpose, shape": (
        node("ConvTranspose", ["x", "w"], strides=[2, 2], output_shape=[18, 17]), MAP, {"w": normal(6, 4, 3, 3)}, 13,
    ),
    "conv transpose, groups": (
        node("ConvTranspose", ["x", "w"], group=2, dilations=[2, 1]), MAP, {"w": normal(6, 2, 3, 3)}, 13,
    ),
    "gemm": (node("Gemm", ["x", "w", "b"]), ROW, {"w": normal(12, 5), "b": normal(5)}, 13),
    "gemm, scaled": (
        node("Gemm", ["x", "w", "b"], transB=1, alpha=0.5, beta=2.0), ROW, {"w": normal(5, 12), "b": normal(1)}, 13,
    ),
    "gemm, transposed": (node("Gemm", ["x", "w"], transA=1), ROW, {"w": normal(2, 5)}, 13),
    "gemm, two variables": (node("Gemm", ["x", "x"], transB=1), ROW, {}, 13),
    "matmul and bias": (
        [helper.make_node("MatMul", ["x", "w"], ["m"]), node("Add", ["b", "m"])], (2, 7, 12),
        {"w": normal(12, 5), "b": normal(5)}, 13,
    ),
    "matmul, batched": (node("MatMul", ["x", "w"]), MAP, {"w": normal(6, 8, 5)}, 13),
    "matmul, vector": (node("MatMul", ["x", "w"]), ROW, {"w": normal(12)}, 13),
    "einsum": (node("Einsum", ["x", "w"], equation="nchw,cd->ndhw"), MAP, {"w": normal(6, 3)}, 13),
    "batch norm after add": (
        [helper.make_node("Add", ["x", "x"], ["a"]),
         node("BatchNormalization", ["a", "s", "b", "m", "v"], epsilon=1e-3)], MAP,
        {"s": normal(6), "b": normal(6), "m": normal(6), "v": np.abs(normal(6)) + 0.1}, 15,
    ),
    "batch norm after conv": (
        [helper.make_node("Conv", ["x", "w", "c"], ["a"]), node("BatchNormalization", ["a", "s", "b", "m", "v"])], MAP,
        {"w": W, "c": normal(4), "s": normal(4), "b": normal(4), "m": normal(4), "v": np.abs(normal(4)) + 0.1}, 9,
    ),
    "instance norm": (node("InstanceNormalization", ["x", "s", "b"]), MAP, {"s": normal(6), "b": normal(6)}, 13),
    "layer norm": (node("LayerNormalization", ["x", "s", "b"]), MAP, {"s": normal(8), "b": normal(8)}, 17),
    "layer norm over three": (
        node("LayerNormalization", ["x", "s"], axis=1, epsilon=0.1), MAP, {"s": normal(6, 9, 8)}, 17,
    ),
    "group norm": (
        node("GroupNormalization", ["x", "s", "b"], num_groups=3), MAP, {"s": normal(6), "b": normal(6)}, 21,
    ),
    "group norm, old": (
        node("GroupNormalization", ["x", "s", "b"], num_groups=3), MAP, {"s": normal(3), "b": normal(3)}, 18,
    ),
    "lp norm": (node("LpNormalization", ["x"], axis=1), MAP, {}, 13),
    "lp norm of 1": (node("LpNormalization", ["x"], axis=-1, p=1), MAP, {}, 13),
    "local response": (node("LRN", ["x"], size=3, alpha=0.02, beta=0.6, bias=1.5), MAP, {}, 13),
    "softmax": (node("Softmax", ["x"], axis=1), MAP, {}, 13),
    "softmax, old": (node("Softmax", ["x"], axis=2), MAP, {}, 11),
    "softmax, old default": (node("Softmax", ["x"]), MAP, {}, 9),
    "log softmax": (node("LogSoftmax", ["x"]), MAP, {}, 13),
    "global pool 1d": (node("GlobalAveragePool", ["x"]), (2, 6, 9), {}, 13),
    "average pool": (node("AveragePool", ["x"], kernel_shape=[3, 2], strides=[2, 2]), MAP, {}, 13),
    "average pool, all": (node("AveragePool", ["x"], kernel_shape=[9, 8]), MAP, {}, 13),
    "average pool, padded": (
        node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), MAP, {}, 13,
    ),
    "average pool, padding counted": (
        node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1),
        MAP, {}, 13,
    ),
    "average pool, rounded up": (
        node("AveragePool", ["x"], kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1), MAP, {}, 19,
    ),
    "average pool, rounded up and padded": (
        node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[2, 3], pads=[1, 1, 1, 1], ceil_mode=1), MAP, {}, 19,
    ),
    "average pool, rounded up, padding counted": (
        node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 1, 1], ceil_mode=1,
             count_include_pad=1), (1, 2, 6, 8), {}, 19,
    ),
    "average pool, same": (
        node("AveragePool", ["x"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"), MAP, {}, 13,
    ),
    "max pool": (node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), MAP, {}, 13),
    "max pool, uneven": (node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]), MAP, {}, 13),
    "max pool, rounded up": (node("MaxPool", ["x"], kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1), MAP, {}, 13),
    "max pool, uneven and rounded up": (
        node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 0], ceil_mode=1), MAP, {}, 13,
    ),
    "max pool, dilated": (node("MaxPool", ["x"], kernel_shape=[2, 2], dilations=[2, 3]), MAP, {}, 13),
    "max pool, same": (
        node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"), MAP, {}, 13,
    ),
    **{
        f"{name} over {axes}, keep {keep}": (node(name, ["x"], axes=axes, keepdims=keep), MAP, {}, 12)
        for name in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd")
        for axes, keep in (([2, 3], 0), ([-1], 1))
    },
    "mean of the map, kept": (node("ReduceMean", ["x"], axes=[-2, -1]), MAP, {}, 13),
    "mean, axes as input": (node("ReduceMean", ["x", "a"], keepdims=0), MAP, {"a": ints(1, 2)}, 18),
    "sum, no axes": (node("ReduceSum", ["x"], noop_with_empty_axes=1), MAP, {}, 13),
    "sum of squares": (node("ReduceSumSquare", ["x"], axes=[1]), MAP, {}, 13),
    "log sum exp": (node("ReduceLogSumExp", ["x"], axes=[1], keepdims=0), MAP, {}, 13),
    "argmax": (node("ArgMax", ["x"], axis=1, keepdims=0), MAP, {}, 13),
    "cumulative sum": (node("CumSum", ["x", "a"]), MAP, {"a": np.int64(1)}, 13),
    "upsample": (node("Upsample", ["x", "s"], mode="nearest"), MAP, {"s": np.float32([1, 1, 2, 3])}, 9),
    "upsample, linear": (node("Upsample", ["x", "s"], mode="linear"), MAP, {"s": np.float32([1, 1, 2, 2])}, 9),
    "resize of 10": (node("Resize", ["x", "s"], mode="linear"), MAP, {"s": np.float32([1, 1, 2, 2])}, 10),
}  # fmt: skip

for mode in ("nearest", "linear", "cubic"):
    for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        for how, given in (
            ("sizes", {"sizes": ints(2, 6, 13, 5)}),
            ("scales", {"scales": np.float32([1, 1, 2, 1.6])}),
        ):
            inputs = ["x", "", "", "sizes"] if how == "sizes" else ["x", "", "scales"]
            for rounding in ("floor", "round_prefer_floor", "round_prefer_ceil", "ceil")[
                : 4 if mode == "nearest" else 1
            ]:
                CASES[f"resize {mode} {coordinates} {how} {rounding}"] = (
                    node(
                        "Resize", inputs, mode=mode, coordinate_transformation_mode=coordinates,
                        nearest_mode=rounding,
                    ),
                    MAP, given, 13,
                )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_operator_computes_what_onnxruntime_computes(case):
    nodes, shape, weights, opset = CASES[case]
    compare(graph(nodes, list(shape), weights, opset), normal(*shape, seed=2))
