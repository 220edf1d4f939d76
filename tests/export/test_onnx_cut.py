"""The embedding found in networks of many makes, and everything behind it dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
ort = pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from edge_imprint.errors import ExportError  # noqa: E402
from edge_imprint_export.onnx_format.cut import cut  # noqa: E402

helper, numpy_helper = onnx.helper, onnx.numpy_helper
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CLASSES, DIM = 7, 12
PICTURE = np.random.default_rng(3).standard_normal((1, 3, 16, 16)).astype(np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


WEIGHTS = {
    "w": normal(DIM, 3, 3, 3),
    "fc": normal(DIM, CLASSES),
    "fc_t": normal(CLASSES, DIM),
    "fc_conv": normal(CLASSES, DIM, 1, 1),
    "bias": normal(CLASSES),
    "hidden": normal(20, DIM),
    "last": normal(CLASSES, 20),
    "down": normal(4, DIM, 1, 1),
    "up": normal(DIM, 4, 1, 1),
    "gain": normal(DIM),
    "row": np.array([1, DIM], np.int64),
    "classes": np.array([1, CLASSES], np.int64),
    "token": normal(1, 1, DIM),
    "flat": np.array([0, DIM, -1], np.int64),
    "first": np.array(0, np.int64),
    "s": np.float32(0.05),
    "z": np.uint8(128),
    "fc_q": np.random.default_rng(1).integers(-127, 127, (CLASSES, DIM)).astype(np.int8),
    "fc_s": np.float32(0.01),
    "fc_z": np.int8(0),
}


def n(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs.split(), outputs.split(), f"node_{outputs.split()[0]}", **attributes)


BODY = [n("Conv", "x w", "c", strides=[2, 2]), n("Relu", "c", "map")]
POOL = [n("GlobalAveragePool", "map", "pooled")]
SQUEEZE_EXCITE = [
    n("GlobalAveragePool", "map", "squeezed"),
    n("Conv", "squeezed down", "d"),
    n("Relu", "d", "e"),
    n("Conv", "e up", "u"),
    n("Sigmoid", "u", "g"),
    n("Mul", "map g", "excited"),
]
TOKENS = [n("Reshape", "map flat", "grid"), n("Transpose", "grid", "places", perm=[0, 2, 1])]
CLASS_TOKEN = [
    n("Concat", "token places", "tokens", axis=1),
    n("LayerNormalization", "tokens gain", "normed"),
    n("Gather", "normed first", "class_token", axis=1),
]


def model(nodes, output=None, *, inputs=None, weights=None, outputs=None):
    weights = {**WEIGHTS, **(weights or {})}
    used = {name for node in nodes for name in node.input}
    end = output or nodes[-1].output[0]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in (inputs or {"x": [1, 3, 16, 16]}).items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs or [end]],
        [numpy_helper.from_array(w, name) for name, w in weights.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(made, picture=PICTURE):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: picture})[0]


def inner(made, name):
    """The value of an inner tensor of the uncut network."""
    copy = type(made)()
    copy.CopyFrom(made)
    del copy.graph.output[:]
    copy.graph.output.append(helper.make_empty_tensor_value_info(name))
    return run(copy)


# name: (nodes, embedding that is to be found, a weight that must be gone)
NETWORKS = {
    "gemm": ([*BODY, *POOL, n("Flatten", "pooled", "f"), n("Gemm", "f fc bias", "y")], "f", "fc"),
    "gemm and softmax": (
        [*BODY, *POOL, n("Flatten", "pooled", "f"), n("Gemm", "f fc_t bias", "l", transB=1), n("Softmax", "l", "y")],
        "f", "fc_t",
    ),
    "matmul, bias, softmax, as Keras writes it": (
        [*BODY, n("ReduceMean", "map", "f", axes=[2, 3], keepdims=0), n("MatMul", "f fc", "m"), n("Add", "m bias", "l"),
         n("Softmax", "l", "y")],
        "f", "bias",
    ),
    "1 x 1 convolution on the pool": (
        [*BODY, *POOL, n("Conv", "pooled fc_conv bias", "l"), n("Flatten", "l", "f"), n("Softmax", "f", "y")],
        "pooled", "fc_conv",
    ),
    "1 x 1 convolution, transposed, as tf2onnx writes it": (
        [*BODY, *POOL, n("Conv", "pooled fc_conv", "l"), n("Transpose", "l", "t", perm=[0, 2, 3, 1]),
         n("Reshape", "t classes", "y")],
        "pooled", "fc_conv",
    ),
    "class scores pooled at the end, as in SqueezeNet": (
        [*BODY, n("Dropout", "map", "k"), n("Conv", "k fc_conv", "l"), n("Relu", "l", "m"),
         n("GlobalAveragePool", "m", "p"), n("Flatten", "p", "f"), n("Softmax", "f", "y")],
        "map", "fc_conv",
    ),
    "dropout before the classifier": (
        [*BODY, *POOL, n("Reshape", "pooled row", "f"), n("Dropout", "f", "k"), n("Gemm", "k fc", "y")], "f", "fc",
    ),
    "a hidden layer before the classifier": (
        [*BODY, *POOL, n("Flatten", "pooled", "f"), n("Gemm", "f hidden", "h", transB=1), n("HardSwish", "h", "a"),
         n("Gemm", "a last", "y", transB=1)],
        "f", "hidden",
    ),
    "a norm between pool and classifier, as in ConvNeXt": (
        [*BODY, *POOL, n("Flatten", "pooled", "f"), n("LayerNormalization", "f gain", "normed"),
         n("Gemm", "normed fc", "y")],
        "normed", "fc",
    ),
    "squeeze and excite, then a classifier": (
        [*BODY, *SQUEEZE_EXCITE, n("GlobalAveragePool", "excited", "p"), n("Flatten", "p", "f"),
         n("Gemm", "f fc", "y")],
        "f", "fc",
    ),
    "squeeze and excite at the end, no classifier": ([*BODY, *SQUEEZE_EXCITE], "excited", None),
    "a class token taken by Gather": (
        [*BODY, *TOKENS, *CLASS_TOKEN, n("Gemm", "class_token fc", "y")], "class_token", "fc",
    ),
    "a class token taken by Slice": (
        [*BODY, *TOKENS, *CLASS_TOKEN[:2], n("Slice", "normed zero one one", "one_token"),
         n("Squeeze", "one_token one", "class_token"), n("Gemm", "class_token fc bias", "y")],
        "class_token", "fc",
    ),
    "the mean of the tokens": (
        [*BODY, *TOKENS, n("ReduceMean", "places", "f", axes=[1], keepdims=0), n("LayerNormalization", "f gain", "g"),
         n("Gemm", "g fc", "y")],
        "g", "fc",
    ),
    "a quantised classifier": (
        [*BODY, *POOL, n("Flatten", "pooled", "f"), n("QuantizeLinear", "f s z", "q"),
         n("DequantizeLinear", "q s z", "dq"),
         n("DequantizeLinear", "fc_q fc_s fc_z", "fc_dq"), n("Gemm", "dq fc_dq", "l", transB=1),
         n("QuantizeLinear", "l s z", "lq"), n("DequantizeLinear", "lq s z", "y")],
        "dq", "fc_q",
    ),
    "no classifier": ([*BODY, *POOL, n("Flatten", "pooled", "y")], "y", None),
    "no classifier and no pool": (BODY, "map", None),
    "an embedding that is normalised": (
        [*BODY, *POOL, n("Flatten", "pooled", "f"), n("Gemm", "f fc", "e"), n("LpNormalization", "e", "y")], "y", None,
    ),
    "a linear layer whose output is named an embedding": (
        [*BODY, *POOL, n("Flatten", "pooled", "f"), n("Gemm", "f fc", "image_embeds")], "image_embeds", None,
    ),
}  # fmt: skip
MORE = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_embedding_is_found_and_the_rest_is_gone(name):
    nodes, expected, gone = NETWORKS[name]
    made = model(nodes, weights=MORE)
    value = inner(made, expected)
    done = cut(made, PICTURE, "net.onnx")
    assert done.embedding == expected
    row = value.mean((2, 3)) if value.ndim == 4 else value
    got = run(done.model)
    assert got.shape == (1, done.dim) == row.shape
    assert got.dtype == np.float32
    assert np.allclose(got, row, rtol=1e-6, atol=1e-6)
    names = {weight.name for weight in done.model.graph.initializer}
    assert gone not in names
    assert (gone is not None) == any("dropped" in note for note in done.notes)
    read = {name for node in done.model.graph.node for name in node.input}
    assert names <= read
    assert [value.name for value in (*done.model.graph.input, *done.model.graph.output)] == ["picture", "embedding"]
    onnx.checker.check_model(done.model)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet50", 2048), ("densenet121", 1024), ("inception_v1", 1024), ("shufflenet", 544), ("squeezenet", 512)],
)
def test_classifiers_of_the_model_zoo(name, expected):
    """The graphs that onnx itself is tested with."""
    path = LIGHT / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this onnx comes without its test data")
    made = onnx.load(path)
    picture = np.zeros((1, 3, 224, 224), np.float32)
    assert cut(made, picture, path.name).dim == expected


CLASSIFIER = NETWORKS["gemm"][0]


@pytest.mark.parametrize(
    ("wanted", "tensor", "dim"),
    [("y", "y", CLASSES), ("pooled", "pooled", DIM), ("map", "map", DIM), ("node_f", "f", DIM), ("c", "c", DIM)],
)
def test_a_name_overrides_the_choice(wanted, tensor, dim):
    done = cut(model(CLASSIFIER), PICTURE, "net.onnx", wanted)
    assert (done.embedding, done.dim) == (tensor, dim)


def test_a_named_tensor_of_a_quantised_file_is_taken_as_later_layers_see_it():
    nodes = NETWORKS["a quantised classifier"][0]
    expected = inner(model(nodes), "dq")
    for wanted in ("f", "q", "dq"):
        done = cut(model(nodes), PICTURE, "net.onnx", wanted)
        assert np.array_equal(run(done.model), expected)


def test_an_integer_tensor_without_a_reader_is_turned_into_real_numbers():
    nodes = [*BODY, *POOL, n("Flatten", "pooled", "f"), n("QuantizeLinear", "f s z", "q"), n("Flatten", "q", "y")]
    done = cut(model(nodes), PICTURE, "net.onnx")
    expected = (inner(model(nodes), "y").astype(np.float32) - 128) * np.float32(0.05)
    assert np.allclose(run(done.model), expected, atol=1e-6)


def test_a_map_with_channels_last_is_averaged_over_its_places():
    nodes = [*BODY, n("Transpose", "map", "nhwc", perm=[0, 2, 3, 1])]
    done = cut(model(nodes), PICTURE, "net.onnx")
    assert np.allclose(run(done.model), inner(model(nodes), "map").mean((2, 3)), atol=1e-6)
    assert any("mean of its places" in note for note in done.notes)


def test_an_inner_tensor_may_have_the_name_of_an_end():
    nodes = [n("Conv", "x w", "embedding", strides=[2, 2]), n("Relu", "embedding", "picture"),
             n("GlobalAveragePool", "picture", "p"), n("Flatten", "p", "f"), n("Gemm", "f fc", "y")]  # fmt: skip
    expected = inner(model(nodes), "f")
    done = cut(model(nodes), PICTURE, "net.onnx")
    assert np.array_equal(run(done.model), expected)


def test_candidates_are_rows_and_the_last_map():
    done = cut(model(CLASSIFIER), PICTURE, "net.onnx")
    assert done.candidates == ("map", "pooled", "f", "y")


@pytest.mark.parametrize(
    ("nodes", "outputs", "wanted", "message"),
    [
        (CLASSIFIER, ["y"], "nonsense", r"'nonsense' names no tensor.*'pooled', 'f', 'y'"),
        (CLASSIFIER, ["y"], "fc", "'fc' names no tensor that is computed from a picture"),
        (CLASSIFIER, ["f", "y"], None, "has 2: 'f', 'y'. Say which is the embedding: --embedding NAME"),
        ([*BODY, *TOKENS], ["places"], None, r"'places' is a sequence of 49 tokens, \(1, 49, 12\)"),
        ([*BODY, n("ReduceMean", "map", "y", keepdims=0)], ["y"], None, r"'y' has shape \(\), not one row"),
        ([*BODY, n("ArgMax", "map", "a", axis=1), n("Flatten", "a", "y")], ["y"], None, "'y' is int64"),
    ],
)
def test_what_cannot_be_an_embedding_is_refused_with_what_can(nodes, outputs, wanted, message):
    with pytest.raises(ExportError, match=message) as caught:
        cut(model(nodes, outputs=outputs), PICTURE, "net.onnx", wanted)
    assert "\n" not in str(caught.value)


def test_of_several_outputs_the_named_one_is_cut():
    done = cut(model(CLASSIFIER, outputs=["f", "y"]), PICTURE, "net.onnx", "f")
    assert done.dim == DIM


def test_a_second_input_is_refused_only_if_the_embedding_needs_it():
    nodes = [*CLASSIFIER[:-1], n("Add", "f other", "g"), n("Gemm", "g fc", "y")]
    inputs = {"x": [1, 3, 16, 16], "other": [1, DIM]}
    with pytest.raises(ExportError, match="needs 2: 'x', 'other'"):
        cut(model(nodes, inputs=inputs), PICTURE, "net.onnx", "g")
    assert cut(model(nodes, inputs=inputs), PICTURE, "net.onnx", "f").dim == DIM
