"""Weights of int8 .tflite files rounded by what the layers read, and ranges of what calibration hardly sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flatmodel import Net
from numpy.typing import NDArray

from edge_imprint.backbones.flatbuffer import read_graph
from edge_imprint.backbones.tflite import TfliteRunner

pytest.importorskip("ai_edge_quantizer", reason="needs the quantizer: pip install 'edge-imprint[export]'")
from edge_imprint_export.tflite_format.network import OUTPUT_AXIS, Network
from edge_imprint_export.tflite_format.prepared import Prepared
from edge_imprint_export.tflite_format.quantise import TfliteQuantiser
from edge_imprint_export.tflite_format.rounding import own_layers
from edge_imprint_export.tflite_format.statistics import collect

Array = NDArray[np.float32]
SAME, VALID = 0, 1


def smooth(shape: tuple[int, ...], count: int, seed: int) -> list[Array]:
    """Pictures whose neighbouring pixels and channels vary together, as those of real ones do."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (count, *shape)) + rng.normal(0, 1, (count, *shape[:-1], 1))
    for axis in range(1, values.ndim - 1):
        values = values + np.roll(values, 1, axis)
        values = values + np.roll(values, 2, axis)
    return list((values + 0.4).astype(np.float32)[:, None])


def layer(
    kind: str,
    fed: tuple[int, ...],
    kernel: tuple[int, ...],
    made: tuple[int, ...],
    *,
    bias: bool = True,
    **options: Any,
) -> bytes:
    """A file of one layer with random weights."""
    rng = np.random.default_rng(5)
    net = Net()
    outputs = made[-1]
    inputs = [net.input("in", (1, *fed)), net.constant("w", rng.normal(0, 0.4, kernel).astype(np.float32))]
    inputs += [net.constant("b", rng.normal(0, 0.2, outputs).astype(np.float32))] if bias else []
    if kind == "FULLY_CONNECTED":
        return net.write(net.operator(kind, inputs, net.tensor("out", (1, *made)), "FullyConnectedOptions", **options))
    settings = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": SAME, **options}
    name = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    return net.write(net.operator(kind, inputs, net.tensor("out", (1, *made)), name, **settings))


def run(content: bytes, pictures: list[Array]) -> NDArray[np.float64]:
    """Rows (n, ...) of a float file's output."""
    runner = TfliteRunner(content, "x.tflite", threads=1)
    return np.concatenate([runner(picture) for picture in pictures]).astype(np.float64)


LAYERS = {
    "same, stride 2": layer("CONV_2D", (7, 6, 3), (5, 3, 3, 3), (4, 3, 5), strideW=2, strideH=2),
    "valid": layer("CONV_2D", (5, 6, 3), (5, 3, 2, 3), (3, 5, 5), padding=VALID),
    "dilated": layer("CONV_2D", (6, 6, 2), (4, 3, 3, 2), (6, 6, 4), dilationHFactor=2, dilationWFactor=2),
    "1x1, stride 2": layer("CONV_2D", (5, 5, 6), (4, 1, 1, 6), (3, 3, 4), strideW=2, strideH=2),
    "depthwise": layer("DEPTHWISE_CONV_2D", (4, 4, 6), (1, 3, 3, 6), (4, 4, 6), depthMultiplier=1),
    "depthwise, two each": layer(
        "DEPTHWISE_CONV_2D", (8, 7, 3), (1, 3, 3, 6), (4, 4, 6), depthMultiplier=2, strideW=2, strideH=2
    ),
    "dense": layer("FULLY_CONNECTED", (12,), (7, 12), (7,)),
}


