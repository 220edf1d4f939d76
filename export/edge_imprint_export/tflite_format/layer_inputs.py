"""What the layers of a float32 .tflite file read: how their inputs vary together."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.tflite_format.network import Network

Array = NDArray[np.float64]
# Places of one picture that a layer's inputs are taken from, and inputs that are looked at together.
FEWEST_PLACES, MOST_PLACES = 16, 64
TOGETHER = 1024
# Numbers that wait until they are worth a matrix product.
_WAITING = 1 << 18
_SAME = 0  # Padding


class LayerInputs:
    """Mean and covariance of a layer's inputs, in blocks: those of a group, or up to TOGETHER neighbours.

    Memory does not grow with the number of pictures.

    Args:
        network: the file.
        code: the layer's operator, one of `network.CONVOLUTIONS`.
        operator: its schema object.
        inputs: its tensors.

    Attributes:
        groups: sets of output channels that read the same inputs; a depthwise layer has one for each input channel.
        blocks: parts that the inputs of a group come in.
    """

    def __init__(self, network: Network, code: str, operator: Any, inputs: list[int]) -> None:
        shape, fed = network.shape(inputs[1]), network.shape(inputs[0])
        self._depthwise = code == "DEPTHWISE_CONV_2D"
        if code == "FULLY_CONNECTED":
            self._channels, own, kernel = shape[1], shape[1], (1, 1)
        else:
            self._channels, own, kernel = fed[3], 1 if self._depthwise else shape[3], (shape[1], shape[2])
        self.groups = self._channels // own
        size = own * kernel[0] * kernel[1]
        self.blocks = 1 if self.groups > 1 else _parts(size)
        # Few inputs are known from few places.
        most = min(max(2 * size, FEWEST_PLACES), MOST_PLACES)
        if code == "FULLY_CONNECTED":
            self._index = _spread(int(np.prod(fed)) // own, most)[:, None]
            self._outside = np.zeros(self._index.shape, bool)
        else:
            self._index, self._outside = _windows(fed[1:3], kernel, operator.builtinOptions, most)
        self._padded = bool(self._outside.any())
        self._count, parts = 0, self.groups * self.blocks
        self._waiting: list[NDArray[np.float32]] = []
        self._sum = np.zeros((parts, size // self.blocks))
        self._products = np.zeros((parts, size // self.blocks, size // self.blocks))

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in the layer's input tensor for one picture."""
        taken = values.reshape(-1, self._channels).take(self._index, axis=0)  # places, kernel, channels
        if self._padded:
            taken[self._outside] = 0
        if self.groups > 1:
            taken = taken.reshape(*self._index.shape, self.groups, -1).transpose(0, 2, 1, 3)
        rows = taken.reshape(len(taken), len(self._sum), -1)
        self._waiting.append(rows)
        if len(self._waiting) * rows.size >= _WAITING:
            self._multiply()

    def _multiply(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting).transpose(1, 0, 2)
        self._waiting = []
        self._count += rows.shape[1]
        self._sum += rows.sum(axis=1)
        self._products += rows.transpose(0, 2, 1) @ rows

    def scaled(self, factors: Array) -> LayerInputs:
        """The same for inputs that are multiplied by a factor (channels,) each."""
        self._multiply()
        made = copy(self)
        own = np.repeat(factors.reshape(self.groups, 1, -1), self._sum.size // len(factors), axis=1)
        own = own.reshape(self._sum.shape)
        made._sum = self._sum * own
        made._products = self._products * own[:, :, None] * own[:, None, :]
        return made

    @property
    def mean(self) -> Array:
        """(groups * blocks, inputs)."""
        self._multiply()
        return self._sum / max(self._count, 1)

    @property
    def square(self) -> Array:
        """Mean products of inputs (groups * blocks, inputs, inputs)."""
        self._multiply()
        return self._products / max(self._count, 1)

    @property
    def covariance(self) -> Array:
        """(groups * blocks, inputs, inputs)."""
        mean = self.mean
        return self.square - mean[:, :, None] * mean[:, None, :]

    def parts(self, weights: Array) -> Array:
        """A layer's weights as (groups * blocks, outputs of a group, inputs)."""
        if self._depthwise:
            return weights.reshape(-1, self.groups, weights.shape[3] // self.groups).transpose(1, 2, 0)
        rows = weights.reshape(self.groups, len(weights) // self.groups, self.blocks, -1)
        return rows.transpose(0, 2, 1, 3).reshape(self.groups * self.blocks, rows.shape[1], -1)

    def whole(self, parts: Array, shape: tuple[int, ...]) -> Array:
        """The reverse of `parts`."""
        if self._depthwise:
            return parts.transpose(2, 0, 1).reshape(shape)
        rows = parts.reshape(self.groups, self.blocks, parts.shape[1], -1)
        return rows.transpose(0, 2, 1, 3).reshape(shape)

    def per_output(self, parts: Array) -> Array:
        """Sums over blocks of (groups * blocks, outputs of a group): (outputs,)."""
        return np.asarray(parts.reshape(self.groups, self.blocks, -1).sum(axis=1).reshape(-1))


def _parts(size: int) -> int:
    return next(b for b in range(1, size + 1) if size % b == 0 and size // b <= TOGETHER)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)


def _windows(
    size: tuple[int, ...], kernel: tuple[int, int], options: Any, most: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What a convolution reads at some places: numbers of pixels (places, taps), and which of them are padding."""
    strides, dilations = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    counts, starts = [], []
    for n, k, stride, dilation in zip(size, kernel, strides, dilations, strict=True):
        reach = (k - 1) * dilation + 1
        if options.padding == _SAME:  # as much as gives size / stride results, the odd one behind
            counts.append(-(-n // stride))
            starts.append(-(max((counts[-1] - 1) * stride + reach - n, 0) // 2))
        else:
            counts.append((n - reach) // stride + 1)
            starts.append(0)
    places = _spread(counts[0] * counts[1], most)
    taps = np.arange(kernel[0] * kernel[1])
    y = (places // counts[1] * strides[0] + starts[0])[:, None] + taps // kernel[1] * dilations[0]
    x = (places % counts[1] * strides[1] + starts[1])[:, None] + taps % kernel[1] * dilations[1]
    outside = (y < 0) | (y >= size[0]) | (x < 0) | (x >= size[1])
    return np.where(outside, 0, y * size[1] + x), outside
