"""What the calibration pictures show: two sweeps over them, with memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ExportError

from .equalise import Channels
from .graph import Graph, packages, session
from .grid import Levels
from .histogram import Histogram
from .plan import Plan, is_layer

Pictures = Sequence[NDArray[Any]]
Array = NDArray[np.float64]
# Places of one picture that a layer's inputs are taken from, and inputs that are looked at together.
PLACES = 256
TOGETHER = 1024


class Runner:
    """Runs a graph with some of its inner tensors as outputs."""

    def __init__(self, graph: Graph, names: Sequence[str]) -> None:
        onnx, _ = packages()
        self._input, self._names = graph.input, list(names)
        self._own = [name for name in self._names if name != graph.input]
        self._session = session(graph.with_outputs(self._own)) if self._own else None
        self._onnx = onnx

    def __call__(self, picture: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Each tensor's values for one input (1, ...)."""
        values: dict[str, NDArray[Any]] = {}
        if self._session is not None:
            try:
                values = dict(zip(self._own, self._session.run(self._own, {self._input: picture}), strict=True))
            except Exception as e:
                expected = self._session.get_inputs()[0]
                raise ExportError(
                    f"calibration inputs must be {expected.type} {expected.shape}; got {picture.dtype} "
                    f"{picture.shape}: {' '.join(str(e).split())[:200]}"
                ) from e
        if self._input in self._names:
            values[self._input] = picture
        return values


def channels(graph: Graph, pictures: Pictures) -> dict[str, Channels]:
    """Least, largest and mean squared value of each channel (axis 1) of every float tensor.

    Raises:
        ExportError: a tensor is not finite for one of the pictures.
    """
    names = [graph.input, *(name for node in graph.nodes for name in node.output if name)]
    run, found = Runner(graph, names), dict[str, Channels]()
    for i in range(len(pictures)):
        for name, value in run(pictures[i]).items():
            if value.ndim < 2 or value.dtype.kind != "f" or not value.size:
                continue
            axes = tuple(axis for axis in range(value.ndim) if axis != 1)
            low, high = value.min(axes).astype(np.float64), value.max(axes).astype(np.float64)
            if not np.isfinite(low + high).all():
                node = graph.producer.get(name)
                made = f"{node.op_type} {node.name!r}" if node is not None else "the input"
                raise ExportError(
                    f"activations must be finite; calibration picture {i} gives NaN or infinity in {name!r} "
                    f"({made}). Check the network's weights and what happens to a picture before it"
                )
            power = np.square(value, dtype=np.float64).mean(axes) / len(pictures)
            if name in found and len(found[name].low) == len(low):
                old = found[name]
                old.low, old.high = np.minimum(old.low, low), np.maximum(old.high, high)
                old.power = old.power + power
            else:
                found[name] = Channels(low, high, power, value.shape)
    return found


