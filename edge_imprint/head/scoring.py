"""Cosines of a query with every proxy, from int8 dot products and two coefficients per slot.

A centre c_j with n_j shots in a class of mean m answers as the shrunk proxy L2(min(n_j, s) c_j + kappa m), s the
option `shrinkage` and kappa <= s: while shots are scarce it is nearly the mean, with many shots of clearly separate
kinds it is the k-means centre. The cap on n_j keeps a class of many shots from outbidding a class of few. The proxy's
row need not be stored, since cos(q, proxy) = (alpha_j (hi_j . q) + beta_j (hi_m . q)) / |q|, where hi is a slot's int8
row.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from edge_imprint.head import fixed
from edge_imprint.head.arena import NO_CLASS, Arena
from edge_imprint.head.fixed import SQUARE_BITS, Int8, Int64

COEFFICIENT_BITS = 28
_WEIGHT_BITS = 12
_SMALLEST_LENGTH2 = 1 << 30
_TOP = 1 << (_WEIGHT_BITS - 1)
_BATCH = 256
_CAUTION = 5
_LOWEST = -(1 << 62)
ONE_Q23 = 1 << 23


def refresh(arena: Arena, shrinkage: int) -> None:
    """Bring the coefficients of every class that changed up to date.

    With A = min(n_j, s) and B = kappa, both brought to a common scale of 12 bits, p = A hi_j + B hi_m has the
    squared length A^2 N_j + 2 A B (hi_j . hi_m) + B^2 N_m < 2^52; alpha = A 2^28 / |p| and beta = B 2^28 / |p|, rounded
    to nearest.
    """
    while arena.stale:
        _refresh_class(arena, arena.stale.pop(), shrinkage)


def _refresh_class(arena: Arena, index: int, shrinkage: int) -> None:
    mean = arena.high[index]
    norm2_mean = fixed.length2(mean)
    length = isqrt(_TOP * _TOP * norm2_mean)
    arena.alpha[index] = fixed.rounded(_TOP << COEFFICIENT_BITS, length) if length else 0
    arena.beta[index] = 0
    centres = arena.centres_of(index)
    if not len(centres):
        return
    rows = arena.high[centres]
    dot = fixed.dots(rows, mean)
    wide = rows.astype(np.int32)
    norm2 = np.einsum("ij,ij->i", wide, wide).astype(np.int64)
    shift, shift_mean = arena.shift[centres].astype(np.int64), int(arena.shift[index])
    common = np.maximum(shift, shift_mean)
    a = np.minimum(arena.count[centres].astype(np.int64), shrinkage) << (common - shift)
    b = weight_of_mean(arena, index, centres, shrinkage) << (common - shift_mean)
    bits = np.frexp(np.maximum(a, b).astype(np.float64))[1].astype(np.int64)
    down, up = np.maximum(bits - _WEIGHT_BITS, 0), np.maximum(_WEIGHT_BITS - bits, 0)
    a, b = (a << up) >> down, (b << up) >> down
    length2 = a * a * norm2 + 2 * a * b * dot + b * b * norm2_mean
    # A centre that the mean cancels answers for itself; a row of zeros answers 0.
    cancelled = length2 < _SMALLEST_LENGTH2
    if cancelled.any():
        a, b = np.where(cancelled, _TOP, a), np.where(cancelled, 0, b)
        length2 = np.where(cancelled, _TOP * _TOP * norm2, length2)
        a = np.where(length2 > 0, a, 0)
    length = np.maximum(np.sqrt(length2.astype(np.float64)).astype(np.int64), 1)
    arena.alpha[centres] = ((a << COEFFICIENT_BITS) + length // 2) // length
    arena.beta[centres] = ((b << COEFFICIENT_BITS) + length // 2) // length


def weight_of_mean(arena: Arena, index: int, centres: Int64, shrinkage: int) -> int:
    """Kappa of a class: how many shots its mean weighs in each proxy, 1 to `shrinkage`.

    Were centres drawn about the mean with variance tau^2 and shots about centres with sigma^2, the best estimate of a
    centre would give the mean the weight of sigma^2 / tau^2 shots (empirical Bayes). Both come from the rows' lengths:
    sigma^2 = (N - sum n_j |c_j|^2) / (N - k), tau^2 = sum n_j |c_j|^2 / N - |m|^2 - (k - 1) sigma^2 / N. Five times
    that is taken, since a proxy must win against other classes and not only lie well. Before as many shots have
    joined a centre as opened one, sigma is not known and kappa is `shrinkage`.
    """
    count = np.minimum(arena.count[centres].astype(np.int64), fixed.COUNT_CAP)
    total, k = int(count.sum()), len(centres)
    if total < 2 * k:
        return shrinkage
    lengths = int(count @ arena.square[centres].astype(np.int64))
    within = max((total << SQUARE_BITS) - lengths, 0) // (total - k)
    between = lengths // total - int(arena.square[index]) - (k - 1) * within // total
    return min(max(_CAUTION * within // between, 1), shrinkage) if between > 0 else shrinkage


def slot_scores(arena: Arena, query: Int8) -> Int64:
    """Score of one int8 query (dim,) with every slot: cosine times 2^28 times the query's length, (n_slots,)."""
    n = arena.n_slots
    dot = fixed.dots(arena.high[:n], query)
    scores: Int64 = arena.alpha[:n] * dot
    scores += arena.beta[:n] * dot.take(arena.cls[:n])
    return scores


