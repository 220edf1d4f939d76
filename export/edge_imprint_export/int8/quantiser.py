"""The interface between the choice of int8 settings and the two formats that carry them out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Embeds the pictures that judge a candidate: the file's bytes to (n, dim) float32.
Embed = Callable[[bytes], NDArray[np.float32]]


@dataclass(frozen=True)
class Layer:
    """A layer that can be int8 or stay in float.

    Attributes:
        name: in the graph.
        operator: its operator.
        products: multiplications for one picture, what it costs.
    """

    name: str
    operator: str
    products: int = 1


class Quantiser(Protocol):
    """Makes int8 files of one float32 file; calibration pictures are run once, at the first use."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Calibration methods to try, best guess first: "minmax", "percentile", "entropy", ..."""
        ...

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers with weights, in graph order."""
        ...

    def quantise(
        self, method: str, *, keep_float: frozenset[str] = frozenset(), only: frozenset[str] | None = None
    ) -> bytes:
        """Bytes of a file whose layers are int8, except those named in `keep_float`, or only those in `only`."""
        ...
