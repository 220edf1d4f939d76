"""Reading and cutting .tflite files, on real ones."""

from __future__ import annotations

import contextlib
import dataclasses
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from edge_imprint.backbones.embedding import candidates, find_embedding
from edge_imprint.backbones.flatbuffer import Graph, Operator, Tensor, cut, read_graph
from edge_imprint.errors import BundleError

# File -> (embedding's name, its width), found by looking at the networks by hand.
EMBEDDINGS = {
    "kws_ref_model": ("functional_1/average_pooling2d/AvgPool", 64),
    "mcunetv2_large": ("x.3", 384),
    "mobilenet_v1_0.25_128_quant": ("MobilenetV1/Logits/AvgPool_1a/AvgPool", 256),
    "mobilenet_v1_1.0_224_quant_embedding_extractor": ("MobilenetV1/Logits/AvgPool_1a/AvgPool", 1024),
    "pretrainedResnet_quant": ("model/average_pooling2d/AvgPool", 64),
    "tf2_mobilenet_v2_1.0_224_ptq": ("MobileNetV2/top/Reshape/Reshape", 1280),
    "vww_96_int8": ("model/average_pooling2d/AvgPool", 256),
}


def network(shared_data: Path, name: str) -> tuple[bytes, Graph]:
    content = (shared_data / "backbones" / f"{name}.tflite").read_bytes()
    return content, read_graph(content, name)


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_the_embedding_is_found_by_itself(shared_data: Path, name: str) -> None:
    content, graph = network(shared_data, name)
    tensor = find_embedding(graph, name)
    wanted, dim = EMBEDDINGS[name]
    assert tensor.name.split(";")[0] == wanted
    assert max(tensor.shape) == dim
    assert tensor.quantisation is not None
    assert find_embedding(graph, name, tensor.name) == tensor
    if name.endswith("embedding_extractor"):
        assert cut(content, graph, tensor) is content


@pytest.mark.parametrize("kernels", ["AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF"])
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_cut_file_gives_the_inner_tensor_bit_for_bit(shared_data: Path, name: str, kernels: str) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install edge-imprint[tflite]")
    content, graph = network(shared_data, name)
    tensor = find_embedding(graph, name)
    shorter = cut(content, graph, tensor)
    assert len(shorter) == len(content)
    resolver = litert.OpResolverType[kernels]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "intended for debugging purposes only", which this is
        whole = litert.Interpreter(
            model_content=content,
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=True,
        )
    ours = litert.Interpreter(model_content=shorter, experimental_op_resolver_type=resolver)
    whole.allocate_tensors()
    ours.allocate_tensors()
    source = whole.get_input_details()[0]
    target = ours.get_output_details()[0]
    assert target["name"] == tensor.name
    assert target["quantization"] == pytest.approx(tensor.quantisation)
    rng = np.random.default_rng(1)
    for _ in range(2):
        numbers = rng.integers(0, 256, source["shape"]).astype(np.uint8)
        if source["dtype"] == np.float32:
            picture = numbers.astype(np.float32) / 255
        else:
            picture = numbers.view(source["dtype"])
        for interpreter in (whole, ours):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
            interpreter.invoke()
        inner = whole.get_tensor(tensor.index)
        assert np.array_equal(ours.get_tensor(target["index"]), inner)
        # The published MCUNetV2 file is dead before its pool: zeros for any picture.
        assert (np.ptp(inner.astype(int)) > 10) == (name != "mcunetv2_large")


def test_names_and_operators_are_those_the_runtime_sees(shared_data: Path) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT: pip install edge-imprint[tflite]")
    for name in EMBEDDINGS:
        content, graph = network(shared_data, name)
        interpreter = litert.Interpreter(model_content=content)
        for detail in interpreter.get_tensor_details():
            if detail["index"] >= len(graph.tensors):
                continue  # scratch tensors that the runtime adds
            tensor = graph.tensors[detail["index"]]
            assert tensor.name == detail["name"]
            assert tensor.shape == tuple(detail["shape"])
            assert tensor.dtype == np.dtype(detail["dtype"]).name
            if tensor.quantisation is not None:
                assert tensor.quantisation == pytest.approx(detail["quantization"])
        assert list(graph.outputs) == [detail["index"] for detail in interpreter.get_output_details()]