def best_scores(arena: Arena, query: Int8, index: int) -> tuple[int | None, int | None]:
    """The best score of one query with a class, and with all others; None where there is no slot.

    For learning, which promises how little memory it takes: `slot_scores` in blocks and on arrays of few different
    sizes. What lies behind the last slot is masked.
    """
    n = arena.window()
    cls = arena.cls[:n]
    dot = fixed.dots_in_blocks(arena.high[:n], query)
    scores = arena.alpha[:n] * dot
    scores += arena.beta[:n] * dot.take(cls, mode="clip")
    own = cls == index
    other = (cls != NO_CLASS) & ~own
    best = [int(scores.max(where=mask, initial=_LOWEST)) for mask in (own, other)]
    return best[0] if best[0] > _LOWEST else None, best[1] if best[1] > _LOWEST else None


def cosine_q15(score: int, query_norm: int) -> int:
    """A slot score as a cosine times 2^15, rounded to nearest; `query_norm` is the query's length times 256."""
    return fixed.rounded(score, query_norm << (COEFFICIENT_BITS - 15 - 8))


def _one_query(arena: Arena, query: Int8) -> tuple[slice, Int64, NDArray[np.float64]]:
    """What `_batches` yields, at half the cost for a single query."""
    full = np.sqrt([float(fixed.length2(query))]) * (1 << COEFFICIENT_BITS)
    return slice(0, 1), slot_scores(arena, query)[:, None], full


def _batches(arena: Arena, queries: Int8) -> Iterator[tuple[slice, Int64, NDArray[np.float64]]]:
    """Scores of int8 queries (m, dim) with every slot, (n_slots, some of m) at a time, and what cosine 1 scores."""
    if len(queries) == 1:
        yield _one_query(arena, queries[0])
        return
    n = arena.n_slots
    cls = arena.cls[:n].astype(np.intp)
    alpha, beta = arena.alpha[:n, None].astype(np.int64), arena.beta[:n, None].astype(np.int64)
    for first in range(0, len(queries), _BATCH):
        part = queries[first : first + _BATCH]
        dot = fixed.products(arena.high[:n], part)
        wide = part.astype(np.float64)
        full = np.sqrt((wide * wide).sum(axis=1)) * (1 << COEFFICIENT_BITS)
        yield slice(first, first + len(part)), alpha * dot + beta * dot[cls], full


def class_cosines(arena: Arena, queries: Int8) -> NDArray[np.float32]:
    """Each class's best cosine for int8 queries (m, dim): (m, n_classes) float32 in [-1, 1]."""
    cls = arena.cls[: arena.n_slots]
    order = np.argsort(cls, kind="stable")
    starts = np.searchsorted(cls[order], np.arange(arena.n_classes))
    out = np.empty((len(queries), arena.n_classes), np.float32)
    for rows, scores, full in _batches(arena, queries):
        best = np.maximum.reduceat(scores[order], starts, axis=0).T
        np.divide(best, full[:, None], out=out[rows], casting="same_kind")
    return np.clip(out, -1, 1, out=out)


def best_classes(arena: Arena, queries: Int8) -> tuple[Int64, Int64]:
    """The class of the highest score for int8 queries (m, dim), and its cosine times 2^23, both (m,).

    The lowest slot wins a tie. The cosine is `rounded(score * 2^11, isqrt(q . q * 2^32))`; a score is below 2^42.
    """
    classes, cosines = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
    for rows, scores, _ in _batches(arena, queries):
        classes[rows] = arena.cls[scores.argmax(axis=0)]
        norms = np.array([isqrt(fixed.length2(query) << 32) for query in queries[rows]])
        cosines[rows] = (2 * (scores.max(axis=0) << 11) + norms) // (2 * norms)
    return classes, np.clip(cosines, -ONE_Q23, ONE_Q23, out=cosines)