@pytest.mark.parametrize("content", LAYERS.values(), ids=LAYERS)
def test_what_a_layer_reads_explains_what_it_writes(content: bytes) -> None:
    """Mean and variance of each output follow from the inputs', whatever the window; scaled inputs alike."""
    network = Network(content)
    pictures = smooth(network.shape(network.input)[1:], 20, seed=1)
    (seen,) = own_layers(network).values()
    collect(network, pictures, layers=[(network.input, seen)])
    found = run(content, pictures)
    channels = found.shape[-1]
    rows = found.reshape(-1, channels)
    ((_, _, inputs, _),) = list(network)
    weights = network.constant(inputs[1]).astype(np.float64)
    parts = seen.parts(weights)
    assert np.array_equal(seen.whole(parts, weights.shape), weights)
    mean = seen.per_output((parts @ seen.mean[:, :, None])[:, :, 0]) + network.constant(inputs[2])
    # Places are all taken, or evenly spread ones of them.
    spread = found[0].size // channels > 18
    assert mean == pytest.approx(rows.mean(axis=0), abs=0.15 if spread else 1e-4)
    variance = np.einsum("goi,gij,goj->go", parts, seen.covariance, parts).reshape(-1)
    assert variance == pytest.approx(rows.var(axis=0), rel=0.3 if spread else 1e-4)

    factors = np.linspace(0.5, 3, network.shape(network.input)[-1])
    (direct,) = own_layers(network).values()
    collect(network, [picture * factors.astype(np.float32) for picture in pictures], layers=[(network.input, direct)])
    assert seen.scaled(factors).mean == pytest.approx(direct.mean, rel=1e-4, abs=1e-5)
    assert seen.scaled(factors).covariance == pytest.approx(direct.covariance, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "kernel", "bias"),
    [
        ("CONV_2D", (8, 3, 3, 24), True),
        ("CONV_2D", (8, 1, 1, 24), True),
        ("FULLY_CONNECTED", (8, 24), True),
        ("FULLY_CONNECTED", (8, 24), False),
        ("DEPTHWISE_CONV_2D", (1, 3, 3, 24), True),
    ],
)
def test_a_layers_output_changes_less_than_by_plain_rounding(kind: str, kernel: tuple[int, ...], bias: bool) -> None:
    outputs = kernel[OUTPUT_AXIS[kind]]
    more = {"depthMultiplier": 1} if kind == "DEPTHWISE_CONV_2D" else {}
    places = () if kind == "FULLY_CONNECTED" else (8, 8)
    content = layer(kind, (*places, 24), kernel, (*places, outputs), bias=bias, **more)
    # Far from zero on average, each channel in its own way.
    means = np.linspace(-8, 8, 24, dtype=np.float32)
    pictures = [picture + means for picture in smooth((*places, 24), 24 if places else 400, seed=2)]
    wanted = run(content, pictures)
    name = Network(content).name(Network(content).output)
    rounded, statistics = Prepared(Network(content), pictures, {}).take("minmax", frozenset({name}))

    plain = Network(content)
    ((_, _, inputs, _),) = list(plain)
    step = statistics[plain.name(inputs[1])]["max"] / np.float32(127)
    plain.change(inputs[1], np.rint(plain.constant(inputs[1]) / step) * step)
    lost = {
        "rounded": np.square(run(rounded, pictures) - wanted).mean(),
        "plain": np.square(run(plain.write(), pictures) - wanted).mean(),
    }
    # Nine inputs have less room for taking over each other's errors.
    most = 0.9 if kind == "DEPTHWISE_CONV_2D" else 0.3
    assert 0 < lost["rounded"] < most * lost["plain"]
    if bias:  # none of what remains is a shift
        shift = (run(rounded, pictures) - wanted).reshape(-1, outputs).mean(axis=0)
        assert np.abs(shift).max() < 0.3 * np.sqrt(lost["plain"])


def three_layers() -> tuple[bytes, list[Array]]:
    """A convolution, a depthwise one, the mean over places, and a linear layer."""
    rng = np.random.default_rng(6)
    net = Net()

    def normal(*shape: int) -> int:
        return net.constant("", rng.normal(0, 0.4, shape).astype(np.float32))

    same = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": SAME}
    relu = {**same, "fusedActivationFunction": 1}
    one = net.operator(
        "CONV_2D", [net.input("in", (1, 8, 8, 3)), normal(8, 3, 3, 3), normal(8)],
        net.tensor("one", (1, 8, 8, 8)), "Conv2DOptions", **relu,
    )  # fmt: skip
    two = net.operator(
        "DEPTHWISE_CONV_2D", [one, normal(1, 3, 3, 8), normal(8)],
        net.tensor("two", (1, 8, 8, 8)), "DepthwiseConv2DOptions", depthMultiplier=1, **relu,
    )  # fmt: skip
    axes = net.constant("axes", np.array([1, 2], np.int32))
    pooled = net.operator("MEAN", [two, axes], net.tensor("pooled", (1, 8)), "ReducerOptions", keepDims=False)
    three = net.operator(
        "FULLY_CONNECTED", [pooled, normal(6, 8), normal(6)], net.tensor("three", (1, 6)), "FullyConnectedOptions"
    )
    return net.write(three), smooth((8, 8, 3), 12, seed=3)


def stored(network: Network, tensor: int) -> NDArray[Any]:
    """A constant as the file has it."""
    kind = {0: np.float32, 2: np.int32, 9: np.int8}[network.tensors[tensor].type]
    data = network.model.buffers[network.tensors[tensor].buffer].data
    return np.frombuffer(bytes(data), kind).reshape(network.shape(tensor))


