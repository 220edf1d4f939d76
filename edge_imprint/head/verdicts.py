"""Known, uncertain or unknown: what to make of a cosine, given a head's two thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Thresholds(NamedTuple):
    """Cosines: at least `known` is known, below `unknown` is unknown, between the two is uncertain."""

    known: float
    unknown: float


def verdicts_of(cosines_q23: NDArray[np.int64], limits_q23: tuple[int, int] | None) -> NDArray[np.str_]:
    """The verdict of each cosine, both times 2^23: an array of its shape; all "uncertain" without thresholds."""
    if limits_q23 is None:
        return np.full(cosines_q23.shape, "uncertain", dtype="<U9")
    known, unknown = limits_q23
    below = np.where(cosines_q23 < unknown, "unknown", "uncertain")
    return np.where(cosines_q23 >= known, "known", below)
