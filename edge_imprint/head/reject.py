"""Known, uncertain or unknown: thresholds from the shots themselves, for a false-accept rate that the user names.

Before a shot is learnt, its best cosine with any *other* class says how a picture of something never shown would score.
What is never shown is a new *class*, so the spread between classes counts as well as the spread within them, and with
few classes their mean is known badly: the threshold is the upper end of a prediction interval (Student's t).
"""

from __future__ import annotations

import functools
from math import isqrt
from statistics import NormalDist

from edge_imprint.head import fixed
from edge_imprint.head.arena import OWN_COUNT, OWN_MEAN, OWN_VARIANCE, Arena
from edge_imprint.head.scoring import ONE_Q23

WINDOW = 32
_OCTAVES, _PARTS = 10, 8
_LEAST_SPREAD = 6_711  # 1e-4


def update(count: int, mean: int, variance: int, cosine_q15: int, window: int = WINDOW) -> tuple[int, int, int]:
    """Running mean (Q23) and variance (Q30) of cosines (Q15), the last `window` weighing most."""
    count = min(count + 1, window)
    delta = (cosine_q15 << 8) - mean
    mean += fixed.rounded(delta, count)
    square = min((delta * delta) >> 16, 0xFFFFFFFF)
    variance += fixed.rounded(square * (count - 1) // count - variance, count)
    return count, mean, max(variance, 0)


def is_sampled(shots: int) -> bool:
    """Whether a class's next shot is scored before it is learnt: the first 16, then every eighth."""
    return shots < 16 or shots % 8 == 0


def observe_own(arena: Arena, cosine_q15: int) -> None:
    """Record how a shot scored with its own class before it was learnt."""
    count, mean, variance = arena.header[OWN_COUNT : OWN_VARIANCE + 1].tolist()
    arena.header[OWN_COUNT : OWN_VARIANCE + 1] = update(count, mean, variance, cosine_q15, 4 * WINDOW)


def observe_other(arena: Arena, index: int, cosine_q15: int) -> None:
    """Record how a shot of class `index` scored with the best other class."""
    count, mean, variance = (
        int(arena.other_count[index]),
        int(arena.other_mean[index]),
        int(arena.other_variance[index]),
    )
    count, mean, variance = update(count, mean, variance, cosine_q15)
    arena.other_count[index], arena.other_mean[index], arena.other_variance[index] = count, mean, variance


@functools.cache
def normal_quantiles() -> list[int]:
    """Normal quantile z(1 - u) times 2^14 for u = 1/2, then 15/16, 14/16 to 8/16 of it, eight to each of ten octaves.

    The C library has the same 81 numbers as a table.
    """
    tails = [(16 - part) / (32 << octave) for octave in range(_OCTAVES) for part in range(_PARTS)]
    tails.append(0.5 / (1 << _OCTAVES))
    return [round(NormalDist().inv_cdf(1 - u) * (1 << 14)) for u in tails]


def upper_tail(classes: int, rate_ppm: int) -> int:
    """1 - (1 - rate)^((C - 1) / C), times 2^30: the share of one class that may pass so that of C classes `rate` does.

    -ln(1 - rate) = 2 artanh(rate / (2 - rate)); both series stop where a term is 0.
    """
    y = (rate_ppm << 30) // (2_000_000 - rate_ppm)
    square, power, logarithm, odd = (y * y) >> 30, y, 0, 1
    while power:
        logarithm += power // odd
        power, odd = (power * square) >> 30, odd + 2
    x = 2 * logarithm - 2 * logarithm // classes
    tail, term, n = 0, x, 1
    while term:
        tail += term if n % 2 else -term
        n += 1
        term = ((term * x) >> 30) // n
    return tail


def normal_quantile(tail: int) -> int:
    """Normal quantile z(1 - u) times 2^16 for u = `tail` / 2^30, 2^-11 < u <= 1/2, between table entries linear in u.

    Off by at most 0.0008.
    """
    tail = min(tail, (1 << 29) - 1)
    bits = tail.bit_length()
    width = bits - 4
    place = (29 - bits) * _PARTS + 16 - (tail >> width)
    below, above = (4 * value for value in normal_quantiles()[place - 1 : place + 1])
    return above - (((above - below) * ((tail >> (width - 12)) & 4095)) >> 12)


def student_t(z: int, inverse_dof: int) -> int:
    """Quantile of Student's t times 2^16, from the normal one `z` and 2^30 / dof, expanded (Cornish and Fisher).

    Good to 2 % for probabilities up to 0.99 and dof >= 3.
    """
    z2 = (z * z) >> 16
    z3 = (z2 * z) >> 16
    z5 = (z3 * z2) >> 16
    z7 = (z5 * z2) >> 16
    third = (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) // 384
    second = (5 * z5 + 16 * z3 + 3 * z) // 96 + ((third * inverse_dof) >> 30)
    first = (z3 + z) // 4 + ((second * inverse_dof) >> 30)
    return z + ((first * inverse_dof) >> 30)


def thresholds_q23(arena: Arena, false_accept_ppm: int) -> tuple[int, int] | None:
    """Cosines times 2^23 from which a prediction is known and below which it is unknown.

    Whole numbers throughout, so that a microcontroller draws the same line: variances times 2^26, means times 2^23.
    None while fewer than two classes have been seen side by side.
    """
    classes = arena.n_classes
    fields = (field[:classes].tolist() for field in (arena.other_count, arena.other_mean, arena.other_variance))
    rows = [row for row in zip(*fields, strict=True) if row[0]]
    groups = len(rows)
    if classes < 2 or groups < 1:
        return None
    total = sum(count for count, _, _ in rows)
    centre = sum(mean for _, mean, _ in rows) // groups
    inverse_count = sum((1 << 16) // count for count, _, _ in rows) // groups
    within_dof = total - groups
    within = sum(count * variance for count, _, variance in rows) // within_dof >> 4 if within_dof else 0
    spread = sum(((mean - centre) >> 4) ** 2 for _, mean, _ in rows) // max(groups - 1, 1) >> 12
    between = max(spread - ((within * inverse_count) >> 16), 0)
    # Few classes say little about how classes differ: one more, of a size that fades as classes come, is assumed.
    prior = within // groups if within_dof else max(spread, _LEAST_SPREAD)
    between = (prior + (groups - 1) * between) // groups
    share = (between << 15) // (within + between) if within + between else 1 << 15
    rest = (1 << 15) - share
    inverse_dof = min(share * share // groups + rest * rest // max(within_dof, 1), 1 << 29)
    # A never-shown picture meets all classes, a shot of one class met one fewer.
    quantile = student_t(normal_quantile(upper_tail(classes, false_accept_ppm)), inverse_dof)
    spread_of_next = within + between + between // groups + within // total
    half = (quantile * isqrt(spread_of_next << 30)) >> 21
    own = int(arena.header[OWN_MEAN]) if arena.header[OWN_COUNT] else centre + half
    known = min(centre + half, ONE_Q23)
    return known, min(known, (centre + own) >> 1)
