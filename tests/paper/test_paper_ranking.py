"""Tests on ranks against published values and against scipy."""

from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.paper import ranking, summary
from benchmarks.paper.ranking import (
    average_ranks,
    cliques,
    critical_difference,
    friedman,
    rank,
    signed_rank,
    wilcoxon_holm,
)
from edge_imprint.errors import ShapeError

# Conover, "Practical nonparametric statistics", 3rd edition: twelve homeowners rank four grasses.
GRASS = np.array(
    [
        [4, 3, 2, 1], [4, 2, 3, 1], [3, 1.5, 1.5, 4], [3, 1, 2, 4], [4, 2, 1, 3], [2, 2, 2, 4],
        [1, 3, 2, 4], [2, 4, 1, 3], [3.5, 1, 2, 3.5], [4, 1, 3, 2], [4, 2, 3, 1], [3.5, 1, 2, 3.5],
    ]
)  # fmt: skip
# Demsar 2006, table 5a: critical values of the two-tailed Nemenyi test, alpha 0.05, for 2 to 10 methods.
NEMENYI = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)


def test_examples_in_the_text_hold() -> None:
    for module in (ranking, summary):
        assert doctest.testmod(module).failed == 0


def test_friedman_of_the_textbook() -> None:
    assert GRASS.sum(axis=0).tolist() == [38, 23.5, 24.5, 34]
    assert friedman(GRASS) == pytest.approx(8.097, abs=5e-4)
    found = rank({name: (-GRASS[:, place]).tolist() for place, name in enumerate("abcd")})
    assert list(found.ranks) == ["b", "c", "d", "a"]
    assert found.ranks["a"] == pytest.approx(38 / 12)
    assert found.f == pytest.approx(3.19, abs=5e-3)
    assert found.p == pytest.approx(0.044, abs=5e-4)


def test_iman_davenport_of_demsar() -> None:
    """Demsar 2006, section 3.2.2: average ranks of four methods on 14 data sets give 9.28, 3.69 and CD 1.25."""
    means = np.array([3.143, 2.000, 2.893, 1.964])
    chi2 = 12 * 14 / (4 * 5) * float((means**2).sum() - 4 * 25 / 4)
    assert chi2 == pytest.approx(9.28, abs=0.01)
    assert 13 * chi2 / (14 * 3 - chi2) == pytest.approx(3.69, abs=0.01)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize(("methods", "q"), [*enumerate(NEMENYI, 2)])
def test_nemenyi_critical_values(methods: int, q: float) -> None:
    blocks = 30
    found = critical_difference(methods, blocks) / math.sqrt(methods * (methods + 1) / (6 * blocks))
    assert found == pytest.approx(q, abs=1.1e-3)


@given(arrays(np.float64, st.tuples(st.integers(3, 9), st.integers(3, 6)), elements=st.integers(0, 4).map(float)))
@settings(max_examples=60, deadline=None)
def test_friedman_agrees_with_scipy_with_ties_too(scores: np.ndarray) -> None:
    from scipy import stats

    places = np.stack([average_ranks(row) for row in scores])
    assert np.allclose(places, stats.rankdata(scores, axis=1))
    if any(len(set(row)) > 1 for row in scores.tolist()):
        assert friedman(places) == pytest.approx(stats.friedmanchisquare(*scores.T).statistic, abs=1e-9)
    else:
        assert friedman(places) == 0


@given(arrays(np.float64, st.integers(1, 9), elements=st.integers(-4, 4).map(float)))
@settings(max_examples=60, deadline=None)
def test_the_signed_rank_test_is_exact_with_ties_and_zeros(gaps: np.ndarray) -> None:
    """Against all 2^n signs, one by one."""
    sizes = average_ranks(np.abs(gaps))[gaps != 0]
    signs = np.array(list(itertools.product([0, 1], repeat=len(sizes))))
    sums, found = signs @ sizes, sizes[gaps[gaps != 0] > 0].sum()
    expected = 2 * min(np.mean(sums <= found + 1e-9), np.mean(sums >= found - 1e-9))
    assert signed_rank(gaps) == pytest.approx(min(1, expected))


def test_the_signed_rank_test_agrees_with_scipy() -> None:
    from scipy import stats

    for seed in range(5):
        gaps = np.random.default_rng(seed).normal(0.3, 1, 24)
        assert signed_rank(gaps) == pytest.approx(stats.wilcoxon(gaps, method="exact").pvalue, rel=1e-9)


def test_wilcoxon_with_holm_tells_apart_what_differs_and_no_more() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(50, 90, 30)
    scores = {"good": base + 5 + rng.normal(0, 1, 30), "same": base + rng.normal(0, 1, 30), "base": base}
    assert set(wilcoxon_holm(scores)) == {("good", "same"), ("good", "base")}
    assert wilcoxon_holm({"one": base, "two": base}) == ()


def test_equal_methods_share_their_ranks() -> None:
    found = rank({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0], "c": [0.0, 0.0, 0.0]})
    assert dict(found.ranks) == {"a": 1.5, "b": 1.5, "c": 3.0}
    assert math.isinf(found.f)
    assert found.f_p == 0
    tied = rank({"a": [1.0, 1.0], "b": [1.0, 1.0]})
    assert (tied.chi2, tied.p) == (0, 1)


@pytest.mark.parametrize("scores", [{}, {"a": [1, 2]}, {"a": [1], "b": [2]}, {"a": [1, 2], "b": [1, 2, 3]}])
def test_too_little_to_rank_is_refused(scores: dict[str, list[float]]) -> None:
    with pytest.raises(ShapeError, match="at least 2"):
        rank(scores)


@given(st.lists(st.floats(1, 7), min_size=2, max_size=7), st.floats(0.1, 4))
def test_bars_cover_exactly_the_pairs_within_the_critical_difference(values: list[float], critical: float) -> None:
    ranks = {f"m{place}": value for place, value in enumerate(values)}
    groups = cliques(ranks, critical)
    joined = {(one, other) for group in groups for one in group for other in group}
    for one, first in ranks.items():
        for other, second in ranks.items():
            if one != other:
                assert ((one, other) in joined) == (abs(first - second) <= critical)
    assert not any(set(one) < set(other) for one in groups for other in groups)