def test_the_file_holds_the_integers_that_were_chosen() -> None:
    content, pictures = three_layers()
    every = frozenset(layer.name for layer in TfliteQuantiser(content, pictures).layers)
    assert len(every) == 3
    floats, statistics = Prepared(Network(content), pictures, {}).take("minmax", every)
    chosen, made = Network(floats), Network(TfliteQuantiser(content, pictures).quantise("minmax"))
    pairs = [(a, b) for a, b in zip(chosen, made, strict=True) if len(a[2]) == 3]
    changed = 0
    for (code, _, inputs, _), (_, _, written, _) in pairs:
        step = statistics[chosen.name(inputs[1])]["max"] / np.float32(127)
        whole = chosen.constant(inputs[1]) / step
        assert np.abs(whole - np.rint(whole)).max() < 1e-3
        assert np.array_equal(stored(made, written[1]), np.rint(whole)), code
        assert made.tensors[written[1]].quantization.scale == pytest.approx(step.ravel(), rel=1e-6)
        shift = stored(made, written[2]) * made.tensors[written[2]].quantization.scale
        assert shift == pytest.approx(chosen.constant(inputs[2]), abs=1e-3)
        changed += int((np.rint(whole) != np.rint(dict(originals(content))[code] / step)).sum())
    assert changed > 0  # somewhere another integer than the nearest was better


def originals(content: bytes) -> list[tuple[str, Array]]:
    """Operator and weights of each layer of the float file."""
    network = Network(content)
    return [(code, network.constant(inputs[1])) for code, _, inputs, _ in network if len(inputs) == 3]


@pytest.mark.parametrize("kept", ["one", "two", "three"])
def test_layers_that_stay_float_keep_their_weights(kept: str) -> None:
    content, pictures = three_layers()
    quantiser = TfliteQuantiser(content, pictures)
    others = frozenset(layer.name for layer in quantiser.layers) - {kept}
    wanted = Network(content)
    (own,) = [inputs for _, _, inputs, outputs in wanted if wanted.name(outputs[0]) == kept]
    for settings in ({"keep_float": frozenset({kept})}, {"only": others}):
        made = Network(quantiser.quantise("minmax", **settings))
        floats = [i for code, _, i, _ in made if code in OUTPUT_AXIS and made.tensors[i[1]].type == 0]
        assert len(floats) == 1
        for place in (1, 2):
            assert np.array_equal(stored(made, floats[0][place]), wanted.constant(own[place]))


@pytest.mark.parametrize("method", ["minmax", "mse", "percentile"])
def test_what_has_one_place_gets_room_for_other_pictures(method: str) -> None:
    """An embedding and what is pooled have one value per channel and picture; elsewhere levels are not given away."""
    content, pictures = three_layers()
    flows = collect(Network(content), pictures)
    seen = {Network(content).name(i): flow for i, flow in flows.items()}
    graph = read_graph(TfliteQuantiser(content, pictures).quantise(method), "x")
    width = {}
    for operator, name in zip(graph.operators, ("one", "two", "pooled", "three"), strict=True):
        scale, _ = graph.tensors[operator.outputs[0]].quantisation or (0.0, 0)
        width[name] = 255 * scale / (max(seen[name].high, 0) - min(seen[name].low, 0))
    assert width["pooled"] == pytest.approx(width["three"], rel=0.01)
    assert 1.25 <= width["three"] <= 1.6
    assert max(width["one"], width["two"]) <= 1.01


def test_a_tensor_without_axes_is_no_obstacle() -> None:
    """The mean of everything, taken off again."""
    net = Net()
    source = net.input("in", (1, 6))
    axes = net.constant("axes", np.array([0, 1], np.int32))
    mean = net.operator("MEAN", [source, axes], net.tensor("mean", ()), "ReducerOptions", keepDims=False)
    less = net.operator("SUB", [source, mean], net.tensor("less", (1, 6)), "SubOptions")
    rng = np.random.default_rng(7)
    weights = [
        net.constant("w", rng.normal(0, 0.4, (4, 6)).astype(np.float32)),
        net.constant("b", np.zeros(4, np.float32)),
    ]
    content = net.write(
        net.operator("FULLY_CONNECTED", [less, *weights], net.tensor("out", (1, 4)), "FullyConnectedOptions")
    )
    pictures = list(rng.normal(0, 1, (12, 1, 6)).astype(np.float32))
    made = TfliteQuantiser(content, pictures).quantise("minmax")
    assert read_graph(made, "x").tensors[read_graph(made, "x").outputs[0]].dtype == "int8"
