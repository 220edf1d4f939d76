"""Pictures are whole numbers before they are normalised: finding them again, so that 8 bits hold them exactly.

A normalised picture takes at most 256 values per channel, evenly apart, but zero need not be one of them and each
channel may have its own distance. Rounding it to the one grid of an 8-bit tensor costs up to half a grey level. A
factor and a shift per channel before rounding make both grids one; the first layer's weights take them back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import Graph

Array = NDArray[np.float64]
# In grey levels: how far a value may be off the grid, and how far the padding may be off zero.
TOLERANCE = 0.02
PADDING = 0.5001


@dataclass(frozen=True)
class Grid:
    """value * factor + shift lies on the grid scale * (whole number - zero_point), whole numbers 0 .. 255.

    Attributes:
        factor, shift: (channels,).
        scale, zero_point: of the 8-bit tensor.
        pads: the tensor must be padded before, because its padding is not on the grid near zero.
    """

    factor: Array
    shift: Array
    scale: float
    zero_point: int
    pads: bool


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
        zero = offset - first / steps
        middle = int(np.clip(np.rint(zero.mean()), 0, 255))
        scale = float(np.float32(steps.mean()))
        return Grid(
            scale / steps, scale * (zero - middle), scale, middle, bool(np.abs(zero - middle).max() > PADDING)
        )


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
