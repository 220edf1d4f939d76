"""An .onnx file from the disk as a source: good ones of many kinds, and everything that can be wrong with one."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
ort = pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from edge_imprint import EdgeImprintError  # noqa: E402
from edge_imprint.backbones import InputSpec, load_backbone  # noqa: E402
from edge_imprint.errors import BundleError, ExportError  # noqa: E402
from edge_imprint_export.sources.onnx_file import open_onnx  # noqa: E402

helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT = onnx.TensorProto.FLOAT
SPEC = InputSpec(16, 16)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def classifier(
    shape=(1, 3, 16, 16), *, opset=17, ir=8, kind=FLOAT, extra=(), outputs=("y",), reshape=None, weight=None
):
    """Conv, pool, dense: embedding "f" of 12 numbers."""
    weights = {"w": normal(12, 3, 3, 3) if weight is None else weight, "fc": normal(12, 7)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv", strides=[2, 2])] if kind == FLOAT else [
        helper.make_node("Cast", ["x"], ["real"], "cast", to=FLOAT),
        helper.make_node("Conv", ["real", "w"], ["c"], "conv", strides=[2, 2]),
    ]  # fmt: skip
    nodes += [helper.make_node("Relu", ["c"], ["m"]), helper.make_node("GlobalAveragePool", ["m"], ["p"])]
    if reshape is None:
        nodes.append(helper.make_node("Flatten", ["p"], ["f"]))
    else:
        weights["shape"] = np.array(reshape, np.int64)
        nodes.append(helper.make_node("Reshape", ["p", "shape"], ["f"]))
    nodes += [helper.make_node("MatMul", ["f", "fc"], ["y"], "classifier"), *extra]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


@pytest.fixture
def write(tmp_path):
    def write(model, name="net.onnx"):
        path = tmp_path / name
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


def run(content, x):
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def expected(x):
    """The embedding computed by hand of `classifier`."""
    w = normal(12, 3, 3, 3)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    return np.maximum(np.einsum("nchwij,ocij->nohw", windows, w), 0).mean((2, 3))


X = normal(1, 3, 16, 16, seed=5)


def close(a, b):
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


def test_a_classifier_becomes_a_source(write, tmp_path):
    path = write(classifier(), "my net.onnx")
    source = open_onnx(path, None, None)
    assert (source.name, source.licence, source.dim, source.embedding) == ("my net", "unknown", 12, "f")
    assert (source.layout, source.dtype, source.precision) == ("nchw", "float32", "float32")
    assert source.input == InputSpec(
        16, 16, resize="shorter_side_then_centre_crop", resize_side=16, mean=(123.675, 116.28, 103.53),
        scale=(1 / 58.395, 1 / 57.12, 1 / 57.375),
    )  # fmt: skip
    assert close(run(source.content, X), expected(X))
    assert len(source.content) < path.stat().st_size
    assert any("'classifier', was taken for a classifier" in note for note in source.notes)
    # The runtime of a device opens it as it is, and so does another export.
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(source.content)
    assert load_backbone(cut).dim == 12
    again = open_onnx(cut, None, None)
    assert (again.content, again.embedding) == (source.content, "embedding")


def test_the_same_file_gives_the_same_bytes(write):
    assert open_onnx(write(classifier()), None, SPEC).content == open_onnx(write(classifier()), None, SPEC).content


def test_pictures_may_have_their_channels_last(write):
    model = classifier()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("picture in", FLOAT, [1, 16, 16, 3]))
    nodes = [helper.make_node("Transpose", ["picture in"], ["x"], perm=[0, 3, 1, 2]), *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    source = open_onnx(write(model), None, None)
    assert source.layout == "nhwc"
    assert close(run(source.content, X.transpose(0, 2, 3, 1)), expected(X))


def test_raw_pixels_are_described_as_raw(write):
    source = open_onnx(write(classifier(kind=onnx.TensorProto.UINT8)), None, None)
    assert (source.dtype, source.input.mean, source.input.scale) == ("uint8", (0, 0, 0), (1, 1, 1))


def test_open_sides_are_fixed_by_the_input(write):
    path = write(classifier(("batch", 3, "height", "width")))
    with pytest.raises(BundleError, match="leaves the size of its pictures open"):
        open_onnx(path, None, None)
    source = open_onnx(path, None, SPEC)
    assert close(run(source.content, np.concatenate([X, X])), np.concatenate([expected(X)] * 2))
    assert any("fixed at 16 x 16" in note for note in source.notes)
    assert source.input == SPEC


def test_fixed_sides_must_be_those_of_the_input(write):
    with pytest.raises(ExportError, match="takes, 16 x 16; the input is described as 24 x 16"):
        open_onnx(write(classifier()), None, InputSpec(24, 16))


def test_a_fixed_batch_is_opened_where_the_graph_allows_it(write):
    for reshape in (None, [4, 12]):
        source = open_onnx(write(classifier((4, 3, 16, 16), reshape=reshape)), None, SPEC)
        assert close(run(source.content, X), expected(X))
        assert any("took 4 pictures at once" in note for note in source.notes)


def test_a_batch_that_cannot_be_opened_is_refused(write):
    with pytest.raises(ExportError, match="takes 4 at once"):
        open_onnx(write(classifier((4, 3, 16, 16), reshape=[2, -1])), "f", SPEC)


def test_weights_beside_the_file_are_taken_in(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(classifier(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    source = open_onnx(path, None, SPEC)
    assert close(run(source.content, X), expected(X))
    (tmp_path / "net.data").write_bytes(b"short")
    with pytest.raises(BundleError, match=r"net\.onnx"):
        open_onnx(path, None, SPEC)
    (tmp_path / "net.data").unlink()
    with pytest.raises(BundleError, match=r"'net\.data', which must lie beside it"):
        open_onnx(path, None, SPEC)


@pytest.mark.parametrize("location", ["../secret.data", "/etc/passwd", "a/../../b"])
def test_weights_outside_the_folder_are_refused(tmp_path, location):
    path = tmp_path / "net.onnx"
    onnx.save(classifier(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="must lie in its folder"):
        open_onnx(path, None, SPEC)


def test_weights_behind_a_link_out_of_the_folder_are_refused(tmp_path):
    inside = tmp_path / "net"
    inside.mkdir()
    path = inside / "net.onnx"
    onnx.save(classifier(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    (inside / "net.data").rename(tmp_path / "elsewhere.data")
    (inside / "net.data").symlink_to(tmp_path / "elsewhere.data")
    with pytest.raises(BundleError, match="must lie beside it"):
        open_onnx(path, None, SPEC)


@pytest.mark.parametrize(("opset", "ir"), [(9, 4), (11, 6), (21, 10), (22, 10), (24, 11)])
def test_old_and_new_operator_sets_are_converted(write, opset, ir):
    source = open_onnx(write(classifier(opset=opset, ir=ir)), None, SPEC)
    made = onnx.load_model_from_string(source.content)
    assert made.ir_version <= 9
    assert [entry.version for entry in made.opset_import] == [18]
    assert any(f"operator set {opset} was converted to 18" in note for note in source.notes)
    assert close(run(source.content, X), expected(X))


def test_an_operator_that_devices_lack_is_named(write):
    norm = [
        helper.make_node("RMSNormalization", ["f", "gain"], ["normed"], "norm"),
    ]
    model = classifier(opset=23, ir=11, extra=norm, outputs=("normed",))
    model.graph.initializer.append(numpy_helper.from_array(normal(12), "gain"))
    with pytest.raises(ExportError, match="uses 23 with RMSNormalization, which cannot be converted"):
        open_onnx(write(model), None, SPEC)


def test_a_file_from_the_future_is_refused(write):
    model = classifier()
    model.opset_import[0].version = 999
    with pytest.raises(ExportError, match="operator set 999"):
        open_onnx(write(model), None, SPEC)


def branch(name, condition):
    def body(operator):
        node = helper.make_node(operator, ["f"], [f"{operator}_out"])
        return helper.make_graph([node], operator, [], [helper.make_tensor_value_info(f"{operator}_out", FLOAT, None)])

    return helper.make_node("If", [condition], ["g"], name, then_branch=body("Abs"), else_branch=body("Neg"))


def with_branch(before):
    model = classifier(extra=[branch("which", "decision")], outputs=("g",))
    nodes = list(model.graph.node)
    copies = [type(node).FromString(node.SerializeToString()) for node in [*nodes[:-1], *before, nodes[-1]]]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model


def test_control_flow_before_the_embedding_is_named(write):
    before = [
        helper.make_node("ReduceSum", ["f"], ["total"], keepdims=0),
        helper.make_node("Cast", ["total"], ["decision"], to=onnx.TensorProto.BOOL),
    ]
    path = write(with_branch(before))
    with pytest.raises(ExportError, match="control flow before its embedding: If 'which'"):
        open_onnx(path, None, SPEC)
    assert open_onnx(path, "f", SPEC).dim == 12  # behind the cut it does not matter


def test_a_branch_that_the_size_decides_is_taken(write):
    pytest.importorskip("onnxscript", reason="pip install 'edge-imprint[export]'")
    before = [
        helper.make_node("Shape", ["m"], ["s"]),
        helper.make_node("Gather", ["s", "two"], ["height"]),
        helper.make_node("Greater", ["height", "two"], ["decision"]),
    ]
    model = with_branch(before)
    model.graph.initializer.append(numpy_helper.from_array(np.int64(2), "two"))
    model.graph.input[0].type.tensor_type.shape.dim[2].Clear()
    source = open_onnx(write(model), None, SPEC)
    assert close(run(source.content, X), np.abs(expected(X)))
    assert any("1 branches of control flow" in note for note in source.notes)


def test_operators_from_elsewhere_are_named(write):
    strange = helper.make_node("Warp", ["f"], ["g"], "warp", domain="org.example")
    model = classifier(extra=[strange], outputs=("g",))
    model.opset_import.append(helper.make_opsetid("org.example", 1))
    path = write(model)
    with pytest.raises(ExportError, match=r"org\.example::Warp 'warp'"):
        open_onnx(path, None, SPEC)
    assert open_onnx(path, "f", SPEC).dim == 12


def test_weights_with_nan_are_named(write):
    weight = normal(12, 3, 3, 3)
    weight[3, 1, 0, 0] = np.nan
    with pytest.raises(ExportError, match="'w' has 1 NaN of 324"):
        open_onnx(write(classifier(weight=weight)), None, SPEC)


def test_several_outputs_and_inputs_are_listed(write):
    with pytest.raises(ExportError, match="has 2: 'f', 'y'"):
        open_onnx(write(classifier(outputs=("f", "y"))), None, SPEC)
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("x2", FLOAT, [1, 3, 16, 16]))
    with pytest.raises(ExportError, match=r"takes 2: 'x' .1, 3, 16, 16., 'x2'"):
        open_onnx(write(model), None, SPEC)


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((1, 1, 16, 16), FLOAT, "takes no pictures"),
        ((1, 40), FLOAT, "takes no pictures"),
        ((1, 3, 16, 16), onnx.TensorProto.FLOAT16, "it is float16"),
        ((1, 3, 16, 16), onnx.TensorProto.INT64, "it is int64"),
    ],
)
def test_an_input_that_is_no_picture_is_refused(write, shape, kind, message):
    model = classifier(kind=kind)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, list(shape)))
    with pytest.raises(EdgeImprintError, match=message):
        open_onnx(write(model), None, None)


def test_damaged_files_are_refused_in_one_line(write, tmp_path):
    good = classifier().SerializeToString()
    with pytest.raises(BundleError, match="is missing"):
        open_onnx(tmp_path / "none.onnx", None, None)
    for bad in (b"", b"\x00" * 100, b"PK\x03\x04 not this", good[: len(good) // 2], good[:-1]):
        with pytest.raises(BundleError) as caught:
            open_onnx(write(bad), None, None)
        assert "\n" not in str(caught.value)


def test_every_error_of_a_file_with_flipped_bytes_is_ours(write):
    good = bytearray(classifier().SerializeToString())
    rng = np.random.default_rng(7)
    graph_part = np.flatnonzero(np.frombuffer(bytes(good), np.uint8))
    for _ in range(150):
        bad = bytearray(good)
        for place in rng.choice(graph_part, 3):
            bad[place] ^= int(rng.integers(1, 256))
        with contextlib.suppress(EdgeImprintError):
            assert open_onnx(write(bytes(bad)), None, SPEC).dim >= 1
