"""From a float32 .tflite file to int8 ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import small_cnn
from flatmodel import Net
from flatrun import cosines, embed
from numpy.typing import NDArray

from edge_imprint.backbones import InputSpec
from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.errors import BundleError, ExportError

pytest.importorskip("ai_edge_quantizer", reason="needs the quantizer: pip install 'edge-imprint[export]'")
from edge_imprint_export.tflite_format.equalise import equalise
from edge_imprint_export.tflite_format.network import Network
from edge_imprint_export.tflite_format.quantise import TfliteQuantiser
from edge_imprint_export.tflite_format.ranges import covering, pixel_grid
from edge_imprint_export.tflite_format.statistics import Flow, collect

SPEC = InputSpec(height=small_cnn.SIDE, width=small_cnn.SIDE)
CALIBRATING = small_cnn.prepared(small_cnn.pictures(64, seed=1)[0])[:, None]
JUDGING = small_cnn.prepared(small_cnn.pictures(48, seed=2)[0])


@pytest.fixture(scope="module")
def content() -> bytes:
    pytest.importorskip("litert_torch", reason="needs the converter: pip install 'edge-imprint[export]'")
    from edge_imprint_export.tflite_format.build import torch_to_tflite

    return torch_to_tflite(small_cnn.trained_cnn(), SPEC)


@pytest.fixture(scope="module")
def quantiser(content: bytes) -> TfliteQuantiser:
    return TfliteQuantiser(content, CALIBRATING)


@pytest.fixture(scope="module")
def wanted() -> NDArray[np.float32]:
    return small_cnn.embed(small_cnn.trained_cnn(), JUDGING)


@pytest.mark.parametrize("method", ["equalised", "equalised-mse", "minmax", "mse", "percentile"])
def test_every_method_keeps_the_direction(
    quantiser: TfliteQuantiser, content: bytes, wanted: NDArray[np.float32], method: str
) -> None:
    assert method in quantiser.methods
    made = quantiser.quantise(method)
    found = cosines(embed(made, JUDGING), wanted)
    assert found.min() >= 0.995
    assert found.mean() >= 0.999
    graph = read_graph(made, "x")
    assert {graph.tensors[i].dtype for i in (*graph.inputs, *graph.outputs)} == {"int8"}
    assert not {"QUANTIZE", "DEQUANTIZE"} & {operator.name for operator in graph.operators}
    assert quantiser.quantise(method) == made


def test_weights_have_a_step_per_channel(quantiser: TfliteQuantiser) -> None:
    network = Network(quantiser.quantise("minmax"))
    layers = [(code, inputs) for code, _, inputs, _ in network if len(inputs) == 3]
    assert len(layers) == len(quantiser.layers) == 13
    for code, inputs in layers:
        weights = network.tensors[inputs[1]]
        assert len(weights.quantization.scale) == network.shape(inputs[2])[0] > 1, code


def test_layers_that_stay_float(quantiser: TfliteQuantiser, content: bytes, wanted: NDArray[np.float32]) -> None:
    names = [layer.name for layer in quantiser.layers]
    assert len(set(names)) == len(names)
    plain, mixed = quantiser.quantise("minmax"), quantiser.quantise("minmax", keep_float=frozenset(names[:4]))
    graph = read_graph(mixed, "x")
    assert {graph.tensors[i].dtype for i in (*graph.inputs, *graph.outputs)} == {"int8"}
    assert {"QUANTIZE", "DEQUANTIZE"} <= {operator.name for operator in graph.operators}
    # What is left is mostly the rounding of the output, which both share.
    assert cosines(embed(mixed, JUDGING), wanted).mean() > cosines(embed(plain, JUDGING), wanted).mean() - 5e-6

    # Everything float32 but one layer: nearly the embeddings of the float file, and not quite.
    alone = quantiser.quantise("minmax", only=frozenset(names[:1]))
    graph = read_graph(alone, "x")
    assert {graph.tensors[i].dtype for i in (*graph.inputs, *graph.outputs)} == {"float32"}
    loss = 1 - cosines(embed(alone, JUDGING), wanted).mean()
    assert 1e-7 < loss < 1 - cosines(embed(plain, JUDGING), wanted).mean()


def test_settings_do_not_run_the_pictures_again(content: bytes) -> None:
    class Counting(list[NDArray[np.float32]]):
        taken = 0

        def __getitem__(self, index: Any) -> Any:
            Counting.taken += 1
            return super().__getitem__(index)

    told: list[tuple[int, int]] = []
    quantiser = TfliteQuantiser(
        content, Counting(CALIBRATING[:6]), progress=lambda done, total: told.append((done, total))
    )
    assert Counting.taken == 0
    for layer in quantiser.layers[:3]:
        quantiser.quantise("mse", keep_float=frozenset({layer.name}))
        quantiser.quantise("percentile", only=frozenset({layer.name}))
    assert Counting.taken == 6
    assert told == [(i + 1, 6) for i in range(6)]
    quantiser.quantise("equalised")
    quantiser.quantise("equalised-mse")
    assert Counting.taken == 12


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(content: bytes, quantiser: TfliteQuantiser, tmp_path: Any) -> None:
    (tmp_path / "x.tflite").write_bytes(content)
    np.save(tmp_path / "x.npy", CALIBRATING)
    code = (
        "import hashlib, numpy, pathlib, sys; from edge_imprint_export.tflite_format.quantise import TfliteQuantiser;"
        "folder = pathlib.Path(sys.argv[1]);"
        "q = TfliteQuantiser((folder / 'x.tflite').read_bytes(), numpy.load(folder / 'x.npy'));"
        "print(*(hashlib.sha256(q.quantise(m)).hexdigest() for m in ('equalised', 'mse')));"
        "print('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    digests = [hashlib.sha256(quantiser.quantise(method)).hexdigest() for method in ("equalised", "mse")]
    # Nothing but the answer on either stream; and quantising needs no torch.
    assert (done.stdout.split(), done.stderr) == ([*digests, "False"], "")


def test_raw_pixels_arrive_unrounded(wanted: NDArray[np.float32]) -> None:
    """The first layer's int8 output holds every pixel of every channel."""
    pytest.importorskip("litert_torch", reason="needs the converter: pip install 'edge-imprint[export]'")
    from edge_imprint_export.tflite_format.build import torch_to_tflite

    raw = torch_to_tflite(small_cnn.trained_cnn(), SPEC, fold="raw_float")
    calibrating = np.rint(CALIBRATING * 127.5 + 127.5).astype(np.float32)
    made = TfliteQuantiser(raw, calibrating[:32]).quantise("equalised")
    graph = read_graph(made, "x")
    assert graph.tensors[graph.inputs[0]].quantisation == (1.0, -128)
    scale, zero_point = graph.tensors[graph.operators[0].outputs[0]].quantisation or (0.0, 0)
    assert (scale, zero_point in (-1, 0)) == (1.0, True)  # pixel - 127 or pixel - 128, all 256 of them
    judged = np.rint(JUDGING * 127.5 + 127.5).astype(np.float32)
    found = cosines(embed(made, judged), wanted)
    assert found.min() >= 0.995
    assert found.mean() >= 0.999