def test_an_override_may_name_any_computed_tensor(shared_data: Path) -> None:
    _, graph = network(shared_data, "vww_96_int8")
    other = graph.tensors[graph.operators[-2].outputs[0]]
    assert find_embedding(graph, "f", other.name) == other
    with pytest.raises(BundleError, match=r"'nonsense' names no tensor.*AvgPool'.*'Identity_int8'"):
        find_embedding(graph, "f", "nonsense")
    weights = graph.tensors[graph.operators[0].inputs[1]]
    with pytest.raises(BundleError, match="names no tensor that the network computes"):
        find_embedding(graph, "f", weights.name)
    with pytest.raises(BundleError, match="no operator writes"):
        cut(b"", graph, weights)
    assert "model/flatten/Reshape" in candidates(graph)


def graph_of(*operators: tuple[str, tuple[int, ...], int], shapes: dict[int, tuple[int, ...]]) -> Graph:
    tensors = tuple(Tensor(i, f"t{i}", shapes[i], "float32", None) for i in sorted(shapes))
    built = tuple(Operator(name, inputs, (output,)) for name, inputs, output in operators)
    return Graph(tensors, built, (0,), (built[-1].outputs[0],), 0, 0)


def test_the_squeeze_of_an_attention_block_is_not_taken_for_the_embedding() -> None:
    shapes = {0: (1, 8, 8, 3), 1: (1, 8, 8, 16), 2: (1, 1, 1, 16), 3: (1, 8, 8, 16), 4: (1, 1024), 5: (1, 10)}
    attention = (("CONV_2D", (0,), 1), ("MEAN", (1,), 2), ("#18", (1, 2), 3), ("RESHAPE", (3,), 4))
    graph = graph_of(*attention, ("FULLY_CONNECTED", (4,), 5), shapes=shapes)
    assert find_embedding(graph, "f").name == "t4"


def test_a_layer_between_pool_and_classifier_keeps_the_pool() -> None:
    shapes = {
        0: (1, 8, 8, 3),
        1: (1, 8, 8, 16),
        2: (1, 1, 1, 16),
        3: (1, 1, 1, 64),
        4: (1, 1, 1, 10),
        5: (1, 10),
    }
    operators = (
        ("CONV_2D", (0,), 1),
        ("AVERAGE_POOL_2D", (1,), 2),
        ("CONV_2D", (2,), 3),
        ("CONV_2D", (3,), 4),
    )
    graph = graph_of(*operators, ("SOFTMAX", (4,), 5), shapes=shapes)
    assert find_embedding(graph, "f").name == "t2"


@pytest.mark.parametrize("share", ["MUL", "DIV"])
def test_a_mean_written_as_a_sum_and_a_share(share: str) -> None:
    shapes = {0: (1, 8, 8, 3), 1: (1, 8, 8, 16), 2: (1, 16), 3: (1, 16), 4: (1, 10), 5: (1, 10), 6: (), 7: (1, 10)}
    operators = (("CONV_2D", (0,), 1), ("SUM", (1,), 2), (share, (2, 6), 3), ("FULLY_CONNECTED", (3,), 4))
    graph = graph_of(*operators, ("ADD", (4, 6), 5), ("ARG_MAX", (5,), 7), shapes=shapes)
    assert find_embedding(graph, "f").name == "t3"
    # A residual sum of two computed tensors is no bias.
    graph = graph_of(*operators, ("ADD", (4, 4), 5), shapes=shapes)
    assert find_embedding(graph, "f").name == "t5"


def test_several_outputs_must_agree_or_one_be_named() -> None:
    shapes = {0: (1, 8, 8, 3), 1: (1, 16), 2: (1, 10), 3: (1, 4)}
    graph = graph_of(("MEAN", (0,), 1), ("FULLY_CONNECTED", (1,), 2), ("RELU", (0,), 3), shapes=shapes)
    both = dataclasses.replace(graph, outputs=(2, 1))
    assert find_embedding(both, "f").name == "t1"
    with pytest.raises(BundleError, match=r"there are 2 outputs\. Pass embedding=NAME with one of: 't1', 't2', 't3'"):
        find_embedding(dataclasses.replace(graph, outputs=(2, 3)), "f")
    assert find_embedding(dataclasses.replace(graph, outputs=(2, 3)), "f", "t3").name == "t3"


def test_an_output_called_embedding_is_one() -> None:
    shapes = {0: (1, 8, 8, 3), 1: (1, 16), 2: (1, 10)}
    graph = graph_of(("MEAN", (0,), 1), ("FULLY_CONNECTED", (1,), 2), shapes=shapes)
    named = dataclasses.replace(graph.tensors[2], name="embedding")
    projected = dataclasses.replace(graph, tensors=(*graph.tensors[:2], named))
    assert find_embedding(projected, "f") == named


