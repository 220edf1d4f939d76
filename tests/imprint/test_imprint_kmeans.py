"""k-means and k-medoids against scikit-learn and brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from edge_imprint.imprint.kmeans import kmeans, seed_rows
from edge_imprint.imprint.kmedoids import kmedoids


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_digits().data.astype(np.float32)


def inertia(X: np.ndarray, centres: np.ndarray) -> float:
    return float(((X[:, None].astype(np.float64) - centres) ** 2).sum(axis=2).min(axis=1).sum())


@pytest.mark.parametrize("k", [5, 20])
def test_inertia_is_within_one_percent_of_scikit_learn(digits: np.ndarray, k: int) -> None:
    ours = [kmeans(digits, k, np.random.default_rng(seed), n_init=3).inertia for seed in range(4)]
    theirs = [KMeans(k, n_init=3, random_state=seed).fit(digits).inertia_ for seed in range(4)]
    assert np.mean(ours) <= 1.01 * np.mean(theirs)


def test_the_reported_inertia_and_labels_are_those_of_the_centres(digits: np.ndarray) -> None:
    result = kmeans(digits, 10, np.random.default_rng(0))
    # float32 products of 64 numbers against float64 differences
    assert result.inertia == pytest.approx(inertia(digits, result.centres), rel=1e-4)
    for label in range(10):
        np.testing.assert_allclose(digits[result.labels == label].mean(axis=0), result.centres[label], atol=0.05)


def test_started_from_the_same_rows_it_ends_where_scikit_learn_ends(digits: np.ndarray) -> None:
    Z = digits - digits.mean(axis=0)
    rows = seed_rows(Z, (Z**2).sum(axis=1), 8, np.random.default_rng(3))
    theirs = KMeans(8, init=digits[rows], n_init=1).fit(digits)
    ours = kmeans(digits, 8, np.random.default_rng(3))
    np.testing.assert_allclose(ours.centres, theirs.cluster_centers_, atol=0.02)


def test_more_starts_are_never_worse(digits: np.ndarray) -> None:
    one = kmeans(digits, 20, np.random.default_rng(1), n_init=1).inertia
    assert kmeans(digits, 20, np.random.default_rng(1), n_init=4).inertia <= one


def test_a_large_common_offset_costs_no_accuracy(digits: np.ndarray) -> None:
    shifted = kmeans(digits + np.float32(4096), 10, np.random.default_rng(0))
    plain = kmeans(digits, 10, np.random.default_rng(0))
    assert shifted.inertia == pytest.approx(plain.inertia, rel=1e-3)


def test_an_empty_centre_moves_to_the_farthest_shot() -> None:
    from edge_imprint.imprint.kmeans import _lloyd

    X = np.array([[0.0], [1.0], [10.0], [11.0], [100.0]], dtype=np.float32)
    # Both far centres lose every shot in the first iteration.
    start = np.array([[5.0], [-900.0], [900.0]], dtype=np.float32)
    result = _lloyd(X, X[:, 0] ** 2, start)
    assert sorted(result.centres[:, 0].tolist()) == [0.5, 10.5, 100.0]


def test_fewer_different_shots_than_k_give_as_many_centres() -> None:
    X = np.repeat(np.array([[1, 2], [3, 4], [5, 7]], dtype=np.float32), 30, axis=0)
    centres = sorted(kmeans(X, 20, np.random.default_rng(0)).centres.tolist())
    np.testing.assert_allclose(centres, [[1, 2], [3, 4], [5, 7]], rtol=1e-6)
    assert len(kmedoids(X, 20, np.random.default_rng(0))) == 3


def test_k_at_least_n_returns_the_shots() -> None:
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    for k in (3, 50):
        np.testing.assert_array_equal(kmeans(X, k, np.random.default_rng(0)).centres, X)
        assert kmedoids(X, k, np.random.default_rng(0)).tolist() == [0, 1, 2]


shots = arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.floats(-8, 8, width=16))


@settings(max_examples=60, deadline=None)
@given(X=shots, k=st.integers(1, 12), seed=st.integers(0, 3))
def test_kmeans_properties(X: np.ndarray, k: int, seed: int) -> None:
    before = X.copy()
    result = kmeans(X, k, np.random.default_rng(seed))
    np.testing.assert_array_equal(X, before)
    assert 1 <= len(result.centres) <= min(k, len(X))
    assert np.isfinite(result.centres).all()
    assert set(result.labels.tolist()) == set(range(len(result.centres)))
    again = kmeans(X, k, np.random.default_rng(seed))
    np.testing.assert_array_equal(again.centres, result.centres)
    # One mean is what any number of centres has to beat.
    spread = inertia(X, X.mean(axis=0, keepdims=True))
    assert inertia(X, result.centres) <= spread * (1 + 1e-4) + 1e-4


def distance_sum(X: np.ndarray, rows: np.ndarray | tuple[int, ...]) -> float:
    gaps = X[:, None].astype(np.float64) - X[list(rows)]
    return float(np.sqrt((gaps**2).sum(axis=2)).min(axis=1).sum())


def test_kmedoids_finds_the_best_medoids_of_separate_groups() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [20, 0], [0, 20]])
    X = np.concatenate([corner + rng.normal(size=(8, 2)) for corner in corners]).astype(np.float32)
    best = min(combinations(range(len(X)), 3), key=lambda rows: distance_sum(X, rows))
    assert tuple(kmedoids(X, 3, np.random.default_rng(0), n_init=5)) == best


def test_kmedoids_of_one_group_is_its_most_central_shot(digits: np.ndarray) -> None:
    X = digits[:300]
    sums = np.sqrt(((X[:, None] - X) ** 2).sum(axis=2)).sum(axis=1)
    assert kmedoids(X, 1, np.random.default_rng(0)).tolist() == [int(sums.argmin())]


def test_kmedoids_cannot_be_improved_within_its_groups(digits: np.ndarray) -> None:
    X = digits[:400]
    rows = kmedoids(X, 10, np.random.default_rng(0))
    distances = np.sqrt(((X[:, None] - X[rows]) ** 2).sum(axis=2))
    labels = distances.argmin(axis=1)
    for j, row in enumerate(rows):
        group = X[labels == j]
        best = np.sqrt(((group[:, None] - group) ** 2).sum(axis=2)).sum(axis=1).min()
        assert np.sqrt(((group - X[row]) ** 2).sum(axis=1)).sum() == pytest.approx(best, rel=1e-5)
    random = [distance_sum(X, np.random.default_rng(s).permutation(400)[:10]) for s in range(20)]
    assert distance_sum(X, rows) < min(random)
