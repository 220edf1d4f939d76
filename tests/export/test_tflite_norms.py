"""int8 files of networks that normalise as they run: layer norm and its like."""

from __future__ import annotations

import numpy as np
import pytest
from flatmodel import Net, classifier
from flatrun import cosines, embed
from numpy.typing import NDArray

from edge_imprint.backbones.flatbuffer import read_graph

pytest.importorskip("ai_edge_quantizer", reason="needs the quantizer: pip install 'edge-imprint[export]'")
from edge_imprint_export.tflite_format.quantise import TfliteQuantiser


def normalising(rng: np.random.Generator) -> bytes:
    """A convolution, a layer norm over channels whose spread differs a thousandfold by picture, a convolution."""
    net = Net()

    def conv(source: int, name: str, kernel: NDArray[np.float64]) -> int:
        made = net.tensor(name, (1, 8, 8, kernel.shape[0]))
        constants = [net.constant("", kernel.astype(np.float32)), net.constant("", np.zeros(len(kernel), np.float32))]
        return net.operator("CONV_2D", [source, *constants], made, "Conv2DOptions", strideW=1, strideH=1)

    def mean(source: int, name: str, axes: list[int], shape: tuple[int, ...], keep: bool) -> int:
        over = net.constant("", np.array(axes, np.int32))
        return net.operator("MEAN", [source, over], net.tensor(name, shape), "ReducerOptions", keepDims=keep)

    one = conv(net.input("in", (1, 8, 8, 3)), "one", rng.normal(0, 0.5, (16, 3, 3, 3)))
    centre = mean(one, "centre", [3], (1, 8, 8, 1), True)
    squares = net.operator("SQUARED_DIFFERENCE", [one, centre], net.tensor("squares", (1, 8, 8, 16)))
    spread = mean(squares, "spread", [3], (1, 8, 8, 1), True)
    root = net.operator("RSQRT", [spread], net.tensor("root", (1, 8, 8, 1)))
    rest = net.operator("SUB", [one, centre], net.tensor("rest", (1, 8, 8, 16)), "SubOptions")
    norm = net.operator("MUL", [rest, root], net.tensor("norm", (1, 8, 8, 16)), "MulOptions")
    two = conv(norm, "two", rng.normal(0, 0.5, (12, 1, 1, 16)))
    return net.write(mean(two, "out", [1, 2], (1, 12), False))


def test_what_normalises_as_it_runs_stays_float32_between_int8_layers() -> None:
    rng = np.random.default_rng(8)
    content = normalising(rng)
    pictures = rng.uniform(-1, 1, (64, 1, 8, 8, 3)).astype(np.float32)
    pictures *= np.geomspace(0.02, 1, 64, dtype=np.float32)[:, None, None, None, None]
    one = TfliteQuantiser(content, pictures[::2])
    assert one.between == ("centre", "squares", "spread", "root", "rest", "norm")
    made = one.quantise("minmax")
    graph = read_graph(made, "x")
    kinds = {graph.tensors[i].name: graph.tensors[i].dtype for i in range(len(graph.tensors))}
    assert all(kinds[name] == "float32" for name in one.between)
    assert [graph.tensors[i].dtype for i in (*graph.inputs, *graph.outputs)] == ["int8", "int8"]
    assert [layer.name for layer in one.layers] == ["one", "two"]
    # The darkest pictures are 3 steps of an int8 input: nothing behind it makes up for that.
    bright = pictures[33::2, 0]
    assert cosines(embed(made, bright), embed(content, bright)).min() >= 0.995


def test_a_network_without_such_norms_is_int8_throughout() -> None:
    pictures = np.random.default_rng(8).uniform(-1, 1, (8, 1, 8, 8, 3)).astype(np.float32)
    assert TfliteQuantiser(classifier(), pictures).between == ()