class Inputs:
    """Mean and covariance of a layer's inputs, in blocks: those of a group, or up to TOGETHER neighbours.

    Inputs are ordered by kernel position and then by channel.

    Attributes:
        mean: (blocks, inputs).
        covariance: (blocks, inputs, inputs).
    """

    def __init__(self, graph: Graph, node: Any) -> None:
        weights = graph.constants[node.input[1]]
        self._node, self._graph, self._convolution = node, graph, node.op_type == "Conv"
        self.groups = graph.attribute(node, "group", 1) if self._convolution else 1
        self._kernel = (*weights.shape[2:], 1)[:2] if self._convolution else (1, 1)
        inputs = weights.shape[1] * int(np.prod(self._kernel))
        if not self._convolution:
            inputs = weights.size // weight_rows(graph, node).shape[0]
        self.blocks = next(b for b in range(1, inputs + 1) if inputs % b == 0 and inputs // b <= TOGETHER)
        if self.groups > 1:
            self.blocks = 1
        self._count, size = 0, inputs // self.blocks
        self._sum = np.zeros((self.groups * self.blocks, size))
        self._products = np.zeros((self.groups * self.blocks, size, size))

    def add(self, value: NDArray[np.float32]) -> None:
        """Take in the layer's input tensor for one picture."""
        rows = self._rows(value)
        # In float32 the variance of inputs far from zero would drown in rounding.
        wide = rows.reshape(len(rows), len(self._sum), -1).transpose(1, 0, 2).astype(np.float64)
        self._count += wide.shape[1]
        self._sum += wide.sum(1)
        self._products += wide.transpose(0, 2, 1) @ wide

    @property
    def mean(self) -> Array:
        """(blocks, inputs)."""
        return self._sum / max(self._count, 1)

    @property
    def covariance(self) -> Array:
        """(blocks, inputs, inputs)."""
        mean = self.mean
        return self._products / max(self._count, 1) - mean[:, :, None] * mean[:, None, :]

    def change(self, factor: Array, shift: Array) -> None:
        """Describe inputs times a factor plus a shift, one of each per channel of the tensor."""
        taps = self._kernel[0] * self._kernel[1]
        own = [
            np.repeat(v.reshape(self.groups, 1, -1), taps, axis=1).reshape(len(self._sum), -1) for v in (factor, shift)
        ]
        scaled = self._sum * own[0]
        outer = scaled[:, :, None] * own[1][:, None, :]
        self._products = self._products * own[0][:, :, None] * own[0][:, None, :] + outer + outer.transpose(0, 2, 1)
        self._products += self._count * own[1][:, :, None] * own[1][:, None, :]
        self._sum = scaled + self._count * own[1]

    def _rows(self, value: NDArray[np.float32]) -> NDArray[np.float32]:
        """(places, groups * inputs)."""
        if not self._convolution:
            rows = value.reshape(-1, value.shape[-1])
            return rows[_places(len(rows))]
        if value.ndim == 3:
            value = value[..., None]
        attribute = self._graph.attribute
        strides = (*attribute(self._node, "strides", [1, 1]), 1)[:2]
        dilations = (*attribute(self._node, "dilations", [1, 1]), 1)[:2]
        reach = [(k - 1) * d + 1 for k, d in zip(self._kernel, dilations, strict=True)]
        begin, end = self._padding(value.shape[2:], strides, reach)
        padded = np.pad(value[0], ((0, 0), (begin[0], end[0]), (begin[1], end[1])))
        windows = np.lib.stride_tricks.sliding_window_view(padded, reach, (1, 2))
        windows = windows[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
        height, width = windows.shape[1:3]
        places = _places(height * width)
        taken = windows[:, places // width, places % width]  # channels, places, kernel
        taken = taken.reshape(self.groups, -1, len(places), self._kernel[0] * self._kernel[1])
        return taken.transpose(2, 0, 3, 1).reshape(len(places), -1)

    def _padding(self, size: Any, strides: Any, reach: Any) -> tuple[list[int], list[int]]:
        auto = self._graph.attribute(self._node, "auto_pad", b"NOTSET")
        if auto in (b"SAME_UPPER", b"SAME_LOWER"):
            total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(size, strides, reach, strict=True)]
            less = [t // 2 for t in total]
            more = [t - n for t, n in zip(total, less, strict=True)]
            return (less, more) if auto == b"SAME_UPPER" else (more, less)
        pads = self._graph.attribute(self._node, "pads", [0, 0, 0, 0])
        half = len(pads) // 2
        return [*pads[:half], 0][:2], [*pads[half:], 0][:2]


def _places(count: int) -> NDArray[np.int64]:
    return np.arange(count) if count <= PLACES else np.linspace(0, count - 1, PLACES).astype(np.int64)


def weight_rows(graph: Graph, node: Any) -> Array:
    """A layer's weights with its outputs first: (outputs, inputs) or (outputs, inputs of a group, kernel...)."""
    weights = graph.constants[node.input[1]].astype(np.float64)
    turned = node.op_type == "MatMul" or (node.op_type == "Gemm" and not graph.attribute(node, "transB", 0))
    return np.ascontiguousarray(weights.T) if turned else weights


def sweep(
    graph: Graph, plan: Plan, pictures: Pictures, pixels: Sequence[str]
) -> tuple[dict[str, Histogram], dict[str, Inputs], dict[str, Levels]]:
    """Histograms of the tensors that a plan stores in 8 bits, the inputs of each layer, and the values of `pixels`."""
    layers = [node for node in graph.nodes if is_layer(graph, node)]
    inputs = {node.name: Inputs(graph, node) for node in layers}
    histograms = {name: Histogram() for name in plan.tensors}
    levels = {name: Levels() for name in pixels}
    run = Runner(graph, list(dict.fromkeys([*plan.tensors, *(node.input[0] for node in layers)])))
    for i in range(len(pictures)):
        values = run(pictures[i])
        for name, histogram in histograms.items():
            histogram.add(values[name])
        for name, level in levels.items():
            level.add(values[name])
        for node in layers:
            inputs[node.name].add(values[node.input[0]])
    return histograms, inputs, levels
