"""What does the arithmetic of a head: numpy, which is the reference, or the C library, which gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_imprint.errors import MissingRuntimeError, UsageError
from edge_imprint.head.arena import Arena
from edge_imprint.head.labels import Label
from edge_imprint.head.layouts import AnyLayout
from edge_imprint.head.options import Options
from edge_imprint.head.ridge.layout import RidgeLayout
from edge_imprint.head.ridge.state import Moment

VARIABLE = "EDGE_IMPRINT_KERNELS"
"""Environment variable: `numpy` or `native`; unset, the C library is used where it was built."""


class Best(NamedTuple):
    """The best class of each of n embeddings.

    Attributes:
        classes: its place, (n,).
        known_q23: what thresholds are drawn on, times 2^23, (n,): with proxies the cosine.
        doubtful: whether it is more likely wrong than right, n of them; None with proxies, which say no probabilities.
    """

    classes: NDArray[np.int64]
    known_q23: NDArray[np.int64]
    doubtful: list[bool] | None = None


class Engine(Protocol):
    """The operations on an arena. `e16` are embeddings (n, dim), quantised, in a type of the engine's own."""

    name: str
    layout: AnyLayout
    arena: Arena
    second: Moment | None

    @property
    def can_undo(self) -> bool:
        """Whether the last shot can be taken back."""
        ...

    def quantize(self, rows: NDArray[np.float32]) -> Any:
        """Rows (n, dim) as 16-bit embeddings; `ValueRangeError` where one is all zeros or not finite."""
        ...

    def learn(self, e16: Any, places: Sequence[int], labels: Sequence[Label]) -> None:
        """Learn shots in order; a place that is the number of classes opens a class of that label."""
        ...

    def undo(self) -> None:
        """Take the last shot back; `can_undo` must hold."""
        ...

    def forget(self, place: int) -> None:
        """Remove a class."""
        ...

    def merge(self, other: Engine, places: Sequence[int], labels: Sequence[Label]) -> None:
        """Add another arena's classes, each at its place; the other engine is of the same kind."""
        ...

    def classes(self, e16: Any) -> NDArray[np.int64]:
        """Best class of each embedding, (n,): that of `best`, for less."""
        ...

    def best(self, e16: Any) -> Best:
        """Best class of each embedding, and how well the head knows it."""
        ...

    def everything(self, e16: Any) -> tuple[Best, NDArray[np.float32], NDArray[np.float32] | None]:
        """`best`, `cosines` and, with a second moment, `confidences`, for less than one after the other."""
        ...

    def cosines(self, e16: Any) -> NDArray[np.float32]:
        """Each class's best cosine: (n, n_classes)."""
        ...

    def confidences(self, e16: Any) -> NDArray[np.float32]:
        """Probability that the best class is right, (n,); only with a second moment."""
        ...

    def thresholds_q23(self, rate_ppm: int) -> tuple[int, int] | None:
        """Cosines times 2^23 from which an answer is known and below which it is unknown."""
        ...

    def refresh(self) -> None:
        """Bring the coefficients in the arena up to date, which answers do by themselves."""
        ...

    def loaded(self) -> None:
        """Rows, records and counters were put into the arena: bring up to date what follows from them."""
        ...


def native_is_there() -> bool:
    """Whether the C library was built into this installation."""
    try:
        from edge_imprint.head import native  # noqa: F401
    except ImportError:
        return False
    return True


def make_engine(layout: AnyLayout, options: Options, base: NDArray[np.float64] | None = None) -> Engine:
    """An empty arena and what works on it, as the environment variable `EDGE_IMPRINT_KERNELS` says.

    Args:
        layout: of the budget; its kind says the method.
        options: of the clusters.
        base: covariance (dim, dim) of other pictures' unit embeddings for a second moment to start from, or None.

    Raises:
        MissingRuntimeError: it says `native` and the C library was not built.
        UsageError: it says something else.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "numpy", "native"):
        raise UsageError(f"{VARIABLE} is numpy, native or not set; got {wanted!r}")
    if wanted != "numpy":
        try:
            return _native_engine(layout, options, base)
        except ImportError as error:
            if wanted:
                raise MissingRuntimeError(
                    f"{VARIABLE}=native needs the C library in the package, which was not built here ({error}). "
                    "Install a C compiler (Debian: apt install gcc python3-dev), then edge-imprint again"
                ) from error
    if isinstance(layout, RidgeLayout):
        from edge_imprint.head.ridge.engine import NumpyRidgeEngine

        return NumpyRidgeEngine(layout, options, base)
    from edge_imprint.head.reference import NumpyEngine

    return NumpyEngine(layout, options)


def _native_engine(layout: AnyLayout, options: Options, base: NDArray[np.float64] | None) -> Engine:
    if isinstance(layout, RidgeLayout):
        from edge_imprint.head.ridge.native import NativeRidgeEngine

        return NativeRidgeEngine(layout, options, base)
    from edge_imprint.head.native import NativeEngine

    return NativeEngine(layout, options)
