"""The parts of int8 .onnx files: operators between layers, pictures, equalisation, rounding, ranges."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'edge-imprint[export]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'edge-imprint[export]'")
import onnx
from int8_graphs import CALIBRATING, FLOAT, JUDGING, UINT8, chain, cosines, fused, network, node, normal, run
from onnx import helper

from edge_imprint_export.onnx_format.int8.equalise import equalise
from edge_imprint_export.onnx_format.int8.graph import Graph
from edge_imprint_export.onnx_format.int8.histogram import Histogram
from edge_imprint_export.onnx_format.int8.plan import is_layer, plan
from edge_imprint_export.onnx_format.int8.rounding import limit_pairs, rounded
from edge_imprint_export.onnx_format.int8.statistics import channels
from edge_imprint_export.onnx_format.quantise import OnnxQuantiser

ACTIVATIONS = {
    "hard swish": [node("HardSwish", ["c"], ["a"])],
    "hard swish, written out": [
        node("Add", ["c", "three"], ["s"]), node("Clip", ["s", "zero", "six"], ["k"]),
        node("Mul", ["c", "k"], ["p"]), node("Div", ["p", "six"], ["a"]),
    ],
    "hard sigmoid": [node("HardSigmoid", ["c"], ["h"], alpha=0.2, beta=0.5), node("Mul", ["c", "h"], ["a"])],
    "swish": [node("Sigmoid", ["c"], ["g"]), node("Mul", ["c", "g"], ["a"])],
    "leaky": [node("LeakyRelu", ["c"], ["a"], alpha=0.1)],
    "pooled": [node("Relu", ["c"], ["r"]), node("MaxPool", ["r"], ["a"], kernel_shape=[2, 2], strides=[2, 2])],
    "joined": [node("Conv", ["c", "we"], ["e"]), node("Relu", ["e"], ["r"]), node("Concat", ["r", "c"], ["a"], axis=1)],
    "shuffled": [
        node("Reshape", ["c", "grouped"], ["g"]), node("Transpose", ["g"], ["t"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t", "flat"], ["a"]),
    ],
    "excited": [
        node("GlobalAveragePool", ["c"], ["p"]), node("Conv", ["p", "we"], ["e"]),
        node("HardSigmoid", ["e"], ["g"], alpha=1 / 6, beta=0.5), node("Mul", ["c", "g"], ["a"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_operators_between_layers_run_as_integers(name, tmp_path):
    weights = {
        "w": normal(16, 8, 1, 1, scale=0.6), "b": normal(16, seed=3), "we": normal(16, 16, 1, 1, seed=5, scale=0.5),
        "w2": normal(12, 32 if name == "joined" else 16, 1, 1, seed=1, scale=0.2), "b2": normal(12, seed=2),
        "three": np.float32(3), "zero": np.float32(0), "six": np.float32(6),
        "grouped": np.array([1, 4, 4, 12, 12], np.int64), "flat": np.array([1, 16, 12, 12], np.int64),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], "one"),
        *ACTIVATIONS[name],
        node("Conv", ["a", "w2", "b2"], ["z"], "two"),
        node("Flatten", ["z"], ["y"]),
    ]
    content = network(nodes, weights)
    made = OnnxQuantiser(content, CALIBRATING).quantise("minmax")
    assert cosines(made, content)["minimum"] > 0.999
    operators = fused(made, tmp_path)
    assert operators["DequantizeLinear"] == operators["QuantizeLinear"] == 1, operators


def test_transformer_block(tmp_path):
    width = 32
    weights = {
        "g": np.ones(width, np.float32), "o": np.zeros(width, np.float32),
        "w1": normal(width, 64, scale=0.2), "b1": normal(64, seed=1, scale=0.1),
        "w2": normal(64, width, seed=2, scale=0.2), "b2": normal(width, seed=3, scale=0.1),
        "root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5),
    }  # fmt: skip
    nodes = [
        node("LayerNormalization", ["x", "g", "o"], ["n"]),
        node("MatMul", ["n", "w1"], ["m"], "widen"), node("Add", ["m", "b1"], ["h"]),
        node("Div", ["h", "root"], ["d"]), node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["f"]),
        node("Mul", ["h", "f"], ["p"]), node("Mul", ["p", "half"], ["q"]),
        node("MatMul", ["q", "w2"], ["s"], "narrow"), node("Add", ["s", "b2"], ["t"]), node("Add", ["x", "t"], ["u"]),
        node("ReduceMean", ["u"], ["y"], axes=[1], keepdims=0),
    ]  # fmt: skip
    content = network(nodes, weights, (1, 9, width), opset=17)
    values = normal(40, 9, width, seed=9)
    made = OnnxQuantiser(content, values[:20, None]).quantise("mse")
    assert cosines(made, content, values[20:])["minimum"] > 0.999
    operators = fused(made, tmp_path)
    assert operators["MatMulIntegerToFloat"] + operators["QGemm"] == 2


MEANS = {"one mean": [127.5] * 3, "imagenet": [123.675, 116.28, 103.53]}


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("folded", [False, True], ids=["normalised", "pixels"])
def test_pictures_are_not_rounded(means, folded, tmp_path):
    """The first layer reads the very bytes that the picture had, padded with what is nearest to zero."""
    mean = np.array(MEANS[means], np.float32).reshape(1, 3, 1, 1)
    scale = np.array([1 / 58.395, 1 / 57.12, 1 / 57.375], np.float32).reshape(1, 3, 1, 1)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 20, 20, 3)).astype(np.uint8)
    conv = node("Conv", ["n", "w"], ["c"], "stem", pads=[1, 1, 1, 1], strides=[2, 2])
    rest = [conv, node("Flatten", ["c"], ["y"])]
    own = {"w": normal(6, 3, 3, 3)}
    if folded:
        start = [
            node("Cast", ["x"], ["f"], to=FLOAT), node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
            node("Gather", ["t", "order"], ["o"], axis=1), node("Sub", ["o", "m"], ["s"]),
            node("Mul", ["s", "k"], ["n"]),
        ]  # fmt: skip
        own |= {"m": mean, "k": scale, "order": np.array([2, 1, 0], np.int64)}
        content, values = network([*start, *rest], own, (1, 20, 20, 3), kind=UINT8), pixels
        channels_first = pixels[..., ::-1].transpose(0, 3, 1, 2)
    else:
        conv.input[0] = "x"
        channels_first = pixels.transpose(0, 3, 1, 2)
        content, values = network(rest, own, (1, 3, 20, 20)), (channels_first - mean) * scale
    made = OnnxQuantiser(content, values[:20, None]).quantise("minmax")
    assert cosines(made, content, values[20:])["minimum"] > 0.9998
    assert "Sub" not in fused(made, tmp_path)

    model = onnx.load_from_string(made)
    stored = "n_q" if folded else "x_q"
    del model.graph.output[:]
    model.graph.output.append(helper.make_empty_tensor_value_info(stored))
    read = run(model.SerializeToString(), values, optimise=False)
    if means == "imagenet":
        padded = [np.pad(c, ((0, 0), (1, 1), (1, 1)), constant_values=round(m)) for c, m in zip(
            channels_first.transpose(1, 0, 2, 3), MEANS[means], strict=True)]  # fmt: skip
        channels_first = np.stack(padded, axis=1)
    np.testing.assert_array_equal(read.reshape(channels_first.shape), channels_first)


def test_equalising_leaves_the_network_as_it_is():
    content = chain(w1=normal(16, 8, 1, 1, scale=0.3) * np.logspace(-2, 0, 16, dtype=np.float32).reshape(-1, 1, 1, 1))
    graph = Graph(content)
    assert equalise(graph, channels(graph, CALIBRATING)) >= 1
    np.testing.assert_allclose(run(graph.with_outputs(["y"]), JUDGING), run(content, JUDGING), rtol=1e-4, atol=1e-5)


def test_a_clipped_tensor_is_not_rescaled():
    nodes = [
        node("Conv", ["x", "w1"], ["c"], "one"), node("Clip", ["c", "low", "high"], ["k"]),
        node("Conv", ["k", "w2"], ["y"], "two"),
    ]  # fmt: skip
    weights = {
        "w1": normal(16, 8, 1, 1) * np.logspace(-3, 0, 16, dtype=np.float32).reshape(-1, 1, 1, 1),
        "w2": normal(4, 16, 1, 1, seed=2), "low": np.float32(0), "high": np.float32(1),
    }  # fmt: skip
    graph = Graph(network(nodes, weights))
    assert equalise(graph, channels(graph, CALIBRATING)) == 0


def test_rounding_beats_the_nearest_integer_and_limits_pairs():
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((400, 6)) @ rng.standard_normal((6, 32)) + 0.1 * rng.standard_normal((400, 32))
    weights = rng.standard_normal((1, 10, 32))
    scale = np.abs(weights).max(2) / 20
    covariance = np.cov(inputs.T, bias=True)[None]
    found = rounded(weights, covariance, scale, pairs=False)
    nearest = np.rint(weights / scale[:, :, None])

    def error(whole):
        return float((((whole * scale[:, :, None] - weights) @ (inputs - inputs.mean(0)).T) ** 2).sum())

    assert error(found) < 0.3 * error(nearest)
    limited = rounded(weights, covariance, scale / 6, pairs=True)[0]
    sums = limited[:, :-1] + limited[:, 1:]
    assert np.abs(sums)[limited[:, :-1] * limited[:, 1:] > 0].max() <= 128
    rows = np.array([[100.0, 100.0, -3.0, 127.0], [5.0, -90.0, -90.0, -90.0]])
    np.testing.assert_array_equal(limit_pairs(rows), [[100, 28, -3, 127], [5, -90, -38, -90]])


def test_histogram_does_not_depend_on_the_order_in_which_it_grew():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(3000).astype(np.float32) * scale for scale in (1, 0.01, 30, 5)]
    ranges = []
    for order in (parts, parts[::-1]):
        histogram = Histogram()
        for part in order:
            histogram.add(part)
        ranges.append([histogram.range(method) for method in ("minmax", "percentile", "entropy", "mse")])
    assert ranges[0] == ranges[1]
    low, high = float(parts[2].min()), float(parts[2].max())
    assert ranges[0][0] == (low, high)
    for a, b in ranges[0][1:]:
        assert low <= a < 0.5 * low
        assert 0.5 * high < b <= high


def test_histogram_of_zeros_and_of_extremes():
    empty = Histogram()
    empty.add(np.zeros(10, np.float32))
    assert {empty.range(m) for m in ("minmax", "percentile", "entropy", "mse")} == {(0.0, 0.0)}
    for size in (1e-38, 1e30):
        histogram = Histogram()
        histogram.add(np.linspace(0, size, 1000, dtype=np.float32))
        for method in ("minmax", "percentile", "entropy", "mse"):
            low, high = histogram.range(method)
            assert low == 0.0
            assert 0.3 * size < high <= 1.01 * size


def test_plan_stores_nothing_in_eight_bits_that_only_float_nodes_read():
    graph = Graph(chain())
    made = plan(graph, frozenset(n.name for n in graph.nodes if is_layer(graph, n)))
    assert made.tensors == ["x", "r1", "r2", "c3"]
    assert made.stored == {"last"}
