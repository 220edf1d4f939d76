"""Torch modules as ONNX files, and layers put behind and in front of finished files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
torch = pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
pytest.importorskip("onnxscript", reason="pip install 'edge-imprint[export]'")
ort = pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from torch import nn  # noqa: E402

from edge_imprint import EdgeImprintError  # noqa: E402
from edge_imprint.backbones import InputSpec, Preprocessor  # noqa: E402
from edge_imprint.errors import BundleError, ExportError  # noqa: E402
from edge_imprint_export.onnx_format.append import append_linear, fold_preprocessing, raw_pixels  # noqa: E402
from edge_imprint_export.onnx_format.build import torch_to_onnx  # noqa: E402

SPEC = InputSpec(32, 24, colour="bgr", mean=(123.7, 116.3, 103.5), scale=(0.0171, 0.0175, 0.0174))
NETWORK = """
import torch
from torch import nn
def network():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.Hardswish(),
        nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(1),
    )
    for norm in made:
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(); norm.running_var.uniform_(0.5, 2); norm.weight.data.uniform_(0.5, 2)
    return made.eval()
"""
namespace: dict = {}
exec(NETWORK, namespace)
network = namespace["network"]


@pytest.fixture(scope="module")
def content():
    return torch_to_onnx(network(), SPEC)


def run(content, x):
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def pictures(n=3):
    return np.random.default_rng(0).integers(0, 256, (n, 32, 24, 3), dtype=np.uint8)


def prepared(pixels):
    return Preprocessor(SPEC, layout="nchw", dtype="float32")(list(pixels))


def shape_of(value):
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def test_a_module_becomes_a_file_that_old_runtimes_load(content):
    model = onnx.load_model_from_string(content)
    assert model.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["picture", "embedding"]
    assert shape_of(model.graph.input[0]) == ["N", 3, 32, 24]
    assert shape_of(model.graph.output[0]) == ["N", 16]
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds
    assert "GlobalAveragePool" in kinds
    onnx.checker.check_model(model, full_check=True)


def test_embeddings_are_those_of_the_module(content):
    x = prepared(pictures())
    with torch.no_grad():
        expected = network()(torch.from_numpy(x)).numpy()
    assert np.abs(run(content, x) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_module_in_training_mode_is_exported_as_it_predicts(content):
    module = network().train()
    assert torch_to_onnx(module, SPEC) == content
    assert module.training


@pytest.mark.slow
def test_bytes_are_the_same_in_another_process(content):
    program = NETWORK + (
        "import hashlib\nfrom edge_imprint.backbones import InputSpec\n"
        "from edge_imprint_export.onnx_format.build import torch_to_onnx\n"
        f"spec = {SPEC!r}\n"
        "print(hashlib.sha256(torch_to_onnx(network(), spec)).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert done.stderr == ""  # no chatter either


def test_nothing_says_where_it_was_made(content):
    model = onnx.load_model_from_string(content)
    assert not model.metadata_props
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    for word in (b"/home", b"/root", b"/work", b".py", b"pytorch", b"File "):
        assert word not in content


def test_preprocessing_goes_into_the_graph_to_the_last_bit(content):
    folded = torch_to_onnx(network(), SPEC, fold=True)
    assert folded == fold_preprocessing(content, SPEC, "nchw")
    model = onnx.load_model_from_string(folded)
    assert shape_of(model.graph.input[0]) == ["N", 32, 24, 3]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    pixels = pictures()
    assert np.array_equal(run(folded, pixels), run(content, prepared(pixels)))
    # What the manifest then says makes the same tensor of a picture.
    fed = Preprocessor(raw_pixels(SPEC), layout="nhwc", dtype="uint8")(list(pixels))
    assert np.array_equal(fed, pixels)


def test_preprocessing_folds_into_a_channels_last_file_too():
    nodes = [
        onnx.helper.make_node("Transpose", ["picture"], ["t"], perm=[0, 3, 1, 2]),
        onnx.helper.make_node("GlobalAveragePool", ["t"], ["p"]),
        onnx.helper.make_node("Flatten", ["p"], ["embedding"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [value("picture", 1, ["N", 32, 24, 3])], [value("embedding", 1, ["N", 3])]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    content = model.SerializeToString()
    pixels = pictures()
    expected = run(content, Preprocessor(SPEC, layout="nhwc", dtype="float32")(list(pixels)))
    assert np.allclose(run(fold_preprocessing(content, SPEC, "nhwc"), pixels), expected, atol=1e-6)


def test_preprocessing_needs_float_pictures_of_its_size(content):
    folded = fold_preprocessing(content, SPEC, "nchw")
    with pytest.raises(ExportError, match="uint8"):
        fold_preprocessing(folded, SPEC, "nchw")
    with pytest.raises(ExportError, match="32, 32"):
        fold_preprocessing(content, InputSpec(32, 32), "nchw")
    with pytest.raises(BundleError, match="must be whole"):
        fold_preprocessing(content[:50], SPEC, "nchw")


def test_a_linear_layer_goes_behind_a_file(content):
    rng = np.random.default_rng(1)
    weight, bias = rng.standard_normal((5, 16)).astype(np.float32), rng.standard_normal(5).astype(np.float32)
    longer = append_linear(content, weight, bias)
    x = prepared(pictures())
    expected = run(content, x) @ weight.T + bias
    assert np.abs(run(longer, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    model = onnx.load_model_from_string(longer)
    assert [value.name for value in model.graph.output] == ["embedding"]
    assert shape_of(model.graph.output[0]) == ["N", 5]
    assert append_linear(content, weight, bias) == longer
    # Twice is fine too: names do not collide.
    twice = append_linear(longer, weight[:, :5], bias)
    assert np.allclose(run(twice, x), run(longer, x) @ weight[:, :5].T + bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("weight", "bias"), [((5, 15), (5,)), ((5, 16), (4,)), ((16,), (16,))])
def test_a_linear_layer_that_does_not_fit_is_refused(content, weight, bias):
    with pytest.raises(ExportError, match="'embedding' is float32"):
        append_linear(content, np.ones(weight, np.float32), np.ones(bias, np.float32))


class Odd(nn.Module):
    """Modules that cannot be exported, or not with an open batch."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        row = x.mean((2, 3))
        if self.kind == "operator":
            return torch.special.bessel_j0(row)
        if self.kind == "branch":
            return row if x.sum() > 0 else x.amax((2, 3))
        if self.kind == "one picture":
            return row.reshape(1, 3)
        if self.kind == "map":
            return x
        if self.kind == "two":
            return row, row
        raise RuntimeError("only on Tuesdays")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("operator", r"the module uses \S*bessel_j0"),
        ("branch", "control flow that depends on the values"),
        ("map", r"gives torch.float32 \(1, 3, 32, 24\)"),
        ("two", "gives tuple"),
        ("error", "only on Tuesdays"),
    ],
)
def test_what_cannot_be_exported_is_named_in_one_line(kind, message, capfd):
    with pytest.raises(ExportError, match=message) as caught:
        torch_to_onnx(Odd(kind), SPEC)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, EdgeImprintError)
    assert capfd.readouterr() == ("", "")


def test_a_module_for_one_picture_gets_a_batch_of_one():
    notes: list[str] = []
    content = torch_to_onnx(Odd("one picture"), SPEC, notes=notes)
    assert shape_of(onnx.load_model_from_string(content).graph.input[0]) == [1, 3, 32, 24]
    assert len(notes) == 1
    assert "batch is fixed at 1" in notes[0]


@pytest.mark.slow
def test_a_transformer_is_exported_with_parity():
    transformers = pytest.importorskip("transformers", reason="pip install 'edge-imprint[hub]'")

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.inner = transformers.ViTModel(
                    transformers.ViTConfig(
                        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                        image_size=32, patch_size=8,
                    )
                ).eval()  # fmt: skip

        def forward(self, x):
            return self.inner(x).last_hidden_state[:, 0]

    module = Vit().eval()
    content = torch_to_onnx(module, InputSpec(32, 32))
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    assert np.abs(run(content, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    kinds = {node.op_type for node in onnx.load_model_from_string(content).graph.node}
    assert not {"IsNaN", "Where", "If"} & kinds
