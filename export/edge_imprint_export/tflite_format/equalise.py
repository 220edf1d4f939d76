"""Cross-layer equalisation: give the channels of a tensor similar ranges, without changing what the network computes.

A tensor has one step for all channels, so a channel with a small range gets few levels. Between layers that are
linear, or end in ReLU, a channel may be multiplied by any s > 0 where it is made and divided by s where it is read
(Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.1). Here the
ranges are those that were measured, and a tensor that passes through additions keeps one s along the whole chain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.tflite_format.network import OUTPUT_AXIS, Network
from edge_imprint_export.tflite_format.ranges import is_one_place
from edge_imprint_export.tflite_format.statistics import Flow

_NONE, _RELU = 0, 1  # ActivationFunctionType
# Operators after which channel c is still channel c, scaled as before.
_PASSING = {"PAD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RELU", "MEAN", "RESHAPE"}
_FURTHEST = 64.0
_HALF_WAY = 0.5


def can_equalise(network: Network) -> bool:
    """Whether any tensor of a network allows it."""
    return any(readers for _, readers in _Chains(network).free())


def equalise(network: Network, flows: dict[int, Flow]) -> dict[int, NDArray[np.float64]]:
    """Equalise every tensor that allows it.

    Args:
        network: its weights are changed in place; the embedding stays the same up to rounding in float32.
        flows: statistics of its tensors; not valid any more for the tensors that were changed.

    Returns:
        The factor per channel (channels,) of each tensor that was changed.
    """
    chains = _Chains(network)
    scales: dict[int, NDArray[np.float64]] = {}
    for tensors, readers in chains.free():
        # Rounding before a mean averages out over its places; what is left of a chain is the error of the mean itself.
        pooled = [tensor for tensor in tensors if is_one_place(network.shape(tensor))]
        scale = _scale([flows[tensor] for tensor in pooled or tensors])
        for tensor in tensors:
            chains.scale_made(tensor, scale)
        for number in readers:
            chains.scale_read(number, 1 / scale)
        scales.update(dict.fromkeys(tensors, scale))
    return scales


def _scale(flows: list[Flow]) -> NDArray[np.float64]:
    """Factor per channel: half of the way (in logarithms) to equal ranges.

    The weights of one output share a step too: what evens out the channels makes these uneven. And a channel that
    stayed small on the calibration pictures may be larger on others. On trained networks the whole way was worse than
    none.
    """
    reach = np.max([np.maximum(-flow.channel_low, flow.channel_high) for flow in flows], axis=0).astype(np.float64)
    top = float(reach.max())
    if top <= 0:
        return np.ones_like(reach)
    return np.asarray(np.minimum(top / np.maximum(reach, 1e-9 * top), _FURTHEST) ** _HALF_WAY)


class _Chains:
    """Sets of tensors whose channels must be scaled alike."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.operators = list(network)
        self.readers = network.readers()
        self.maker = {tensor: i for i, (_, _, _, outputs) in enumerate(self.operators) for tensor in outputs}
        self.parent: dict[int, int] = {}
        self.fixed = {network.input, network.output}
        for number, (code, operator, inputs, outputs) in enumerate(self.operators):
            self._visit(number, code, operator, inputs, outputs)

    def _visit(self, number: int, code: str, operator: Any, inputs: list[int], outputs: list[int]) -> None:
        network = self.network
        if self._is_layer(number):
            if operator.builtinOptions.fusedActivationFunction not in (_NONE, _RELU):
                self.fixed.add(outputs[0])
        elif code == "ADD" and self._plain_addition(operator, inputs, outputs):
            for tensor in inputs:
                self._join(tensor, outputs[0])
        elif code in _PASSING and self._passes(code, operator, inputs, outputs):
            self._join(inputs[0], outputs[0])
        else:
            self.fixed.update(tensor for tensor in [*inputs, *outputs] if not network.is_constant(tensor))

    def _is_layer(self, number: int) -> bool:
        code, _, inputs, _ = self.operators[number]
        own = all(len(self.readers[tensor]) == 1 for tensor in inputs[1:] if tensor >= 0)
        return self.network.layer(code, inputs) and own and not self.network.is_constant(inputs[0])

    def _plain_addition(self, operator: Any, inputs: list[int], outputs: list[int]) -> bool:
        shape = self.network.shape(outputs[0])
        same = all(self.network.shape(i) == shape and not self.network.is_constant(i) for i in inputs)
        return same and operator.builtinOptions.fusedActivationFunction in (_NONE, _RELU)

    def _passes(self, code: str, operator: Any, inputs: list[int], outputs: list[int]) -> bool:
        before, after = self.network.shape(inputs[0]), self.network.shape(outputs[0])
        if not before or not after or before[-1] != after[-1]:
            return False
        if code == "MEAN":
            axes = {int(axis) % len(before) for axis in np.ravel(self.network.constant(inputs[1]))}
            return len(before) - 1 not in axes
        options = operator.builtinOptions
        return getattr(options, "fusedActivationFunction", _NONE) in (_NONE, _RELU)

    def _root(self, tensor: int) -> int:
        while self.parent.setdefault(tensor, tensor) != tensor:
            tensor = self.parent[tensor]
        return tensor

    def _join(self, one: int, other: int) -> None:
        self.parent[self._root(one)] = self._root(other)

    def free(self) -> list[tuple[list[int], list[int]]]:
        """Sets of tensors that may be scaled, in graph order, and the numbers of the layers that read them."""
        sets: dict[int, list[int]] = {}
        for _, _, _, outputs in self.operators:
            for tensor in outputs:
                sets.setdefault(self._root(tensor), []).append(tensor)
        bound = {self._root(tensor) for tensor in self.fixed}
        made = [(tensors, self._layers_reading(tensors)) for root, tensors in sets.items() if root not in bound]
        return [(tensors, readers) for tensors, readers in made if readers]

    def _layers_reading(self, tensors: list[int]) -> list[int]:
        found = {number for tensor in tensors for number in self.readers.get(tensor, []) if self._is_layer(number)}
        return sorted(found)

    def scale_made(self, tensor: int, scale: NDArray[np.float64]) -> None:
        """Multiply the channels of a tensor where a layer makes it."""
        number = self.maker[tensor]
        if not self._is_layer(number):
            return
        code, _, inputs, _ = self.operators[number]
        weights = self.network.constant(inputs[1])
        shape = [1] * weights.ndim
        shape[OUTPUT_AXIS[code]] = -1
        self.network.change(inputs[1], weights * scale.reshape(shape))
        if len(inputs) > 2 and inputs[2] >= 0:
            self.network.change(inputs[2], self.network.constant(inputs[2]) * scale)

    def scale_read(self, number: int, scale: NDArray[np.float64]) -> None:
        """Multiply the channels of its input inside a layer's weights."""
        inputs = self.operators[number][2]
        weights = self.network.constant(inputs[1])
        per_weight = np.repeat(scale, weights.shape[-1] // len(scale))  # depthwise: several outputs per input
        self.network.change(inputs[1], weights * per_weight)