def test_the_part_of_a_name_before_the_semicolon_will_do_where_it_is_unique() -> None:
    shapes = {0: (1, 8), 1: (1, 8), 2: (1, 8)}
    graph = graph_of(("RELU", (0,), 1), ("RELU", (1,), 2), shapes=shapes)

    def renamed(*names: str) -> Graph:
        pairs = zip(graph.tensors, names, strict=True)
        return dataclasses.replace(graph, tensors=tuple(dataclasses.replace(t, name=n) for t, n in pairs))

    assert find_embedding(renamed("x", "a;b", "c;b"), "f", "a").index == 1
    assert find_embedding(renamed("x", "a;b", "a"), "f", "a").index == 2
    with pytest.raises(BundleError, match="'a' names no tensor"):
        find_embedding(renamed("x", "a;b", "a;c"), "f", "a")


def test_a_network_that_ends_in_a_map_lists_what_could_be_meant() -> None:
    shapes = {0: (1, 8, 8, 3), 1: (1, 1, 1, 16), 2: (1, 8, 8, 16)}
    graph = graph_of(("MEAN", (0,), 1), ("CONV_2D", (0,), 2), shapes=shapes)
    with pytest.raises(BundleError, match=r"'t2' has shape \(1, 8, 8, 16\).*'t1'"):
        find_embedding(graph, "f")


def test_every_truncation_of_the_structure_is_refused(shared_data: Path) -> None:
    """Weights come first or last in a file; wherever the cut falls, reading ends in a graph or a
    BundleError."""
    content, graph = network(shared_data, "pretrainedResnet_quant")
    for length in [*range(400), *range(400, len(content), 997)]:
        with contextlib.suppress(BundleError):
            assert read_graph(content[:length]) == graph  # only weights were lost
    for length in (0, 4, 7, 8, 64):
        with pytest.raises(BundleError):
            read_graph(content[:length])


def test_flipped_bytes_end_in_a_graph_or_a_bundle_error(shared_data: Path) -> None:
    content, graph = network(shared_data, "vww_96_int8")
    rng = np.random.default_rng(2)
    # Where the structure lies: around the lists of operators and outputs, and the first kilobyte.
    places = [
        *range(8, 300),
        *(graph.operators_at + i for i in range(-400, 600)),
        *rng.integers(8, len(content), 300),
    ]
    for at in places:
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(BundleError):
            found = read_graph(bytes(damaged))
            cut(bytes(damaged), found, find_embedding(found, "f"))


def test_absurd_lengths_are_refused_before_memory_is_taken(shared_data: Path) -> None:
    content, graph = network(shared_data, "vww_96_int8")
    damaged = bytearray(content)
    struct.pack_into("<I", damaged, graph.operators_at - 4, 0xFFFFFFFF)
    with pytest.raises(BundleError, match="a list of 4294967295 entries"):
        read_graph(bytes(damaged))


def test_tables_that_share_one_long_list_are_refused() -> None:
    """A thousand tensors whose shape is the same list of ten thousand numbers: 44 kB that unfold to 40 MB."""
    tensors, numbers = 1_000, 10_000
    # Back to front: root, model, list of graphs, graph, list of tensors, one tensor, its shape.
    vtable = struct.pack("<HHHHH", 10, 16, 0, 0, 4) + bytes(2)  # field 2 at 4
    first = struct.pack("<HHH", 6, 8, 4) + bytes(2)  # field 0 at 4
    content = bytearray(struct.pack("<I4s", 8 + len(vtable) + len(first), b"TFL3") + vtable + first)
    model = len(content)
    content += struct.pack("<iI", model - 8, 12) + bytes(8)  # the list of graphs is 12 bytes after its field
    graphs = len(content)
    assert graphs == model + 16
    content += struct.pack("<II", 1, 4)
    graph = len(content)
    content += struct.pack("<iI", graph - 8 - len(vtable), 4)
    at = len(content)
    tensor = at + 4 + 4 * tensors
    content += struct.pack("<I", tensors)
    content += b"".join(struct.pack("<I", tensor - (at + 4 + 4 * i)) for i in range(tensors))
    content += struct.pack("<iI", tensor - 8 - len(vtable), 4)
    content += struct.pack("<I", numbers) + bytes(4 * numbers)
    with pytest.raises(BundleError, match="its lists together are longer than the file"):
        read_graph(bytes(content))


def test_other_files_are_refused() -> None:
    for content in (
        b"",
        b"PK\x03\x04" * 9,
        b"\x00" * 8,
        b"\x08\0\0\0TFL3",
        b"\xff\xff\xff\xffTFL3" + bytes(50),
    ):
        with pytest.raises(BundleError, match="must be a whole flatbuffer"):
            read_graph(content)
