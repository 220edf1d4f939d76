"""GEN and NORM, each against an independent reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, Ridge

from edge_imprint.errors import NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.imprint import ImprintClassifier
from edge_imprint.imprint.generation import GENERATORS, cov_max_rows, farthest_rows, generate
from edge_imprint.imprint.kmeans import kmeans
from edge_imprint.imprint.least_squares import least_squares
from edge_imprint.imprint.normalization import l2, quantile, quantile_reference


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return data.data.astype(np.float32), data.target


@pytest.fixture(scope="module")
def shots(digits: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    X, y = digits
    return [X[y == digit] for digit in range(10)]


def make(shots: list[np.ndarray], gen: str, k: int = 4, seed: int = 0):
    return generate(shots, gen, k=k, seed=seed, n_init=1, ridge=1e-3, bias=True)


def test_mean(shots: list[np.ndarray]) -> None:
    np.testing.assert_allclose(make(shots, "mean").vectors, [own.mean(axis=0) for own in shots], rtol=1e-6, atol=1e-6)


def test_kmeans_uses_the_class_alone(shots: list[np.ndarray]) -> None:
    made = make(shots, "kmeans")
    for digit, own in enumerate(shots):
        expected = kmeans(own, 4, np.random.default_rng(0)).centres
        np.testing.assert_array_equal(made.vectors[made.owners == digit], expected)


@pytest.mark.parametrize("gen", ["kmedoids", "krandom", "kcovmax", "kfps", "all"])
def test_chosen_proxies_are_different_shots_of_their_class(shots: list[np.ndarray], gen: str) -> None:
    made = make(shots, gen)
    for digit, own in enumerate(shots):
        chosen = made.vectors[made.owners == digit]
        assert len(chosen) == (len(own) if gen == "all" else 4)
        assert len(np.unique(chosen, axis=0)) == len(chosen)
        assert (chosen[:, None] == own).all(axis=2).any(axis=1).all()


def test_random_choices_follow_the_seed_and_nothing_else(shots: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(make(shots, "krandom").vectors, make(shots, "krandom").vectors)
    assert (make(shots, "krandom", seed=1).vectors != make(shots, "krandom").vectors).any()
    # A class's proxies do not depend on which other classes are taught.
    np.testing.assert_array_equal(make(shots[3:4], "krandom").vectors, make(shots, "krandom").vectors[12:16])


def test_cov_max_matches_the_full_covariance_matrix(shots: list[np.ndarray]) -> None:
    X = shots[2]
    expected = np.argsort(-np.cov(X.astype(np.float64)).sum(axis=0), kind="stable")[:7]
    assert cov_max_rows(X, 7).tolist() == expected.tolist()


def test_farthest_point_matches_brute_force(shots: list[np.ndarray]) -> None:
    X = shots[5].astype(np.float64)
    rows = [3]
    while len(rows) < 9:
        nearest = np.linalg.norm(X[:, None] - X[rows], axis=2).min(axis=1)
        rows.append(int(nearest.argmax()))
    assert farthest_rows(shots[5], 9, first=3).tolist() == rows


def test_farthest_point_never_repeats_a_row_even_among_copies() -> None:
    X = np.ones((5, 2), dtype=np.float32)
    assert sorted(farthest_rows(X, 9, first=2).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("bias", [True, False])
def test_least_squares_is_ridge_regression_on_scaled_one_hot_targets(shots: list[np.ndarray], bias: bool) -> None:
    uneven = [own[: 20 + 12 * digit] for digit, own in enumerate(shots)]
    X = np.concatenate(uneven).astype(np.float64)
    n = len(X)
    targets = np.zeros((n, 10))
    start = 0
    for digit, own in enumerate(uneven):
        targets[start : start + len(own), digit] = n / (10 * len(own))
        start += len(own)
    penalty = 1e-3 * np.square(X).sum(axis=1).mean() * n
    reference = Ridge(alpha=penalty, fit_intercept=bias, solver="cholesky").fit(X, targets)
    W, constant = least_squares(uneven, 1e-3, bias)
    np.testing.assert_allclose(W, reference.coef_, atol=1e-6)
    if bias:
        assert constant is not None
        np.testing.assert_allclose(constant, reference.intercept_, atol=1e-5)
    else:
        assert constant is None


def test_with_a_vanishing_ridge_and_even_classes_it_is_plain_linear_regression(
    shots: list[np.ndarray],
) -> None:
    even = [own[:150, 10:14] for own in shots]
    targets = np.repeat(np.eye(10), 150, axis=0)
    reference = LinearRegression().fit(np.concatenate(even).astype(np.float64), targets)
    W, constant = least_squares(even, 1e-10)
    np.testing.assert_allclose(W, reference.coef_, atol=1e-6)
    np.testing.assert_allclose(constant, reference.intercept_, atol=1e-6)


def test_k_least_squares_is_least_squares_on_clusters(shots: list[np.ndarray]) -> None:
    made = make(shots, "k-least-squares", k=3)
    clusters = []
    for own in shots:
        labels = kmeans(own, 3, np.random.default_rng(0)).labels
        clusters += [own[labels == label] for label in range(3)]
    np.testing.assert_array_equal(made.vectors, least_squares(clusters)[0])
    assert made.owners.tolist() == np.repeat(np.arange(10), 3).tolist()
    np.testing.assert_array_equal(make(shots, "k-least-squares", k=1).vectors, make(shots, "least-squares").vectors)


@pytest.mark.parametrize("gen", ["least-squares", "k-least-squares"])
def test_least_squares_needs_two_classes_and_something_to_see(shots: list[np.ndarray], gen: str) -> None:
    with pytest.raises(NotTaughtError, match="at least 2 classes; got 1"):
        make(shots[:1], gen)
    with pytest.raises(ValueRangeError, match="not all zeros"):
        make([np.zeros((2, 3), np.float32), np.zeros((1, 3), np.float32)], gen)


@pytest.mark.parametrize("gen", GENERATORS)
def test_a_class_of_fewer_than_k_shots_has_as_many_proxies(shots: list[np.ndarray], gen: str) -> None:
    made = make([shots[0][:2], shots[1][:9]], gen, k=5)
    counts = np.bincount(made.owners).tolist()
    expected = {"mean": [1, 1], "least-squares": [1, 1], "all": [2, 9]}
    assert counts == expected.get(gen, [2, 5])
    assert made.vectors.dtype == np.float32


def test_l2_survives_the_ends_of_the_float_range() -> None:
    for scale in (1e-30, 1e-20, 1.0, 1e14):
        X = (np.array([[3, 4], [-6, 8]]) * scale).astype(np.float32)
        np.testing.assert_allclose(l2(X), [[0.6, 0.8], [-0.6, 0.8]], rtol=1e-6)
    with pytest.raises(ValueRangeError, match="shot 1 is all zeros"):
        l2(np.array([[1e-30, 0], [0, 0]], dtype=np.float32), "shot")


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 5))
def test_quantile_keeps_the_order_and_takes_the_values(seed: int, dim: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, dim)).astype(np.float32)
    reference = quantile_reference(rng.gamma(2, size=(50, dim)).astype(np.float32), dim)
    mapped = quantile(X, reference)
    np.testing.assert_array_equal(np.sort(mapped, axis=1), np.tile(reference, (rows, 1)))
    np.testing.assert_array_equal(np.argsort(mapped, axis=1, kind="stable"), np.argsort(X, axis=1))


def test_quantiles_of_a_vector_onto_itself_change_nothing_but_the_ends() -> None:
    X = np.arange(100, dtype=np.float32)[None]
    # midpoints (j + 1/2) / n of n values, interpolated, lie within half a step of the values
    assert np.abs(quantile(X, quantile_reference(X, 100)) - X).max() <= 0.5
    with pytest.raises(ShapeError, match=r"must be \(100,\)"):
        quantile(X, np.zeros(3, np.float32))
    with pytest.raises(ShapeError, match="at least one value"):
        quantile_reference(np.zeros((0, 3), np.float32), 3)


def test_hosoda_gives_every_proxy_the_distribution_of_the_shots(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    head = ImprintClassifier.preset("hosoda").fit(X, y)
    np.testing.assert_array_equal(np.sort(head.proxies_, axis=1), np.tile(quantile_reference(X, 64), (10, 1)))
