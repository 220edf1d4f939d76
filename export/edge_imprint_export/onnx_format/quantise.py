"""int8 .onnx files from a float32 one: QuantizeLinear and DequantizeLinear about every layer that gains by it.

Activations are unsigned 8-bit integers with one scale per tensor, weights signed ones with one scale per channel.
Before rounding, channels are brought to similar ranges where that changes nothing else; weights are rounded so that
the layer's output changes least on the calibration pictures, and so that x86 processors without VNNI, which add
products in int16, give the same embeddings as ARM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ExportError
from edge_imprint_export.int8.quantiser import Layer

from .int8.emit import Emitter, tensor_steps
from .int8.equalise import equalise
from .int8.graph import Graph
from .int8.grid import Grid, of_bytes, pixel_path, readers_take, taken_back
from .int8.histogram import Histogram
from .int8.plan import is_layer, plan
from .int8.statistics import Pictures, Runner, channels, sweep, weight_rows
from .int8.weights import IntegerWeights, integer_weights

METHODS = ("mse", "minmax", "percentile", "entropy")
# Operators between the input and the first layer that treat every pixel alike.
PIXELWISE = frozenset(["Cast", "Sub", "Add", "Mul", "Div", "Neg", "Transpose", "Gather"])
# Least cosine between the network's output before and after its channels were rescaled.
SAME = 0.9999
# Pictures that were not seen exceed the ranges of those that were, the more so the fewer were seen.
MOST_HEADROOM = 1.5


@dataclass(frozen=True)
class _Prepared:
    """What calibration found out: all that depends on the pictures and not on the choice of layers."""

    graph: Graph
    histograms: dict[str, Histogram]
    grids: dict[str, Grid]
    weights: dict[str, IntegerWeights]


class OnnxQuantiser:
    """Makes int8 files of one float32 .onnx file; see `int8.quantiser.Quantiser`.

    Calibration pictures run through the network twice, at the first `quantise`. What a file is quantised to depends on
    the file and the pictures alone.

    Args:
        content: the float32 file: one input, one output. Not modified.
        calibration: inputs (1, ...) as the file takes them, made on demand.

    Raises:
        ExportError: not an ONNX file, several inputs or outputs, quantised already, NaN in its weights, no layer that
            can be int8, or no calibration inputs.
        MissingRuntimeError: onnx or onnxruntime is missing.

    Example:
        ::

            quantiser = OnnxQuantiser(content, pictures)
            smaller = quantiser.quantise("minmax", keep_float=frozenset({quantiser.layers[0].name}))
    """

    methods: tuple[str, ...] = METHODS

    def __init__(self, content: bytes, calibration: Sequence[NDArray[Any]]) -> None:
        self._content = content
        self._calibration: Pictures = calibration
        graph = Graph(content)
        self.layers: tuple[Layer, ...] = tuple(
            Layer(node.name, node.op_type, _products(graph, node)) for node in graph.nodes if is_layer(graph, node)
        )
        if not self.layers:
            raise ExportError(
                "int8 needs layers with constant float32 weights (Conv, Gemm, MatMul); this network has none. "
                "Leave onnx-int8 out of the formats"
            )
        if not len(calibration):
            raise ExportError("int8 needs calibration pictures; got none. Name a folder of them (--calibration FOLDER)")

    def quantise(
        self, method: str, *, keep_float: frozenset[str] = frozenset(), only: frozenset[str] | None = None
    ) -> bytes:
        """A file whose layers are int8.

        Args:
            method: how the range of an activation follows from the calibration pictures, one of `methods`.
            keep_float: names of layers that stay float32.
            only: names of the layers that become int8; None for all.

        Raises:
            ExportError: an unknown method or layer, or a calibration picture that the network cannot take.
        """
        names = {layer.name for layer in self.layers}
        unknown = sorted((keep_float | (only or frozenset())) - names)
        if method not in self.methods or unknown:
            what = f"no layer is called {unknown[0]!r}" if unknown else f"no method is called {method!r}"
            raise ExportError(
                f"{what}; methods are {', '.join(self.methods)}, layers begin with {self.layers[0].name!r}"
            )
        made = self._prepared
        graph = made.graph
        chosen = frozenset((names if only is None else only) - keep_float)
        placed = plan(graph, chosen)
        ranges = {name: self._range(made, name, method) for name in placed.tensors}
        grids = {n: g for n, g in made.grids.items() if n in placed.tensors and readers_take(graph, n, placed.nodes)}
        steps = tensor_steps(graph, placed, ranges)
        steps |= {name: (grid.scale, grid.zero_point) for name, grid in grids.items()}
        weights = {node.name: self._weights(node, grids) for node in graph.nodes if node.name in chosen}
        return Emitter(graph, placed, steps, grids).content(weights)

    def _range(self, made: _Prepared, name: str, method: str) -> tuple[float, float]:
        """Range of a tensor with headroom for other pictures, which tensors with fixed bounds do not need."""
        low, high = made.histograms[name].range(method)
        if pixel_path(made.graph, name) is not None:
            return low, high
        headroom = min(1 + 2 / math.sqrt(len(self._calibration)), MOST_HEADROOM)
        bounds = made.graph.clip_bounds(made.graph.producer[name]) or (-math.inf, math.inf)
        return max(low * headroom, min(bounds[0], 0.0)), min(high * headroom, max(bounds[1], 0.0))

    def _weights(self, node: Any, grids: dict[str, Grid]) -> IntegerWeights:
        """A layer's integers; a first layer whose input is not on its grid here has others."""
        made = self._prepared
        if node.input[0] in made.grids and node.input[0] not in grids:
            return made.weights[f"{node.name} off the grid"]
        return made.weights[node.name]

    @cached_property
    def _prepared(self) -> _Prepared:
        graph = self._equalised()
        full = plan(graph, frozenset(layer.name for layer in self.layers))
        paths = {name: path for name in full.tensors if (path := pixel_path(graph, name)) is not None}
        from_bytes = self._calibration[0].dtype == np.uint8
        histograms, inputs, levels = sweep(graph, full, self._calibration, () if from_bytes else tuple(paths))
        found = {name: level.grid() for name, level in levels.items()}
        if from_bytes:
            found = {name: self._of_bytes(graph, name, path) for name, path in paths.items()}
        grids = {name: grid for name, grid in found.items() if grid is not None}
        grids = {name: grid for name, grid in grids.items() if readers_take(graph, name, full.nodes)}
        steps = tensor_steps(graph, full, {n: histogram.range("minmax") for n, histogram in histograms.items()})
        weights: dict[str, IntegerWeights] = {}
        for node in graph.nodes:
            if not is_layer(graph, node):
                continue
            rows, bias = weight_rows(graph, node), _bias(graph, node)
            seen, grid = inputs.pop(node.name), grids.get(node.input[0])
            noise = steps[node.input[0]][0] if node.input[0] in steps else 0.0
            if grid is not None:
                weights[f"{node.name} off the grid"] = integer_weights(rows, bias, seen, noise)
                rows, bias = taken_back(rows, bias, grid, seen.groups)
                seen.change(grid.factor, grid.shift)
                noise = grid.scale
            weights[node.name] = integer_weights(rows, bias, seen, noise)
        return _Prepared(graph, histograms, grids, weights)

    def _of_bytes(self, graph: Graph, name: str, path: list[Any]) -> Grid | None:
        run = Runner(graph, [name])
        return of_bytes(path, lambda picture: run(picture)[name], self._calibration[0].shape)

    def _equalised(self) -> Graph:
        """The network with its channels rescaled; as it is where rescaling would change what it computes."""
        graph, plain = Graph(self._content), Graph(self._content)
        equalise(graph, channels(graph, self._calibration))
        before, after = Runner(plain, [plain.output]), Runner(graph, [graph.output])
        for i in range(min(2, len(self._calibration))):
            picture = self._calibration[i]
            a = before(picture)[plain.output].astype(np.float64).reshape(-1)
            b = after(picture)[graph.output].astype(np.float64).reshape(-1)
            if not np.linalg.norm(a - b) <= (1 - SAME) * np.linalg.norm(a) + 1e-30:
                return plain
        return graph


def _bias(graph: Graph, node: Any) -> NDArray[np.float64]:
    name = node.input[2] if len(node.input) > 2 else ""
    outputs = len(weight_rows(graph, node))
    return np.broadcast_to(graph.constants[name].astype(np.float64), outputs) if name else np.zeros(outputs)


def _products(graph: Graph, node: Any) -> int:
    """Multiplications of a layer for one picture; an axis of unknown length counts once."""
    places = math.prod(max(axis, 1) for axis in graph.shapes.get(node.output[0], ())[1:])
    return max(1, places * int(weight_rows(graph, node)[0].size))
