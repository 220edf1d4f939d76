"""Are methods different over many data sets? Average ranks, Friedman's test, and two ways to compare pairs.

Demsar 2006, "Statistical comparisons of classifiers over multiple data sets": k methods are ranked on each of N data
sets, 1 for the best, ties sharing their ranks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.paper import extra
from edge_imprint.errors import ShapeError


@dataclass(frozen=True)
class Ranking:
    """What `rank` found.

    Attributes:
        ranks: average rank by method, best first.
        blocks: on how many data sets.
        chi2: Friedman's statistic, corrected for ties.
        p: its probability when all methods are alike.
        f: Iman and Davenport's less conservative statistic; infinite when all blocks agree.
        f_p: its probability.
        critical: average ranks that differ by less are not told apart (Nemenyi, alpha 0.05).
        differing: pairs that Wilcoxon's signed-rank test tells apart with Holm's correction (alpha 0.05), which is what
            the paper of the presets used.
    """

    ranks: Mapping[str, float]
    blocks: int
    chi2: float
    p: float
    f: float
    f_p: float
    critical: float
    differing: tuple[tuple[str, str], ...]


ALPHA = 0.05


def rank(scores: Mapping[str, Sequence[float]]) -> Ranking:
    """Compare methods.

    Args:
        scores: by method one score per data set, larger is better; two methods and two data sets at least.

    Raises:
        ShapeError: too few of either, or lists of different lengths.
        MissingRuntimeError: scipy is not installed.

    Example:
        >>> found = rank({"a": [3, 3, 3, 3], "b": [2, 2, 2, 3], "c": [1, 1, 1, 1]})
        >>> dict(found.ranks), round(found.chi2, 2)
        ({'a': 1.125, 'b': 1.875, 'c': 3.0}, 7.6)
    """
    names = list(scores)
    lengths = {len(values) for values in scores.values()}
    if len(names) < 2 or len(lengths) != 1 or min(lengths) < 2:
        raise ShapeError(
            "ranks need at least 2 methods with the same number of scores, at least 2; got "
            f"{', '.join(f'{name}: {len(values)}' for name, values in scores.items()) or 'none'}"
        )
    table: NDArray[np.float64] = np.array([scores[name] for name in names], np.float64).T
    places = np.stack([average_ranks(-row) for row in table])
    means = places.mean(axis=0)
    stats = extra.need("scipy.stats", "ranking methods")
    blocks, methods = table.shape
    chi2 = friedman(places)
    p = float(stats.chi2.sf(chi2, methods - 1))
    rest = blocks * (methods - 1) - chi2
    f = (blocks - 1) * chi2 / rest if rest > 1e-9 else math.inf
    f_p = float(stats.f.sf(f, methods - 1, (methods - 1) * (blocks - 1)))
    order = np.argsort(means, kind="stable")
    return Ranking(
        {names[place]: float(means[place]) for place in order},
        blocks, chi2, p, f, f_p,
        critical_difference(methods, blocks),
        wilcoxon_holm({names[place]: table[:, place] for place in order}),
    )  # fmt: skip


def average_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1 for the smallest; equal values share the mean of their ranks.

    Example:
        >>> average_ranks([0.2, 0.1, 0.2, 0.9]).tolist()
        [2.5, 1.0, 2.5, 4.0]
    """
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    shared: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return shared[inverse.ravel()]


def friedman(ranks: NDArray[np.float64]) -> float:
    """Friedman's chi-squared of ranks, shape (blocks, methods), corrected for ties; 0 when everything is tied."""
    blocks, methods = ranks.shape
    middle = (methods + 1) / 2
    spread = float(((ranks - middle) ** 2).sum()) / (blocks * (methods - 1))
    between = float(((ranks.mean(axis=0) - middle) ** 2).sum())
    return blocks * between / spread if spread > 0 else 0.0


def critical_difference(methods: int, blocks: int) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / (6 N)), q of the studentized range at alpha 0.05 divided by sqrt(2).

    Example:
        >>> round(critical_difference(5, 30), 2)
        1.11
    """
    stats = extra.need("scipy.stats", "ranking methods")
    q = float(stats.studentized_range.ppf(1 - ALPHA, methods, math.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * blocks))


def wilcoxon_holm(scores: Mapping[str, ArrayLike]) -> tuple[tuple[str, str], ...]:
    """Pairs that differ by signed-rank tests; the smallest p first, each against alpha by the number of those left."""
    names = list(scores)
    found = []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            gaps = np.asarray(scores[one], np.float64) - np.asarray(scores[other], np.float64)
            found.append((signed_rank(gaps), one, other))
    found.sort()
    for place, (p, _, _) in enumerate(found):
        if p > ALPHA / (len(found) - place):
            found = found[:place]
            break
    return tuple((one, other) for _, one, other in found)


def signed_rank(gaps: NDArray[np.float64]) -> float:
    """Wilcoxon's signed-rank test: two-sided p, exact, with ties, zeros ranked and then dropped (Pratt).

    Every gap is as likely to be positive as negative when the methods are alike; the distribution of the sum of
    positive ranks is added up gap by gap.

    Args:
        gaps: differences of paired scores, shape (n,).

    Example:
        >>> signed_rank(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        0.0625
    """
    ranks = average_ranks(np.abs(gaps))
    doubled = np.rint(2 * ranks).astype(int)  # tied ranks are halves
    chance = np.ones(1)
    for step in doubled[gaps != 0]:
        longer = np.zeros(len(chance) + step)
        longer[: len(chance)] = chance / 2
        longer[step:] += chance / 2
        chance = longer
    found = int(doubled[gaps > 0].sum())
    return min(1.0, 2 * float(min(chance[: found + 1].sum(), chance[found:].sum())))


def cliques(ranks: Mapping[str, float], critical: float) -> list[tuple[str, ...]]:
    """Largest groups of methods, best first, whose average ranks lie within the critical difference.

    Example:
        >>> cliques({"a": 1.0, "b": 1.8, "c": 2.6}, 1.0)
        [('a', 'b'), ('b', 'c')]
    """
    ordered = sorted(ranks, key=lambda name: ranks[name])
    groups: list[tuple[str, ...]] = []
    end = 0
    for start in range(len(ordered)):
        last = max(place for place in range(len(ordered)) if ranks[ordered[place]] - ranks[ordered[start]] <= critical)
        if last > end:
            groups.append(tuple(ordered[start : last + 1]))
            end = last
    return groups