def by_hand(*, dead: bool = False, signature: bool = False, names: tuple[str, str] = ("a", "b")) -> bytes:
    """A convolution and its pool as another converter might write them."""
    rng = np.random.default_rng(3)
    net = Net()
    weights = rng.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    bias = rng.normal(0, 0.2, 8).astype(np.float32)
    if dead:
        weights[2], bias[2] = 1e-12, 1.5
    source = net.input("in", (1, 8, 8, 3))
    made = net.tensor(names[0], (1, 8, 8, 8))
    kernel, shift = net.constant("w", weights), net.constant("w", bias)
    net.operator(
        "CONV_2D", [source, kernel, shift], made, "Conv2DOptions", strideW=1, strideH=1, fusedActivationFunction=1
    )
    axes = net.constant("axes", np.array([1, 2], np.int32))
    pooled = net.operator("MEAN", [made, axes], net.tensor(names[1], (1, 8)), "ReducerOptions", keepDims=False)
    if signature:
        of = net.schema.TensorMapT
        net.model.signatureDefs = [
            net.schema.SignatureDefT(
                signatureKey=key.encode(),
                subgraphIndex=0,
                inputs=[of(name=b"x", tensorIndex=source)],
                outputs=[of(name=b"y", tensorIndex=pooled)],
            )
            for key in ("serving_default", "other")
        ]
    return net.write(pooled)


