"""Known, uncertain or unknown: what to make of a cosine, given a head's two thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head.engine import Best

_WORD = np.dtype("<U9")  # as long as the longest: an array of them can take any other


class Thresholds(NamedTuple):
    """Cosines: at least `known` is known, below `unknown` is unknown, between the two is uncertain."""

    known: float
    unknown: float


def verdicts_of(best: Best, limits_q23: tuple[int, int] | None) -> NDArray[np.str_]:
    """The verdict of each answer, (n,); all "uncertain" without thresholds, which are times 2^23."""
    return np.array(words_of(best, limits_q23), _WORD)


def words_of(best: Best, limits_q23: tuple[int, int] | None) -> list[str]:
    """As `verdicts_of`, in words alone: for one answer, numpy's comparisons would take several times as long.

    What is more likely wrong than right is not "known", however well the thing itself is.
    """
    scores = best.known_q23.tolist()
    if limits_q23 is None:
        return ["uncertain"] * len(scores)
    known, unknown = limits_q23
    doubtful = best.doubtful or [False] * len(scores)
    return [
        "unknown" if score < unknown else "uncertain" if score < known or doubt else "known"
        for score, doubt in zip(scores, doubtful, strict=True)
    ]
