"""Known, uncertain or unknown: thresholds from the shots themselves, for a false-accept rate that the user names.

Before a shot is learnt, its best cosine with any *other* class says how a picture of something never shown would score.
What is never shown is a new *class*, so the spread between classes counts as well as the spread within them, and with
few classes their mean is known badly: the threshold is the upper end of a prediction interval (Student's t).
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from edge_imprint.head import fixed
from edge_imprint.head.arena import OWN_COUNT, OWN_MEAN, OWN_VARIANCE, Arena

WINDOW = 32
_Q15 = float(1 << 15)


class Thresholds(NamedTuple):
    """Cosines: at least `known` is known, below `unknown` is unknown, between the two is uncertain."""

    known: float
    unknown: float


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


def student_t(p: float, dof: float) -> float:
    """Quantile of Student's t, expanded around the normal (Cornish and Fisher): good to 2 % for p <= 0.99, dof >= 3."""
    z = NormalDist().inv_cdf(p)
    return (
        z
        + (z**3 + z) / (4 * dof)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * dof**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * dof**3)
    )


def thresholds(arena: Arena, false_accept_rate: float) -> Thresholds | None:
    """The head's thresholds now, or None while fewer than two classes have been seen side by side."""
    classes = arena.n_classes
    seen = arena.other_count[:classes] > 0
    groups = int(seen.sum())
    if classes < 2 or groups < 1:
        return None
    count = arena.other_count[:classes][seen].astype(np.float64)
    mean = arena.other_mean[:classes][seen] / (_Q15 * 256)
    variance = arena.other_variance[:classes][seen] / (_Q15 * _Q15)
    total = float(count.sum())
    within_dof = max(total - groups, 0.0)
    within = float((count * variance).sum()) / within_dof if within_dof else 0.0
    spread = float(mean.var(ddof=1)) if groups > 1 else 0.0
    between = max(spread - within * float((1 / count).mean()), 0.0)
    # Few classes say little about how classes differ: one more, of a size that fades as classes come, is assumed.
    prior = within / groups if within_dof else max(spread, 1e-4)
    between_dof = groups
    between = (prior + (groups - 1) * between) / between_dof
    variance_all = within + between
    share = between / variance_all if variance_all else 1.0
    dof = 1 / (share**2 / between_dof + (1 - share) ** 2 / max(within_dof, 1.0))
    # A never-shown picture meets all classes, a shot of one class met one fewer.
    p = (1 - false_accept_rate) ** ((classes - 1) / classes)
    half = student_t(p, max(dof, 2.0)) * sqrt(between * (1 + 1 / groups) + within * (1 + 1 / total))
    known = float(mean.mean()) + half
    own = int(arena.header[OWN_MEAN]) / (_Q15 * 256) if arena.header[OWN_COUNT] else known
    middle = (float(mean.mean()) + own) / 2
    return Thresholds(min(known, 1.0), min(known, middle, 1.0))