@pytest.mark.parametrize(
    "settings",
    [{}, {"signature": True}, {"names": ("same", "same")}, {"names": ("", "")}, {"names": ("a.*[(+", "a|b;c")}],
)
def test_a_users_own_file(settings: dict[str, Any]) -> None:
    """No signature or two, and any names: several tensors with one, or with what means something in an expression."""
    content = by_hand(**settings)
    pictures = np.random.default_rng(0).uniform(-1, 1, (12, 1, 8, 8, 3)).astype(np.float32)
    quantiser = TfliteQuantiser(content, list(pictures))
    wanted = embed(content, pictures[:, 0])
    assert cosines(embed(quantiser.quantise("minmax"), pictures[:, 0]), wanted).min() > 0.999
    (layer,) = quantiser.layers
    mixed = quantiser.quantise("minmax", keep_float=frozenset({layer.name}))
    assert "DEQUANTIZE" in {operator.name for operator in read_graph(mixed, "x").operators}


def test_a_channel_without_weights_keeps_its_bias() -> None:
    """Its weights' own step would make the bias overflow, and the channel wrong by whole units."""
    content = by_hand(dead=True)
    pictures = np.random.default_rng(0).uniform(-1, 1, (12, 1, 8, 8, 3)).astype(np.float32)
    made = TfliteQuantiser(content, list(pictures)).quantise("minmax")
    found, wanted = embed(made, pictures[:, 0]), embed(content, pictures[:, 0])
    assert np.abs(wanted[:, 2] - 1.5).max() < 1e-6
    assert np.abs(found[:, 2] - 1.5).max() < 0.02


def uneven() -> bytes:
    """Two convolutions with a residual between them, whose channels differ a hundredfold in range."""
    rng = np.random.default_rng(4)
    net = Net()
    gains = np.geomspace(0.01, 1, 8).astype(np.float32)

    def conv(source: int, name: str, kernel: NDArray[np.float32], bias: NDArray[np.float32], act: int) -> int:
        made = net.tensor(name, (1, 8, 8, len(bias)))
        constants = [net.constant("", kernel.astype(np.float32)), net.constant("", bias.astype(np.float32))]
        options = {"strideW": 1, "strideH": 1, "fusedActivationFunction": act}
        return net.operator("CONV_2D", [source, *constants], made, "Conv2DOptions", **options)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    scaled = gains[:, None, None, None]
    one = conv(net.input("in", (1, 8, 8, 3)), "one", normal(8, 3, 3, 3) * scaled, normal(8) * gains, 1)
    two = conv(one, "two", normal(8, 3, 3, 8) * scaled / gains, normal(8) * gains, 0)
    total = net.operator("ADD", [one, two], net.tensor("sum", (1, 8, 8, 8)), "AddOptions", fusedActivationFunction=0)
    three = conv(total, "three", normal(12, 1, 1, 8) / gains, normal(12), 0)
    axes = net.constant("axes", np.array([1, 2], np.int32))
    return net.write(net.operator("MEAN", [three, axes], net.tensor("out", (1, 12)), "ReducerOptions"))


