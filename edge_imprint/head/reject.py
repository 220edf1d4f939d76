"""Known, uncertain or unknown: thresholds from the shots themselves, for a false-accept rate that the user names.

Before a shot is learnt, its best cosine with any *other* class says how a picture of something never shown would score.
What is never shown is a new *class*, so the spread between classes counts as well as the spread within them, and with
few classes their mean is known badly: the threshold is the upper end of a prediction interval (Student's t).
"""

from __future__ import annotations

from math import isqrt

from edge_imprint.head import fixed
from edge_imprint.head.arena import Arena
from edge_imprint.head.scoring import ONE_Q23

WINDOW = 32
_LEAST_SPREAD = 6_711  # 1e-4 times 2^26
_RATE_PER_PPM = 1_125_899_907  # 2^50 / 10^6
_OFFSET = 2 << 23  # makes means positive: those of a snapshot may be as low as -2
Running = tuple[int, int, int]


def pool(mine: Running, theirs: Running, window: int) -> Running:
    """Two running statistics of cosines (count, mean in Q23, variance in Q30) as one."""
    (n, mean, variance), (m, other_mean, other_variance) = mine, theirs
    both = n + m
    if not both:
        return mine
    delta = other_mean - mean
    spread = ((delta * delta) >> 16) * (n * m) // both
    variance = fixed.rounded(n * variance + m * other_variance + spread, both)
    return min(both, window), mean + fixed.rounded(delta * m, both), min(variance, 0xFFFFFFFF)


def update(count: int, mean: int, variance: int, cosine_q15: int, window: int = WINDOW) -> Running:
    """Running mean (Q23) and variance (Q30) of cosines (Q15), the last `window` weighing most."""
    return pool((min(count, window - 1), mean, variance), (1, cosine_q15 << 8, 0), window)


def is_sampled(shots: int) -> bool:
    """Whether a class's next shot is scored before it is learnt: the first 16, then every eighth."""
    return shots < 16 or shots % 8 == 0


def observe_own(arena: Arena, cosine_q15: int) -> None:
    """Record how a shot scored with its own class before it was learnt."""
    arena.own = update(*arena.own, cosine_q15, 4 * WINDOW)


def observe_other(arena: Arena, index: int, cosine_q15: int) -> None:
    """Record how a shot of class `index` scored with the best other class."""
    count, mean, variance = (
        int(arena.other_count[index]),
        int(arena.other_mean[index]),
        int(arena.other_variance[index]),
    )
    count, mean, variance = update(count, mean, variance, cosine_q15)
    arena.other_count[index], arena.other_mean[index], arena.other_variance[index] = count, mean, variance


def _high(a: int, b: int) -> int:
    return (a * b) >> 32


def upper_tail(classes: int, rate_ppm: int) -> int:
    """1 - (1 - rate)^c, c = (C - 1) / C, times 2^31: the share of one class that may pass so that of C `rate` does.

    The binomial series, whose terms are all positive here and follow from each other by rate (k - c) / (k + 1).
    """
    rate = 2 * _high(rate_ppm << 12, _RATE_PER_PPM)
    part = rate // classes
    tail, term, n = 0, rate - part, 1
    while term:
        tail += term
        n += 1
        term = 2 * (_high(term, rate) - _high(term, 2 * rate - part) // n)
    return tail


def normal_quantile(tail: int) -> int:
    """Normal quantile z(1 - u) times 2^28 for u = `tail` / 2^31, 2^-11 < u <= 1/2, off by at most 0.0008.

    A polynomial in x = sqrt(log2(1 / u)) - 2: 1.534252 + 45/32 x - 81/1024 x^2 + 75/2048 x^3 - 97/8192 x^4.
    """
    logarithm, doubling = 0, 1 << 28
    # u is doubled up to 1/2, squared, doubled again; after a squaring each doubling counts half.
    while doubling:
        while tail < 1 << 30:
            tail *= 2
            logarithm += doubling
        tail = 2 * _high(tail, tail)
        doubling >>= 1
    x = isqrt(logarithm << 32) - (2 << 30)
    z = (75 << 17) + 4 * _high(-97 << 15, x)
    z = 4 * _high(z, x) - (81 << 18)
    z = 4 * _high(z, x) + (45 << 23)
    return 4 * _high(z, x) + 411_848_054


def student_t2(z: int, inverse_dof: int) -> int:
    """Square of a quantile of Student's t times 2^20, from the normal one `z` and 2^30 / dof <= 2^29.

    dof (exp(y / dof) - 1) with y = z^2 (1 + 31 / (64 dof)): Wallace's formula, 31/64 for his 1/2. The quantile is good
    to 2 % for probabilities up to 0.99 and dof >= 3.
    """
    z2 = _high(z, z)
    y = z2 + ((_high(z2, inverse_dof) * 31) >> 4)
    exponent = _high(y, inverse_dof) * 64
    total, term, n = 0, y >> 4, 1
    while term:
        total += term
        n += 1
        term = _high(term, exponent) * 16 // n
    return total


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
    means = [(mean + _OFFSET) >> 9 for _, mean, _ in rows]
    inverse_count = sum((1 << 16) // count for count, _, _ in rows) // groups
    dof = max(total - groups, 1)
    within = sum(count * variance for count, _, variance in rows) // dof >> 4
    # Divided by `groups` and not by one less: that is where (1 - 1 / groups) of noise and of `between` come from.
    spread = (sum(mean * mean for mean in means) * groups - sum(means) ** 2) // (groups * groups) >> 2
    noise = _high(within, inverse_count << 14) * 4
    # Few classes say little about how classes differ: one more, of a size that fades as classes come, is assumed.
    prior = within // groups if within else 2 * spread + _LEAST_SPREAD
    between = max(spread + noise // groups - noise, 0) + prior // groups
    both = between + within
    share = between // (both // 256 + 1)
    rest = 256 - share
    inverse_dof = min(share * share // groups + rest * rest // dof, 1 << 15) << 14
    # A never-shown picture meets all classes, a shot of one class met one fewer.
    t2 = student_t2(normal_quantile(upper_tail(classes, false_accept_ppm)), inverse_dof)
    centre = (sum(means) // groups << 9) - _OFFSET
    known = min(centre + isqrt(t2 * (both + between // groups + within // total)), ONE_Q23)
    count, own, _ = arena.own
    return known, min(known, (centre + (own if count else known)) >> 1)
