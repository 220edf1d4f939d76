"""Whole ONNX networks in torch: parity, tracing, what is refused, and the way to TFLite."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'edge-imprint[export]'")
torch = pytest.importorskip("torch", reason="pip install 'edge-imprint[export]'")
ort = pytest.importorskip("onnxruntime", reason="pip install 'edge-imprint[export]'")

from onnx_graphs import FLOAT, INT64, compare, graph, ints, node, normal, run  # noqa: E402

from edge_imprint.errors import BundleError, ExportError  # noqa: E402
from edge_imprint_export.onnx_format.to_torch import onnx_to_torch  # noqa: E402

helper = onnx.helper
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def vit():
    transformers = pytest.importorskip("transformers", reason="pip install 'edge-imprint[hub]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = transformers.ViTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32,
            patch_size=8, num_labels=10,
        )  # fmt: skip
        torch.manual_seed(0)
        return transformers.ViTForImageClassification(config).eval()


class Logits(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x).logits


def exported(module, shape, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (torch.zeros(shape),), input_names=["x"], output_names=["y"], dynamo=True, external_data=False,
            verbose=False, opset_version=18, **options,
        )  # fmt: skip
    return program.model_proto.SerializeToString()


def traced(content, x):
    """Embeddings of three pictures by a program that was traced with two."""
    module = onnx_to_torch(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        two = torch.from_numpy(np.concatenate([x[:1]] * 2))
        program = torch.export.export(module, (two,), dynamic_shapes=({0: torch.export.Dim("N")},))
    with torch.no_grad():
        return program.module()(torch.from_numpy(x)).numpy()


def test_the_default_backbone_in_torch_takes_any_batch(repository):
    content = (repository / "edge_imprint" / "backbones" / "default" / "backbone.onnx").read_bytes()
    x = normal(3, 3, 80, 80)
    compare(content, x[:1], 1e-5)
    expected = np.concatenate([run(content, x[i : i + 1]) for i in range(3)])
    assert np.abs(traced(content, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    names = [name for name, _ in onnx_to_torch(content).named_parameters()]
    assert any("embed_weight" in name for name in names)  # recognisable in a table of layers


def test_a_quantised_file_keeps_its_steps(repository):
    content = (repository / "edge_imprint" / "backbones" / "default" / "backbone.int8.onnx").read_bytes()
    compare(content, normal(1, 3, 80, 80), 0.02)  # a step here and there: sums in another order


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v1", "densenet121", "resnet50"])
def test_networks_of_the_model_zoo(name):
    """The graphs, with constant weights, that onnx itself is tested with."""
    path = LIGHT / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this onnx comes without its test data")
    content = path.read_bytes()
    compare(content, normal(1, 3, 224, 224), 1e-4)


@pytest.mark.slow
def test_a_vision_transformer_survives_the_round_trip():
    network = Logits(vit())
    content = exported(network, (2, 3, 32, 32), dynamic_shapes=({0: torch.export.Dim("N")},))
    x = normal(3, 3, 32, 32)
    compare(content, x, 1e-5)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    assert np.abs(traced(content, x) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_parts_of_a_gelu_become_one_operator():
    class Gelu(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.gelu(x).mean((2, 3))

    content = exported(Gelu(), (1, 3, 8, 8))
    module = onnx_to_torch(content)
    assert "Gelu" in [step.node.operator for step in module._steps]
    assert "Erf" not in [step.node.operator for step in module._steps]
    compare(content, normal(1, 3, 8, 8))


def test_an_unknown_operator_is_named_with_its_node():
    content = graph(node("NonZero", ["x"]), [1, 3], opset=13)
    with pytest.raises(ExportError, match=r"NonZero .first at node 'node_under_test'."):
        onnx_to_torch(content)
    made = onnx.load_model_from_string(content)
    made.graph.node[0].op_type, made.graph.node[0].domain = "Warp", "org.example"
    with pytest.raises(ExportError, match=r"org\.example::Warp"):
        onnx_to_torch(made.SerializeToString())


@pytest.mark.parametrize(
    ("nodes", "weights", "opset", "message"),
    [
        (node("MaxPool", ["x"], 2, kernel_shape=[2, 2]), {}, 13, "MaxPool 'node_under_test'"),
        (node("AveragePool", ["x"], kernel_shape=[2, 2], dilations=[2, 2]), {}, 19, "dilated"),
        (node("Resize", ["x", "", "s"], antialias=1, mode="linear"), {"s": np.float32([1, 1, 2, 2])}, 18, "antialias"),
        (node("Pad", ["x", "p"], mode="reflect"), {"p": ints(0, 1, 0, 0, 0, 1, 0, 0)}, 13, "mode 'reflect'"),
        (
            [helper.make_node("Cast", ["x"], ["i"], to=INT64), helper.make_node("Flatten", ["i"], ["f"], axis=0),
             helper.make_node("Squeeze", ["f"], ["s"]), node("Reshape", ["x", "s"])],
            {}, 12, "depends on the picture",
        ),
    ],
)  # fmt: skip
def test_a_form_that_is_not_translated_is_refused(nodes, weights, opset, message):
    content = graph(nodes, [1, 2, 4, 4], weights, opset)
    if "MaxPool" in message:
        made = onnx.load_model_from_string(content)
        made.graph.node.append(helper.make_node("Cast", ["y1"], ["z"], to=FLOAT))
        made.graph.node.append(helper.make_node("Add", ["y", "z"], ["end"]))
        made.graph.output[0].name = "end"
        content = made.SerializeToString()
    with pytest.raises(ExportError, match=message):
        onnx_to_torch(content)(torch.zeros(1, 2, 4, 4))


def test_bytes_that_are_no_network_are_refused():
    with pytest.raises(BundleError, match="must be whole"):
        onnx_to_torch(b"ONNX, surely")
    content = graph(node("Relu", ["x"]), [1, 3])
    made = onnx.load_model_from_string(content)
    made.graph.input.append(helper.make_tensor_value_info("z", FLOAT, [1]))
    with pytest.raises(ExportError, match="has 2 and 1"):
        onnx_to_torch(made.SerializeToString())


@pytest.mark.slow
def test_the_default_backbone_becomes_tflite(repository):
    """Through torch, with channels last, as the exporter writes it."""
    litert_torch = pytest.importorskip("litert_torch", reason="pip install 'edge-imprint[export]'")
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    content = (repository / "edge_imprint" / "backbones" / "default" / "backbone.onnx").read_bytes()
    x = normal(1, 3, 80, 80)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = litert_torch.to_channel_last_io(onnx_to_torch(content), args=[0])
        flat = litert_torch.convert(module.eval(), (torch.zeros(1, 80, 80, 3),)).model_content()
    interpreter = interpreter_module.Interpreter(model_content=flat, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.transpose(0, 2, 3, 1).copy())
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = run(content, x)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
    operators = {one["op_name"] for one in interpreter._get_ops_details()}
    assert operators <= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "PAD", "PADV2", "MEAN", "SUM", "MUL", "AVERAGE_POOL_2D",
                         "RESHAPE", "FULLY_CONNECTED", "DELEGATE", "RELU"}, operators  # fmt: skip