def test_equalising_evens_out_channels_and_keeps_the_embeddings(content: bytes, wanted: NDArray[np.float32]) -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (16, 1, 8, 8, 3)).astype(np.float32)
    network = Network(uneven())
    before = collect(network, list(pictures))
    equalise(network, before)
    after = collect(network, list(pictures))
    for tensor in (outputs[0] for code, _, _, outputs in network if code != "MEAN"):
        reach = [np.maximum(-flow.channel_low, flow.channel_high) for flow in (before[tensor], after[tensor])]
        spread = [float(values.max() / values.min()) for values in reach]
        assert spread[1] < spread[0] / 3 or network.name(tensor) == "three"
    wanted_here = embed(uneven(), pictures[:, 0])
    assert np.abs(embed(network.write(), pictures[:, 0]) - wanted_here).max() <= 1e-5 * np.abs(wanted_here).max()
    quantiser = TfliteQuantiser(uneven(), list(pictures))
    lost = {m: 1 - cosines(embed(quantiser.quantise(m), pictures[:, 0]), wanted_here).mean() for m in quantiser.methods}
    assert lost["equalised"] < lost["minmax"] / 4

    trained = Network(content)  # with ReLU6, depthwise layers and padding in between
    equalise(trained, collect(trained, CALIBRATING[:16]))
    assert np.abs(embed(trained.write(), JUDGING) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_ranges_leave_out_what_is_rare() -> None:
    rng = np.random.default_rng(0)
    flow = Flow(4)
    for _ in range(4):
        flow.add(rng.normal(0, 1, (1, 64, 64, 4)).astype(np.float32))
    flow.add(np.full((1, 1, 1, 4), 40.0, np.float32))  # the histogram grows with it
    assert flow.counts.sum() == 4 * 64 * 64 * 4 + 4
    assert covering(flow, "minmax") == (flow.low, 40.0)
    tailed = Flow(4)
    tailed.add(rng.laplace(0, 1, (1, 256, 256, 4)).astype(np.float32))
    assert 6 < covering(tailed, "mse")[1] < 0.95 * tailed.high
    rare = Flow(4)
    rare.add(np.concatenate([rng.normal(0, 1, 400_000), [90.0, -90.0, 70.0, 1]]).astype(np.float32).reshape(-1, 4))
    assert 3 < covering(rare, "percentile")[1] <= 90
    masked = Flow(2)
    masked.add(np.array([[-np.inf, 1.0], [0.5, -3e38]], np.float32))
    assert covering(masked, "minmax") == (0.0, 1.0)


def test_pixels_fall_onto_levels() -> None:
    low, high = pixel_grid(-1.0, 1.0)
    step = (high - low) / 255
    assert step == pytest.approx(2 / 255)
    zero = round(-128 - low / step)
    levels = np.floor((np.arange(256) - 127.5) / 127.5 / step + 0.5 + 1e-6) + zero
    assert levels.tolist() == list(range(-128, 128))
    assert pixel_grid(0.0, 255.0) == (0.0, 255.0)


def test_what_cannot_be_quantised(content: bytes, quantiser: TfliteQuantiser) -> None:
    with pytest.raises(ExportError, match=r"one of equalised, .*; got 'entropy'"):
        quantiser.quantise("entropy")
    with pytest.raises(ExportError, match=r"there is no 'nothing'"):
        quantiser.quantise("minmax", keep_float=frozenset({"nothing"}))
    with pytest.raises(ExportError, match=r"needs calibration pictures; got none"):
        TfliteQuantiser(content, []).quantise("minmax")
    with pytest.raises(ExportError, match=r"must be float32 \(1, 32, 32, 3\); got float32 \(1, 9, 9, 3\)"):
        TfliteQuantiser(content, [np.zeros((1, 9, 9, 3), np.float32)]).quantise("minmax")
    with pytest.raises(ExportError, match=r"must give finite numbers"):
        TfliteQuantiser(content, [np.full((1, 32, 32, 3), np.nan, np.float32)]).quantise("minmax")
    with pytest.raises(ExportError, match=r"this one is quantised"):
        TfliteQuantiser(quantiser.quantise("minmax"), CALIBRATING)
    with pytest.raises(BundleError, match=r"whole flatbuffer"):
        TfliteQuantiser(content[: len(content) // 2], CALIBRATING)
