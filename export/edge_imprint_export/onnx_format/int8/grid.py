"""Pictures are whole numbers before they are normalised: finding them again, so that 8 bits hold them exactly.

A normalised picture takes at most 256 values per channel, evenly apart, but zero need not be one of them and each
channel may have its own distance. Rounding it to the one grid of an 8-bit tensor costs up to half a grey level. A
factor and a shift per channel before rounding make both grids one; the first layer's weights take them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph

Array = NDArray[np.float64]
# In grey levels: how far a value may be off the grid.
TOLERANCE = 0.02
# Operators that move pixels, or treat each channel's in one way.
MOVING = frozenset(("Transpose", "Gather"))
PIXELWISE = MOVING | frozenset(["Cast", "Sub", "Add", "Mul", "Div", "Neg"])


@dataclass(frozen=True)
class Grid:
    """value * factor + shift lies on the grid scale * (whole number - zero_point), whole numbers 0 .. 255.

    Attributes:
        factor, shift: (channels,).
        scale, zero_point: of the 8-bit tensor.
        zeros: (channels,) whole numbers nearest to zero.
        pixels: the whole numbers are the bytes of the network's input, moved as these nodes move them; None where the
            input is float32.
    """

    factor: Array
    shift: Array
    scale: float
    zero_point: int
    zeros: NDArray[np.uint8]
    pixels: tuple[Any, ...] | None = None

    @property
    def pads(self) -> bool:
        """Whether the tensor must be padded before, because zero is elsewhere in each channel."""
        return bool((np.abs(self.zeros.astype(np.int64) - self.zero_point) > 1).any())


def _grid(steps: Array, zero: Array, pixels: tuple[Any, ...] | None = None) -> Grid:
    """From each channel's distance of neighbours and the number, not a whole one, of the value zero."""
    middle = int(np.clip(np.rint(zero.mean()), 0, 255))
    scale = float(np.float32(np.abs(steps).mean()))
    zeros = np.clip(np.rint(zero), 0, 255).astype(np.uint8)
    return Grid(scale / steps, scale * (zero - middle), scale, middle, zeros, pixels)


class Levels:
    """Collects the values of each channel as long as there are at most 256."""

    def __init__(self) -> None:
        self._values: list[Array] | None = None
        self._failed = False

    def add(self, picture: NDArray[Any]) -> None:
        """Take in one input (1, channels, height, width)."""
        if self._failed or picture.ndim != 4:
            self._failed = True
            return
        own = [np.unique(channel) for channel in picture[0].astype(np.float64)]
        old = self._values if self._values is not None else own
        self._values = [np.union1d(a, b) for a, b in zip(old, own, strict=True)]
        self._failed = any(len(v) > 256 for v in self._values)

    def grid(self) -> Grid | None:
        """The common grid; None where there is none."""
        if self._failed or self._values is None or any(len(v) < 2 for v in self._values):
            return None
        found = [_one_channel(values) for values in self._values]
        if any(f is None for f in found):
            return None
        steps = np.array([f[0] for f in found if f is not None])
        first = np.array([f[1] for f in found if f is not None])
        # Where black and white were not seen, what was seen goes to the middle.
        offset = np.array([(255 - f[2]) // 2 for f in found if f is not None])
        return _grid(steps, offset - first / steps)


def pixel_path(graph: Graph, name: str) -> list[Any] | None:
    """Nodes from the input to a tensor if they treat all pixels of a channel alike; None if others are among them."""
    nodes: list[Any] = []
    while name != graph.input:
        node = graph.producer.get(name)
        data = [n for n in node.input if n not in graph.constants] if node is not None else []
        if node is None or node.op_type not in PIXELWISE or len(data) != 1:
            return None
        nodes.append(node)
        name = data[0]
    return nodes[::-1]


def of_bytes(
    path: Sequence[Any], run: Callable[[NDArray[np.uint8]], NDArray[Any]], shape: Sequence[int]
) -> Grid | None:
    """The grid of a tensor that follows from uint8 pixels by a pixel path; None where it is no affine function of them.

    Args:
        path: see `pixel_path`.
        run: the tensor (1, channels, height, width) for an input.
        shape: of an input.
    """
    levels = (0, 100, 255)
    seen = [run(np.full(shape, level, np.uint8)).astype(np.float64) for level in levels]
    if seen[0].ndim != 4:
        return None
    black, grey, white = (value[0].reshape(value.shape[1], -1) for value in seen)
    step, first = (white[:, 0] - black[:, 0]) / 255, black[:, 0]
    plain = all(np.ptp(value, axis=1).max() == 0 for value in (black, grey, white)) and (step != 0).all()
    if not plain or np.abs((grey[:, 0] - first) / step - levels[1]).max() > TOLERANCE:
        return None
    return _grid(step, -first / step, tuple(node for node in path if node.op_type in MOVING))


def _one_channel(values: Array) -> tuple[float, float, int] | None:
    """Distance of neighbours, the least value, and how many steps lie between least and largest."""
    # float32 values that differ in their last bits only are one level.
    near = 1e-5 * max(float(np.abs(values).max()), 1e-30)
    distinct = values[np.concatenate([[True], np.diff(values) > near])]
    if len(distinct) < 2:
        return None
    step = float(np.diff(distinct).min())
    count = round((distinct[-1] - distinct[0]) / step)
    if not 1 <= count <= 255:
        return None
    step = float(distinct[-1] - distinct[0]) / count
    places = (distinct - distinct[0]) / step
    return (step, float(distinct[0]), count) if np.abs(places - np.rint(places)).max() < TOLERANCE else None


def readers_take(graph: Graph, name: str, nodes: Iterable[str]) -> bool:
    """Whether all 8-bit readers of a tensor are 2-D convolutions with the same padding, which can take a grid back."""
    readers = [n for n in graph.consumers.get(name, []) if n.name in nodes]
    paddings = {tuple(graph.attribute(n, "pads", [0, 0, 0, 0])) for n in readers}
    return len(paddings) == 1 and all(
        n.op_type == "Conv"
        and graph.constants.get(n.input[1], np.zeros(0)).ndim == 4
        and graph.attribute(n, "auto_pad", b"NOTSET") == b"NOTSET"
        for n in readers
    )


def taken_back(weights: Array, bias: Array, grid: Grid, groups: int) -> tuple[Array, Array]:
    """Weights and bias of a convolution that reads value * factor + shift instead of value."""
    own = [np.repeat(v.reshape(groups, -1), len(weights) // groups, axis=0) for v in (grid.factor, grid.shift)]
    factor, shift = (v.reshape(*v.shape, 1, 1) for v in own)
    turned = weights / factor
    return turned, bias - (turned * shift).sum((1, 2, 3))
