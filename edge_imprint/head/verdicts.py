"""Known, uncertain or unknown: what to make of a cosine, given a head's two thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.engine import Best

_WORDS = np.array(["unknown", "uncertain", "known"])


class Thresholds(NamedTuple):
    """Cosines: at least `known` is known, below `unknown` is unknown, between the two is uncertain."""

    known: float
    unknown: float


def verdicts_of(best: Best, limits_q23: tuple[int, int] | None) -> NDArray[np.str_]:
    """The verdict of each answer, (n,); all "uncertain" without thresholds, which are times 2^23.

    What is more likely wrong than right is not "known", however well the thing itself is.
    """
    if limits_q23 is None:
        return np.full(best.known_q23.shape, "uncertain", dtype=_WORDS.dtype)
    known, unknown = limits_q23
    sure = best.known_q23 >= known
    if best.doubtful is not None:
        sure &= ~best.doubtful
    # What is sure is not below `unknown`, which is at most `known`.
    return _WORDS[sure.astype(np.intp) + (best.known_q23 >= unknown)]
