"""From what flows through a tensor to the range that its 256 levels cover."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_imprint_export.tflite_format.network import Network
from edge_imprint_export.tflite_format.statistics import Flow

Range = tuple[float, float]

LEVELS = 255
# Share of the values that a percentile range leaves out, at both ends together.
_LEFT_OUT = 1e-5
# The error that "mse" weighs: a little above the square, because what is clipped is what a feature was for.
_POWER = 2.4
_SHRINK = np.linspace(0.3, 1.0, 36)
# A tensor of one place has one value per channel and picture: calibration hardly sees its extremes.
_ONE_PLACE = 1.4

METHODS = ("minmax", "mse", "percentile")


def ranges(network: Network, flows: dict[int, Flow], method: str, exact: dict[int, Range]) -> dict[int, Range]:
    """The range of every tensor of a network.

    Args:
        network: the float32 file.
        flows: statistics of its tensors.
        method: one of `METHODS`, see `covering`.
        exact: what is known about some tensors.
    """
    found = {tensor: covering(flow, method) for tensor, flow in flows.items()}
    for tensor, flow in flows.items():
        # What leaves the network is what imprinting compares, and none of it is clipped; nor what leads there.
        if tensor == network.output or is_one_place(network.shape(tensor)):
            low, high = covering(flow, "minmax")
            found[tensor] = low * _ONE_PLACE, high * _ONE_PLACE
    found[network.input] = pixel_grid(*covering(flows[network.input], "minmax"))
    return found | {tensor: pixel_grid(*range) for tensor, range in exact.items()}


def is_one_place(shape: tuple[int, ...]) -> bool:
    """Whether a tensor holds one value per channel, as after a global pool."""
    return math.prod(shape[:-1]) == 1


def covering(flow: Flow, method: str) -> Range:
    """The range of a tensor, which always holds 0: padding is 0, and must be exact.

    Args:
        flow: its statistics.
        method: "minmax", "percentile" (all but one value in 100,000) or "mse" (least error to the power 2.4).
    """
    low, high = min(flow.low, 0.0), max(flow.high, 0.0)
    if low == high:
        return 0.0, 1.0  # a tensor of zeros: any step will do
    if method == "percentile":
        return _percentile(flow, low, high)
    if method == "mse":
        return _least_error(flow, low, high)
    return low, high


def _percentile(flow: Flow, low: float, high: float) -> Range:
    shares = np.cumsum(flow.counts) / max(1, int(flow.counts.sum()))
    width = 2 * flow.reach / len(flow.counts)
    first = int(np.searchsorted(shares, _LEFT_OUT / 2, side="right"))
    last = int(np.searchsorted(shares, 1 - _LEFT_OUT / 2, side="left"))
    return max(low, min(0.0, first * width - flow.reach)), min(high, max(0.0, (last + 1) * width - flow.reach))


def _least_error(flow: Flow, low: float, high: float) -> Range:
    used = np.flatnonzero(flow.counts)
    centres, counts = flow.centres()[used], flow.counts[used].astype(np.float64)
    errors = [_error(centres, counts, low * shrink, high * shrink) for shrink in _SHRINK]
    best = float(_SHRINK[int(np.argmin(errors))])
    return low * best, high * best


def _error(centres: NDArray[np.float64], counts: NDArray[np.float64], low: float, high: float) -> float:
    """Expected |error|^2.4: half a step's worth inside, the distance to the end outside."""
    step = (high - low) / LEVELS
    outside = np.maximum(np.maximum(low - centres, centres - high), 0.0)
    # The mean of |e|^p for e even over one step is (step / 2)^p / (p + 1).
    inside = (step / 2) ** _POWER / (_POWER + 1)
    return float(counts @ (outside**_POWER + inside * (outside == 0)))


def pixel_grid(low: float, high: float) -> Range:
    """The range of an input, moved so that pixels fall onto levels.

    With a mean of 127.5 zero lies half-way between two levels. Rounding there would put two pixel values onto one
    level and skip the next; a range whose zero is a level, half a step lower, keeps all 256 apart, and a shift of
    half a pixel is nothing to a network.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / LEVELS
    if step <= 0:
        return 0.0, 1.0
    zero = np.ceil(-128 - low / step - 0.5 - 1e-3)
    return float((-128 - zero) * step), float((127 - zero) * step)
