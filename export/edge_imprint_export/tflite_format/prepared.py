"""A float32 .tflite file with all that calibration pictures say about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.tflite_format.layer_inputs import LayerInputs
from edge_imprint_export.tflite_format.network import Network
from edge_imprint_export.tflite_format.ranges import LEVELS, METHODS, Range, ranges
from edge_imprint_export.tflite_format.rounding import RoundedLayer, own_layers, reach_of, round_layer
from edge_imprint_export.tflite_format.statistics import collect

Statistics = dict[str, dict[str, NDArray[np.float32]]]


class Prepared:
    """All that does not depend on which layers become int8.

    Args:
        network: the float32 file. Not modified.
        calibration: input tensors (1, ...), made on demand. Run once.
        exact: ranges of tensors that are known.
        progress: told (pictures done, all pictures).
        seen: what the layers read, by the tensor that they write; None looks at it. Emptied.

    Attributes:
        flows: statistics of each tensor.
        seen: what the layers read, if it was looked at here.

    Raises:
        ExportError: see `collect`.
    """

    def __init__(
        self,
        network: Network,
        calibration: Sequence[NDArray[np.float32]],
        exact: dict[int, Range],
        progress: Callable[[int, int], None] | None = None,
        seen: dict[int, LayerInputs] | None = None,
    ) -> None:
        self._content = network.write()
        self.seen = own_layers(network) if seen is None else {}
        fed = {outputs[0]: inputs[0] for _, _, inputs, outputs in network}
        self.flows = collect(network, calibration, progress, [(fed[made], one) for made, one in self.seen.items()])
        self._ranges = {method: ranges(network, self.flows, method, exact) for method in METHODS}
        self._rounded: dict[str, RoundedLayer] = {}
        for code, _, inputs, outputs in network:
            known = self.seen.get(outputs[0]) if seen is None else seen.pop(outputs[0], None)
            if known is not None:
                step = self._step(inputs[0])
                self._rounded[network.name(outputs[0])] = round_layer(code, *_constants(network, inputs), known, step)

    def scaled(self, factors: dict[int, NDArray[np.float64]], network: Network) -> dict[int, LayerInputs]:
        """What the layers read where tensors are multiplied by a factor per channel; `seen` is empty afterwards."""
        fed = {outputs[0]: inputs[0] for _, _, inputs, outputs in network}
        found = {}
        for made in list(self.seen):
            one = self.seen.pop(made)
            found[made] = one.scaled(factors[fed[made]]) if fed[made] in factors else one
        return found

    def _step(self, tensor: int) -> float:
        """The least step that a tensor has with any method: what fits with it fits with all."""
        return min(float(high - low) for low, high in (each[tensor] for each in self._ranges.values())) / LEVELS

    def take(self, method: str, chosen: frozenset[str]) -> tuple[bytes, Statistics]:
        """The file with the weights of some layers rounded, and the quantizer's statistics of it.

        Args:
            method: how ranges are chosen, see `ranges.covering`.
            chosen: names of the layers that become int8; the others keep their weights.

        Returns:
            The file, and per tensor a minimum and a maximum, per output channel for weights.
        """
        network = Network(self._content)
        found = {network.name(i): _bounds(*range, len(network.shape(i))) for i, range in self._ranges[method].items()}
        for code, _, inputs, outputs in network:
            if not network.layer(code, inputs) or inputs[0] not in self._ranges[method]:
                continue
            layer = self._rounded.get(network.name(outputs[0])) if network.name(outputs[0]) in chosen else None
            if layer is None:
                reach = reach_of(code, *_constants(network, inputs), self._step(inputs[0]))
            else:
                reach = layer.reach
                network.change(inputs[1], layer.weights)
                if layer.bias is not None:
                    network.change(inputs[2], layer.bias)
            found[network.name(inputs[1])] = {"min": -reach, "max": reach}
        return network.write(), found


def _constants(network: Network, inputs: list[int]) -> tuple[Any, Any]:
    """Weights and bias of a layer; None where it has none."""
    return network.constant(inputs[1]), network.constant(inputs[2]) if len(inputs) > 2 and inputs[2] >= 0 else None


def _bounds(low: float, high: float, rank: int) -> dict[str, NDArray[np.float32]]:
    shape = (1,) * rank
    return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}
