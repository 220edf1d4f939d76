"""Cutting and extending .tflite files: the same numbers, a smaller file, and a clear refusal of everything else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_imprint.backbones.backbone import pool
from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.errors import BundleError, ExportError

pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install 'edge-imprint[export]'")
from flatmodel import Net, classifier
from flatrun import interpreter, noise, read, run

from edge_imprint_export.tflite_format.flatfile import open_file, schema
from edge_imprint_export.tflite_format.rewrite import cut, uint8_input

# (width of the embedding, operators that go, smallest share of bytes that goes)
FILES = {
    "kws_ref_model": (64, 3, 0.40),
    "mcunetv2_large": (384, 2, 0.29),
    "mobilenet_v1_0.25_128_quant": (256, 3, 0.56),
    "mobilenet_v1_1.0_224_quant_embedding_extractor": (1024, 0, 0.003),  # it has no classifier
    "pretrainedResnet_quant": (64, 3, 0.13),
    "tf2_mobilenet_v2_1.0_224_ptq": (1280, 4, 0.39),
    "vww_96_int8": (256, 3, 0.23),
}


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("name", FILES)
def test_the_public_files_give_the_inner_tensor_bit_for_bit(shared_data: Path, name: str, kernels: str) -> None:
    content = read(shared_data, name)
    dim, operators, share = FILES[name]
    made = cut(content, name=name)
    assert made.dropped_operators == operators
    assert made.dropped_bytes == len(content) - len(made.content) >= share * len(content)
    assert not made.pooled
    whole, ours = interpreter(content, kernels, keep=True), interpreter(made.content, kernels)
    (target,) = ours.get_output_details()
    assert target["name"] == made.embedding
    assert max(target["shape"]) == int(np.prod(target["shape"])) == dim
    graph = read_graph(content)
    computed = {i for operator in graph.operators for i in operator.outputs}
    inner = [i for i in computed if graph.tensors[i].name.split(";")[0] == made.embedding]
    assert len(inner) == 1
    for seed in range(2):
        tensor = noise(content, seed)
        for one in (whole, ours):
            one.set_tensor(one.get_input_details()[0]["index"], tensor)
            one.invoke()
        assert np.array_equal(ours.get_tensor(target["index"]), whole.get_tensor(inner[0]))


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_the_dropped_part_stays(shared_data: Path, name: str) -> None:
    content = read(shared_data, name)
    made = cut(content, name=name).content
    model = schema().ModelT.InitFromPackedBuf(made, 0)
    (graph,) = model.subgraphs
    used = {int(i) for operator in graph.operators for i in (*operator.inputs, *operator.outputs)} - {-1}
    assert used == set(range(len(graph.tensors)))
    assert {operator.opcodeIndex for operator in graph.operators} == set(range(len(model.operatorCodes)))
    named = {tensor.buffer for tensor in graph.tensors} | {entry.buffer for entry in model.metadata or []}
    assert named | {0} == set(range(len(model.buffers)))
    stored = [hashlib.sha256(buffer.data).digest() for buffer in model.buffers if buffer.data is not None]
    assert len(set(stored)) == len(stored)
    assert not model.signatureDefs
    for i, buffer in enumerate(model.buffers):
        if buffer.data is not None:
            place = schema().Model.GetRootAs(made, 0).Buffers(i)
            at = place._tab.Vector(place._tab.Offset(4))  # where the data starts
            assert at % 16 == 0, f"buffer {i} lies at {at}"
    # Per-channel scales, zero points and axes of the weights are those of the original.
    before = schema().ModelT.InitFromPackedBuf(content, 0)

    def scales(model: Any) -> list[tuple[bytes, bytes, int]]:
        read = [i for operator in model.subgraphs[0].operators[:count] for i in operator.inputs if i >= 0]
        stored = [model.subgraphs[0].tensors[i].quantization for i in read]
        return [
            (q.scale.tobytes(), q.zeroPoint.tobytes(), q.quantizedDimension)
            for q in stored
            if q is not None and q.scale is not None
        ]

    count = len(graph.operators)
    assert scales(model) == scales(before)


def test_the_same_bytes_give_the_same_bytes_and_a_cut_file_is_left_as_it_is(shared_data: Path) -> None:
    content = read(shared_data, "vww_96_int8")
    first = cut(content)
    assert cut(bytearray(content)).content == first.content
    again = cut(first.content)
    assert again.content == first.content
    assert (again.dropped_operators, again.dropped_tensors, again.dropped_bytes) == (0, 0, 0)


def test_the_cut_tensor_may_be_named_by_the_part_before_the_semicolon(shared_data: Path) -> None:
    content = read(shared_data, "vww_96_int8")
    full = "model/dense/MatMul;model/dense/BiasAdd"
    by_full, by_part = cut(content, full), cut(content, "model/dense/MatMul")
    assert by_full == by_part
    assert by_full.embedding == "model/dense/MatMul"
    assert run(by_full.content, noise(content)).shape == (1, 2)
    with pytest.raises(BundleError, match=r"'nonsense' names no tensor.*AvgPool"):
        cut(content, "nonsense")


@pytest.mark.parametrize("name", ["vww_96_int8", "mobilenet_v1_0.25_128_quant"])
def test_a_map_that_is_named_is_averaged(shared_data: Path, name: str) -> None:
    content = read(shared_data, name)
    graph = read_graph(content)
    number = max(n for n, operator in enumerate(graph.operators) if operator.name == "AVERAGE_POOL_2D")
    before = graph.tensors[graph.operators[number].inputs[0]]
    made = cut(content, before.name)
    assert made.pooled
    assert made.embedding == before.name.split(";")[0] + "/global_average_pool"
    output = read_graph(made.content).tensors[read_graph(made.content).outputs[0]]
    assert output.shape == (1, before.shape[3])
    assert output.quantisation == before.quantisation
    # This network's own pool averages the same map in the same quantisation: one step of rounding apart at most.
    own = run(cut(content).content, noise(content)).ravel().astype(int)
    assert np.abs(run(made.content, noise(content)).ravel().astype(int) - own).max() <= 1


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_network_that_ends_in_a_map_is_averaged_as_the_runtime_would(channels_first: bool) -> None:
    net = Net()
    x = net.input("picture", (1, 6, 6, 3))
    kernel = net.constant("kernel", np.random.default_rng(0).normal(size=(4, 1, 1, 3)).astype(np.float32))
    bias = net.constant("bias", np.zeros(4, np.float32))
    y = net.tensor("map", (1, 6, 6, 4))
    net.operator("CONV_2D", [x, kernel, bias], y, "Conv2DOptions", strideW=1, strideH=1)
    if channels_first:
        order = net.constant("order", np.array([0, 3, 1, 2], np.int32))
        y = net.operator("TRANSPOSE", [y, order], net.tensor("turned", (1, 4, 6, 6)), "TransposeOptions")
    content = net.write(y)
    made = cut(content)
    assert made.pooled
    wanted = pool(run(content, noise(content)), "nhwc", square=True)
    assert np.allclose(run(made.content, noise(content)), wanted, atol=1e-6)


def test_a_float_classifier_is_cut_at_its_pool() -> None:
    content = classifier()
    made = cut(content)
    assert made.embedding == "pool"
    assert (made.dropped_operators, made.dropped_tensors) == (2, 4)
    assert run(made.content, noise(content)).shape == (1, 16)
    names = [tensor.name for tensor in read_graph(made.content).tensors]
    assert sorted(filter(None, names)) == ["conv", "picture", "pool"]


def sum_pool(divided_by: str) -> bytes:
    net = Net()
    x = net.input("picture", (1, 4, 4, 3))
    axes = net.constant("axes", np.array([1, 2], np.int32))
    summed = net.operator("SUM", [x, axes], net.tensor("sum", (1, 3)), "ReducerOptions", keepDims=False)
    share = net.constant("share", np.array([1 / 16 if divided_by == "MUL" else 16], np.float32))
    mean = net.operator(divided_by, [summed, share], net.tensor("mean", (1, 3)), f"{divided_by.title()}Options")
    head = net.constant("head", np.ones((5, 3), np.float32))
    logits = net.operator("FULLY_CONNECTED", [mean, head, -1], net.tensor("product", (1, 5)), "FullyConnectedOptions")
    bias = net.constant("bias", np.ones(5, np.float32))
    return net.write(net.operator("ADD", [logits, bias], net.tensor("logits", (1, 5)), "AddOptions"))


@pytest.mark.parametrize("operator", ["MUL", "DIV"])
def test_a_mean_written_as_sum_and_product_and_a_bias_of_its_own(operator: str) -> None:
    content = sum_pool(operator)
    made = cut(content)
    assert made.embedding == "mean"
    tensor = noise(content)
    assert np.allclose(run(made.content, tensor), tensor.mean(axis=(1, 2)), rtol=1e-5)


def two_inputs() -> tuple[Net, int]:
    net = Net()
    a, b = net.input("left", (1, 4, 4, 3)), net.input("right", (1, 4, 4, 3))
    axes = net.constant("axes", np.array([1, 2], np.int32))
    one = net.operator("MEAN", [a, axes], net.tensor("one", (1, 3)), "ReducerOptions")
    two = net.operator("MEAN", [b, axes], net.tensor("two", (1, 3)), "ReducerOptions")
    return net, net.operator("ADD", [one, two], net.tensor("both", (1, 3)), "AddOptions")


def test_several_inputs_are_refused_by_name_unless_the_embedding_needs_one() -> None:
    net, both = two_inputs()
    content = net.write(both)
    with pytest.raises(ExportError, match=r"needs 2: 'left' \(1, 4, 4, 3\), 'right' \(1, 4, 4, 3\)"):
        cut(content)
    made = cut(content, "two")
    assert [read_graph(made.content).tensors[i].name for i in read_graph(made.content).inputs] == ["right"]
    with pytest.raises(ExportError, match="one input and one output to be extended; it has 2 and 1"):
        uint8_input(content)


def test_several_outputs_need_a_name() -> None:
    net, both = two_inputs()
    content = net.write(both, 3)  # "one" is tensor 3
    with pytest.raises(BundleError, match="there are 2 outputs"):
        cut(content)
    assert cut(content, "one").embedding == "one"


@pytest.mark.parametrize(
    ("operator", "options"), [("WHILE", "WhileOptions"), ("IF", "IfOptions"), ("CALL_ONCE", "CallOnceOptions")]
)
def test_control_flow_is_refused_by_name_where_the_embedding_needs_it(operator: str, options: str) -> None:
    net, _ = two_inputs()
    looped = net.operator(operator, [3], net.tensor("looped", (1, 3)), options)
    net.model.subgraphs.append(net.schema.SubGraphT(name=b"body", tensors=[], operators=[]))
    content = net.write(looped)
    with pytest.raises(ExportError, match=f"in its operator {operator} "):
        cut(content)
    made = cut(content, "one")
    assert schema().Model.GetRootAs(made.content, 0).SubgraphsLength() == 1


def test_variables_are_refused_by_name() -> None:
    net, both = two_inputs()
    handle = net.operator("READ_VARIABLE", [both], net.tensor("state", (1, 3)))
    with pytest.raises(ExportError, match="keeps a variable with its operator READ_VARIABLE"):
        cut(net.write(handle))


def test_an_open_size_is_refused_and_an_open_batch_is_not() -> None:
    def content(signature: list[int]) -> bytes:
        net, _ = two_inputs()
        net.graph.tensors[0].shapeSignature = np.array(signature, np.int32)
        return net.write(3)

    with pytest.raises(ExportError, match="input 'left' of the file leaves axis 1, 2 open"):
        cut(content([-1, -1, -1, 3]))
    assert run(cut(content([-1, 4, 4, 3])).content, np.ones((1, 4, 4, 3), np.float32)).tolist() == [[1, 1, 1]]


def test_weights_behind_the_flatbuffer_are_brought_in() -> None:
    """Files over 2 GB keep buffers and large options behind the flatbuffer, at an offset from its start."""
    net = Net()
    x = net.input("picture", (1, 4, 4, 3))
    kernel = net.constant("kernel", np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3))
    bias = net.constant("bias", np.zeros(2, np.float32))
    y = net.operator("CONV_2D", [x, kernel, bias], net.tensor("map", (1, 4, 4, 2)), "Conv2DOptions",
                     strideW=1, strideH=1)  # fmt: skip
    inside = net.write(y)
    weights = net.model.buffers[1].data.tobytes()
    plain = schema().BufferT(offset=4096, size=len(weights))
    net.model.buffers[1] = plain
    outside = net.write(y)
    outside += bytes(4096 - len(outside)) + weights
    assert cut(outside).content == cut(inside).content
    with pytest.raises(BundleError, match=r"24 bytes at 4096 of 4119"):
        cut(outside[:-1])


def test_weights_in_another_file_are_refused() -> None:
    net, _ = two_inputs()
    net.graph.tensors[2].externalBuffer = 1
    with pytest.raises(ExportError, match="keeps tensor 'axes' in another file"):
        cut(net.write(3))


def test_a_custom_operator_keeps_its_name_and_options() -> None:
    net, both = two_inputs()
    net.operator("CUSTOM", [3], net.tensor("special", (1, 3)))
    net.model.operatorCodes[-1].customCode = b"MyOwn"
    net.graph.operators[-1].customOptions = np.arange(7, dtype=np.uint8)
    made = cut(net.write(both), "special")
    assert open_file(made.content, "f").operators == ["MEAN", "CUSTOM:MyOwn"]
    model = schema().ModelT.InitFromPackedBuf(made.content, 0)
    assert model.subgraphs[0].operators[1].customOptions.tolist() == list(range(7))


def test_options_of_an_unknown_kind_are_refused_and_not_dropped() -> None:
    net, both = two_inputs()
    content = bytearray(net.write(both))
    number = schema().BuiltinOptions.ReducerOptions
    graph = schema().Model.GetRootAs(content, 0).Subgraphs(0)
    table = graph.Operators(0)._tab
    at = table.Pos + table.Offset(10)  # builtin_options_type
    assert content[at] == number
    content[at] = 250
    with pytest.raises(ExportError, match="options of operator MEAN in the file are of kind 250"):
        cut(bytes(content), "one")
