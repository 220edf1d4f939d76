"""Weights and biases as integers, one scale per output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rounding import limit_pairs, rounded
from .statistics import Inputs

Array = NDArray[np.float64]
# A bias takes at most this share of int32, so that products fit beside it.
BIAS_LIMIT = 2.0**29
LEAST_SCALE = 1e-12


@dataclass(frozen=True)
class IntegerWeights:
    """Weights of a layer in 8 bits.

    Attributes:
        values: int8 (out, ...), outputs first.
        scale: (out,) float32.
        bias: (out,) float64, with the mean of the rounding error taken out.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: Array

    def integer_bias(self, input_scale: float) -> NDArray[np.int32]:
        """The bias (out,) in steps of input scale times weight scale."""
        steps = np.rint(self.bias / (np.float64(np.float32(input_scale)) * self.scale.astype(np.float64)))
        return np.clip(steps, -(2**31) + 1, 2**31 - 1).astype(np.int32)


def in_order(weights: Array) -> Array:
    """Weights (out, in of a group, kernel...) as rows whose products a processor adds in this order."""
    return np.moveaxis(weights, 1, -1).reshape(len(weights), -1)


def pair_limit(weights: Array) -> Array:
    """Largest |a + b| of neighbours a, b of equal sign, per output channel, in the order in which x86 adds products.

    x86 without VNNI adds two products of u8 and s8 in int16, which overflows above 255 * 128; with more it would give
    other embeddings than ARM. A depthwise convolution widens first and is not concerned.
    """
    if is_depthwise(weights):
        return np.zeros(len(weights))
    rows = in_order(weights)
    if rows.shape[1] == 1:
        return np.zeros(len(weights))
    sums = np.abs(rows[:, :-1] + rows[:, 1:]) * (rows[:, :-1] * rows[:, 1:] > 0)
    return np.asarray(sums.max(1))


def is_depthwise(weights: Array) -> bool:
    """Whether each output of weights (out, in of a group, kernel...) sees one input channel."""
    return weights.ndim > 2 and weights.shape[1] == 1


def integer_weights(weights: Array, bias: Array, inputs: Inputs, input_scale: float) -> IntegerWeights:
    """Round a layer's weights to int8.

    The scale of a channel makes its largest weight 127, or less where neighbours add up to more (`pair_limit`). A
    channel whose weights are all zero, or tiny beside its bias, gets a scale in which its bias still fits.

    Args:
        weights: (out, in of a group, kernel...) or (out, in).
        bias: (out,).
        inputs: what the layer was seen to read.
        input_scale: step of the layer's input in 8 bits; its rounding error counts as noise in the inputs.
            0.0 for a layer that reads float32 and keeps its bias in it.
    """
    top = np.abs(weights.reshape(len(weights), -1)).max(1)
    scale = np.maximum(top, pair_limit(weights)) / 127
    if input_scale:
        scale = np.maximum(scale, np.abs(bias) / (input_scale * BIAS_LIMIT))
    scale = np.maximum(scale, LEAST_SCALE).astype(np.float32)
    steps, rows = scale.astype(np.float64), in_order(weights)
    blocks = (inputs.groups, len(rows) // inputs.groups, inputs.blocks, -1)
    parts = rows.reshape(blocks).transpose(0, 2, 1, 3).reshape(inputs.groups * inputs.blocks, blocks[1], -1)
    noise = input_scale**2 / 12 * np.eye(parts.shape[2])
    part_steps = np.repeat(steps.reshape(inputs.groups, -1), inputs.blocks, axis=0)
    limited = not is_depthwise(weights)
    whole = rounded(parts, inputs.covariance + noise, part_steps, pairs=limited)
    left_over = (parts - whole * part_steps[:, :, None]) @ inputs.mean[:, :, None]
    bias = bias + left_over.reshape(inputs.groups, inputs.blocks, -1).sum(1).reshape(-1)
    whole = whole.reshape(inputs.groups, inputs.blocks, blocks[1], -1).transpose(0, 2, 1, 3).reshape(rows.shape)
    if limited:
        whole = limit_pairs(whole)
    shape = (len(weights), *weights.shape[2:], weights.shape[1])
    values = np.ascontiguousarray(np.moveaxis(whole.reshape(shape), -1, 1)).astype(np.int8)
    return IntegerWeights(values, scale, bias)


def steps_of(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point of an unsigned 8-bit tensor that expresses low to high; zero is within and exact.

    A tensor that is always zero gets the scale 1.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if high == low:
        return 1.0, 0
    scale = max((high - low) / 255, LEAST_SCALE)
    return float(np.float32(scale)), int(np.clip(np.rint(-low / scale), 0, 255))
