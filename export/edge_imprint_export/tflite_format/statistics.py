"""What flows through a float32 .tflite file on calibration pictures: ranges, histograms, energy per channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import ExportError
from edge_imprint_export.tflite_format.layer_inputs import LayerInputs
from edge_imprint_export.tflite_format.network import FLOAT32, Network
from edge_imprint_export.tflite_format.quiet import quiet

BINS = 4096
# Values of one tensor and picture that enter its histogram; minimum and maximum are always those of all values.
_COUNTED = 1 << 15
# Masks are added as -inf or as the lowest number there is; neither is a value to quantise.
_FINITE = 1e30


class Flow:
    """Statistics of one tensor over all pictures: memory does not grow with their number.

    Attributes:
        low, high: extreme values.
        channel_low, channel_high, channel_square: per entry of the last axis, the square as a mean.
        broken: whether a NaN came by.
        counts: histogram of `BINS` bins over -reach to reach.
        reach: a power of two.
    """

    def __init__(self, channels: int) -> None:
        self.low, self.high = np.inf, -np.inf
        self.channel_low = np.full(channels, np.inf, np.float32)
        self.channel_high = np.full(channels, -np.inf, np.float32)
        self.channel_square = np.zeros(channels)
        self.pictures = 0
        self.broken = False
        self.reach = 2.0**-20
        self.counts = np.zeros(BINS, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in one picture's values."""
        rows = values.reshape(-1, len(self.channel_low))
        low, high = _extremes(rows)
        if not (low.min() > -_FINITE and high.max() < _FINITE):
            self.broken = self.broken or bool(np.isnan(rows).any())
            rows = np.where(np.abs(rows) < _FINITE, rows, np.float32(0))
            low, high = _extremes(rows)
        np.minimum(self.channel_low, low, out=self.channel_low)
        np.maximum(self.channel_high, high, out=self.channel_high)
        self.low, self.high = min(self.low, float(low.min())), max(self.high, float(high.max()))
        self.channel_square += (np.einsum("ij,ij->j", rows, rows) / len(rows) - self.channel_square) / (
            self.pictures + 1
        )
        self.pictures += 1
        self._count(rows.reshape(-1))

    def _count(self, values: NDArray[np.float32]) -> None:
        most = max(-self.low, self.high)
        while self.reach < most:  # twice as far: bins join in pairs, about the middle
            halves = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([np.zeros(BINS // 4, np.int64), halves, np.zeros(BINS // 4, np.int64)])
            self.reach *= 2
        step = max(1, len(values) // _COUNTED)
        while gcd(step, len(self.channel_low)) != 1:  # else some channels would never be counted
            step += 1
        places = (values[::step] + np.float32(self.reach)) * np.float32(BINS / (2 * self.reach))
        self.counts += np.bincount(np.minimum(places.astype(np.int32), BINS - 1), minlength=BINS)

    def centres(self) -> NDArray[np.float64]:
        """Middle of each bin."""
        return np.asarray((np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach, np.float64)


def _extremes(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least and largest of each column. Several rows side by side are faster than rows of a few numbers."""
    count, columns = rows.shape
    beside = gcd(count, 1 << max(0, 10 - columns.bit_length()))
    wide = rows.reshape(-1, beside * columns)
    low, high = wide.min(axis=0).reshape(beside, columns), wide.max(axis=0).reshape(beside, columns)
    return low.min(axis=0), high.max(axis=0)


def collect(
    network: Network,
    calibration: Sequence[NDArray[np.float32]],
    progress: Callable[[int, int], None] | None = None,
    layers: Sequence[tuple[int, LayerInputs]] = (),
) -> dict[int, Flow]:
    """Run calibration pictures through a float32 file.

    Args:
        network: the file. Not modified.
        calibration: input tensors (1, ...), made on demand.
        progress: told (pictures done, all pictures).
        layers: what is also shown the values of a tensor, with the tensor.

    Returns:
        Statistics of each float32 tensor that is computed or fed.

    Raises:
        ExportError: no pictures, an input that does not fit, a network that gives NaN.
    """
    if not len(calibration):
        raise ExportError("int8 needs calibration pictures; got none. Give a folder of pictures")
    watched = [network.input] + [tensor for _, _, _, outputs in network for tensor in outputs]
    watched = [tensor for tensor in watched if network.tensors[tensor].type == FLOAT32]
    flows = {tensor: Flow((network.shape(tensor) or (1,))[-1]) for tensor in watched}
    with quiet():
        interpreter = _interpreter(network.write())
        for number in range(len(calibration)):
            _run(interpreter, network, calibration[number])
            for tensor, flow in flows.items():
                values = interpreter.tensor(tensor)()
                flow.add(values)
                del values  # the interpreter refuses to run while anybody looks into it
            for tensor, seen in layers:
                seen.add(interpreter.tensor(tensor)())
            if progress is not None:
                progress(number + 1, len(calibration))
    for tensor, flow in flows.items():
        if flow.broken:
            raise ExportError(
                f"a network must give finite numbers; tensor {network.name(tensor)!r} is NaN. Train again"
            )
    return flows


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"LiteRT must run the float32 file to calibrate it; it says: {str(error)[:300]}") from None
    return interpreter


def _run(interpreter: Any, network: Network, tensor: NDArray[np.float32]) -> None:
    shape = network.shape(network.input)
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise ExportError(
            f"calibration tensors must be float32 {shape}; got {tensor.dtype} {tensor.shape}. "
            "Prepare pictures as the float32 file takes them"
        )
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
