"""Scores of a query with the discriminants, in whole numbers."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed
from edge_imprint.head.arena import Arena
from edge_imprint.head.fixed import Int8, Int64
from edge_imprint.head.ridge.state import Moment
from edge_imprint.head.scoring import ONE_Q23

_BATCH = 256
_FULL_BITS = 5  # a score has 28 bits behind the point, a cosine 23


def class_scores(arena: Arena, second: Moment, queries: Int8) -> Int64:
    """Each class's best score for int8 queries (m, dim), and the background's in front: (m, 1 + n_classes).

    Times 2^23. A score is slope (row . q) / |q| + offset, in [-1, 1]; the quotient is rounded to nearest.
    """
    n = arena.n_slots + 1
    slope, offset = second.slope[:n, None].astype(np.int64), second.offset[:n, None].astype(np.int64)
    owner = np.concatenate([[0], arena.cls[: arena.n_slots].astype(np.int64) + 1])
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(arena.n_classes + 1))
    out = np.empty((len(queries), arena.n_classes + 1), np.int64)
    for first in range(0, len(queries), _BATCH):
        part = queries[first : first + _BATCH]
        norms = np.array([isqrt(fixed.length2(query) << 32) for query in part])
        dot = fixed.products(second.row[:n], part)
        scores = (slope * dot << 16 - _FULL_BITS) + (offset * norms >> _FULL_BITS)
        best = np.maximum.reduceat(scores[order], starts, axis=0).T
        out[first : first + len(part)] = (2 * best + norms[:, None]) // (2 * norms[:, None])
    return np.clip(out, -ONE_Q23, ONE_Q23, out=out)


def foreground(best: NDArray[np.int64] | int, ground: NDArray[np.int64] | int) -> NDArray[np.int64] | int:
    """How well something is known: its best class's score, which is before the background, and half of that of the
    background itself.
    """
    return best + (ground >> 1)


def best_of(scores: Int64) -> tuple[Int64, Int64]:
    """From scores, the background's first, the best class and its score before the background, both (m,)."""
    best = scores[:, 1:].argmax(axis=1)
    top = scores[np.arange(len(scores)), best + 1]
    return best, np.asarray(foreground(top, scores[:, 0]))
