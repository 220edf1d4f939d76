"""Scores of a query with the discriminants, in whole numbers."""

from __future__ import annotations

from math import isqrt

import numpy as np

from edge_imprint.head import fixed, moment
from edge_imprint.head.arena import Arena
from edge_imprint.head.fixed import Int8, Int64
from edge_imprint.head.ridge.state import Moment
from edge_imprint.head.scoring import ONE_Q23

_BATCH = 256
_FULL_BITS = 5  # a score has 28 bits behind the point, a cosine 23
_ONE_Q24 = np.float32(2.0**24)
# Beyond what queries, scatters and scores that shots can have come to.
_MOST_WHITE = np.float32(1 << 15)
_MOST_UNIT_Q24, _MOST_TIMES_Q16, _MOST_TERM = 1 << 28, 1 << 30, 1 << 25


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


def known_scores(arena: Arena, second: Moment, queries: Int8, scores: Int64, classes: Int64) -> Int64:
    """How well a class each knows int8 queries (m, dim), (m,) times 2^23, in [-1, 1].

    Half of the class's score before 3/8 of the background's over the lengths of the query and of a class mean, all in
    the metric of the scatter, and a quarter of the cosine with the class's mean.

    Args:
        arena: of the head.
        second: its second moment, up to date.
        queries: what is asked.
        scores: `class_scores` of them.
        classes: the class asked about, (m,).
    """
    x = queries.T.astype(np.float32)
    with np.errstate(all="ignore"):  # a scatter that only a crafted snapshot has
        moment.whiten(second.factor, x)
    inside = np.abs(x) <= _MOST_WHITE
    whole = np.rint(np.where(inside, x, _MOST_WHITE) * np.float32(256)).astype(np.int64)
    squares = (whole * whole).sum(axis=0).tolist()
    unit_q24 = min(int(np.rint(second.unit * _ONE_Q24)), _MOST_UNIT_Q24)
    out = np.empty(len(queries), np.int64)
    for i, (query, square, index) in enumerate(zip(queries, squares, classes.tolist(), strict=True)):
        length2 = fixed.length2(query)
        across_q24 = isqrt(square) * second.spread_q24 >> 8
        norm_q8 = isqrt(length2 << 32) >> 8
        times_q16 = min((unit_q24 * norm_q8 << 8) // across_q24, _MOST_TIMES_Q16) if across_q24 else 0
        before = int(scores[i, index + 1]) + (3 * int(scores[i, 0]) >> 3)
        white = min(max(before * times_q16 >> 16, -_MOST_TERM), _MOST_TERM)
        mean = arena.high[index]
        lengths_q5 = isqrt(fixed.length2(mean) * length2 << 10)
        dot = int(fixed.dots(mean[None], query)[0])
        cosine = fixed.rounded(dot << 28, lengths_q5) if lengths_q5 else 0
        out[i] = min(max((white + (cosine >> 1)) >> 1, -ONE_Q23), ONE_Q23)
    return out


def best_of(arena: Arena, second: Moment, queries: Int8, scores: Int64) -> tuple[Int64, Int64]:
    """The best class of int8 queries (m, dim), and how well it knows them, both (m,)."""
    best = np.asarray(scores[:, 1:].argmax(axis=1))
    return best, known_scores(arena, second, queries, scores, best)
