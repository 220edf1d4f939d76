"""Rounding a layer's weights so that its output changes least on the calibration pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.onnx_format.int8.rounding import rounded
from edge_imprint_export.tflite_format.layer_inputs import LayerInputs
from edge_imprint_export.tflite_format.network import OUTPUT_AXIS, Network

# A bias is stored in steps of input step times weight step, as int32. Half of its bits are left to the sum of products.
_MOST_BIAS = 1 << 29


@dataclass(frozen=True)
class RoundedLayer:
    """A layer whose weights are whole multiples of a step per output channel.

    Attributes:
        weights: float32, in the shape they had.
        bias: (outputs,) float32, with the mean of the rounding error taken out; None where a layer has none.
        reach: 127 steps, float32 in the shape of the weights with all axes but the outputs' of length 1.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    reach: NDArray[np.float32]


def own_layers(network: Network) -> dict[int, LayerInputs]:
    """Layers that can be rounded, by the tensor that they write: their weights and bias are nobody else's."""
    readers = network.readers()
    return {
        outputs[0]: LayerInputs(network, code, operator, inputs)
        for code, operator, inputs, outputs in network
        if network.layer(code, inputs)
        and not network.is_constant(inputs[0])
        and all(len(readers[tensor]) == 1 for tensor in inputs[1:] if tensor >= 0)
    }


def reach_of(
    code: str, weights: NDArray[np.float32], bias: NDArray[np.float32] | None, step: float
) -> NDArray[np.float32]:
    """Range of each output channel's weights, wide enough for the bias of the channel to fit its int32.

    Training leaves channels whose weights are all but zero and whose bias is not. Their step would be so small that the
    bias overflows, and the channel would be wrong by whole units.

    Args:
        code: the layer's operator.
        weights: as the file has them.
        bias: (outputs,) or None.
        step: of the layer's input in 8 bits.

    Returns:
        Shape of the weights with all axes but the outputs' of length 1.
    """
    others = tuple(i for i in range(weights.ndim) if i != OUTPUT_AXIS[code])
    reach = np.abs(weights).max(axis=others, keepdims=True).astype(np.float64)
    if bias is not None:
        reach = np.maximum(reach, 127 * np.abs(bias.astype(np.float64)).reshape(reach.shape) / (step * _MOST_BIAS))
    return np.asarray(np.maximum(reach, 1e-9), np.float32)


def round_layer(
    code: str, weights: NDArray[np.float32], bias: NDArray[np.float32] | None, seen: LayerInputs, step: float
) -> RoundedLayer:
    """Round a layer's weights to multiples of a 127th of their reach.

    Args:
        code: the layer's operator.
        weights: as the file has them.
        bias: (outputs,) or None.
        seen: what the layer was seen to read.
        step: of its input in 8 bits, whose rounding counts as noise.
    """
    reach = reach_of(code, weights, bias, step)
    steps = (reach / np.float32(127)).astype(np.float64)
    parts = seen.parts(weights.astype(np.float64))
    part_steps = seen.parts(np.broadcast_to(steps, weights.shape))[:, :, 0]
    # Without a bias nothing makes up for a mean error, so it counts like any other.
    varying = seen.covariance if bias is not None else seen.square
    whole = rounded(parts, varying + step**2 / 12 * np.eye(parts.shape[2]), part_steps, pairs=False)
    if bias is not None:
        left_over = (parts - whole * part_steps[:, :, None]) @ seen.mean[:, :, None]
        bias = (bias + seen.per_output(left_over[:, :, 0])).astype(np.float32)
    return RoundedLayer((seen.whole(whole, weights.shape) * steps).astype(np.float32), bias, reach)
