"""The baselines against closed forms, brute force and scikit-learn's own search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from benchmarks.contestants import cbcl as clustering
from benchmarks.contestants import linear, tuning
from benchmarks.contestants.cbcl import Centroids, agg_var, cbcl
from benchmarks.contestants.linear import logistic_cv, svm_cv
from benchmarks.contestants.slda import EPSILON, StreamingLDA, slda
from benchmarks.contestants.tuning import choose, folds
from benchmarks.context import Draw, draw
from benchmarks.data import EmbeddingSet, normalise
from benchmarks.methods import preset


@pytest.fixture(scope="module")
def digits() -> EmbeddingSet:
    data = load_digits()
    X, y = data.data.astype(np.float32), np.array([f"digit {label}" for label in data.target])
    return EmbeddingSet("digits", "", X[:1200], y[:1200], X[1200:], y[1200:])


def random_draw(seed: int, n: int, classes: int, dim: int) -> Draw:
    rng = np.random.default_rng(seed)
    labels = np.array([f"c{label}" for label in np.r_[np.arange(classes), rng.integers(classes, size=n - classes)]])
    centres = {label: rng.normal(size=dim) for label in np.unique(labels)}
    shots = np.stack([centres[label] for label in labels]) + rng.normal(size=(n, dim))
    return Draw(shots.astype(np.float32), labels)


def within_covariance(shots: np.ndarray, labels: np.ndarray) -> np.ndarray:
    centred = np.concatenate([shots[labels == c] - shots[labels == c].mean(axis=0) for c in np.unique(labels)])
    return centred.T @ centred / len(centred)


@given(seed=st.integers(0, 1000), n=st.integers(4, 700), dim=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_slda_streams_the_covariance_within_classes_in_any_order(seed: int, n: int, dim: int) -> None:
    seen = random_draw(seed, n, 3, dim)
    model = StreamingLDA(dim)
    half = n // 2
    model.learn(seen.shots[:half], seen.labels[:half])
    model.learn(seen.shots[half:], seen.labels[half:])
    shots = seen.shots.astype(np.float64)
    np.testing.assert_allclose(model.covariance, within_covariance(shots, seen.labels), atol=1e-9)
    assert sum(model.counts.values()) == n
    for label, mean in model.means.items():
        np.testing.assert_allclose(mean, shots[seen.labels == label].mean(axis=0), atol=1e-9)


def test_slda_answers_with_the_least_mahalanobis_distance_of_the_batch_formula(digits: EmbeddingSet) -> None:
    seen = draw(digits, 30, seed=0)
    unit, queries = normalise(seen.shots).astype(np.float64), normalise(digits.test[:200]).astype(np.float64)
    shrunk = (1 - EPSILON) * within_covariance(unit, seen.labels) + EPSILON * np.eye(64)
    inverse = np.linalg.inv(shrunk)
    names = np.unique(seen.labels)
    gaps = queries[:, None] - np.stack([unit[seen.labels == name].mean(axis=0) for name in names])
    distances = np.einsum("qcd,de,qce->qc", gaps, inverse, gaps)
    np.testing.assert_array_equal(slda(seen, 0)(digits.test[:200]), names[np.argmin(distances, axis=1)])


def test_slda_is_scikit_learns_lda_where_shrinkage_hardly_matters() -> None:
    seen, asked = random_draw(3, 4000, 4, 5), random_draw(3, 500, 4, 5)
    model = StreamingLDA(5)
    model.learn(seen.shots, seen.labels)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.25] * 4).fit(seen.shots, seen.labels)
    assert np.mean(model.predict(asked.shots) == reference.predict(asked.shots)) > 0.995


def test_slda_with_one_shot_per_class_is_the_nearest_shot(digits: EmbeddingSet) -> None:
    seen = draw(digits, 1, seed=1)
    np.testing.assert_array_equal(slda(seen, 0)(digits.test), preset("qi", seen, 0)(digits.test))


def test_cbcl_without_a_threshold_is_the_nearest_mean(digits: EmbeddingSet) -> None:
    seen = draw(digits, 20, seed=0)
    unit, queries = normalise(seen.shots), normalise(digits.test)
    centroids = agg_var(unit, seen.labels, np.inf)
    names = np.unique(seen.labels)
    means = np.stack([unit[seen.labels == name].mean(axis=0, dtype=np.float64) for name in names])
    np.testing.assert_allclose(centroids.rows, means, atol=1e-12)
    distances = np.linalg.norm(queries[:, None] - means, axis=2)
    answer = centroids.vote(*centroids.nearest(queries), voters=1)
    np.testing.assert_array_equal(answer, names[np.argmin(distances, axis=1)])


def test_cbcl_with_a_threshold_of_zero_is_the_nearest_neighbour(digits: EmbeddingSet) -> None:
    seen = draw(digits, 20, seed=0)
    centroids = agg_var(normalise(seen.shots), seen.labels, 0.0)
    assert len(centroids.rows) == 200
    queries = normalise(digits.test)
    reference = KNeighborsClassifier(1).fit(normalise(seen.shots), seen.labels).predict(queries)
    assert np.mean(centroids.vote(*centroids.nearest(queries), voters=1) == reference) == 1


@given(seed=st.integers(0, 1000), n=st.integers(3, 60), threshold=st.floats(0.1, 6))
@settings(max_examples=60, deadline=None)
def test_agg_var_does_what_its_rule_says(seed: int, n: int, threshold: float) -> None:
    seen = random_draw(seed, n, 2, 3)
    rows, owners = [], []
    for place, name in enumerate(np.unique(seen.labels)):
        members: list[list[np.ndarray]] = []
        for x in seen.shots[seen.labels == name].astype(np.float64):
            distances = [np.linalg.norm(np.mean(cluster, axis=0) - x) for cluster in members]
            if distances and min(distances) < threshold:
                members[int(np.argmin(distances))].append(x)
            else:
                members.append([x])
        rows += [np.mean(cluster, axis=0) for cluster in members]
        owners += [place] * len(members)
    found = agg_var(seen.shots, seen.labels, threshold)
    np.testing.assert_allclose(found.rows, rows, atol=1e-9)
    assert found.owners.tolist() == owners
    assert found.shots.tolist() == [np.sum(seen.labels == name) for name in found.names]


def test_votes_weigh_one_over_the_distance_and_are_shared_by_a_classs_shots() -> None:
    rows = np.array([[0.0], [1.0], [2.5], [9.0]])
    owners, names = np.array([0, 1, 1, 0]), np.array(["a", "b"])
    query = np.array([[0.4]], np.float32)  # distances 0.4 (a), 0.6 (b), 2.1 (b), 8.6 (a)
    even = Centroids(rows, owners, names, np.array([2, 2]))
    order, distances = even.nearest(query)
    assert order.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(distances, [[0.4, 0.6, 2.1, 8.6]], atol=1e-6)
    assert [even.vote(order, distances, n)[0] for n in (1, 2, 4)] == ["a", "a", "a"]  # 2.62 against 2.14
    frequent = Centroids(rows, owners, names, np.array([4, 2]))
    assert [frequent.vote(order, distances, n)[0] for n in (1, 2, 4)] == ["a", "b", "b"]  # 0.62 against 0.83
    on_top = even.nearest(np.array([[1.0]], np.float32))
    assert even.vote(*on_top, 4)[0] == "b"


def test_cbcl_chooses_its_settings_and_has_a_fall_back_at_one_shot(digits: EmbeddingSet) -> None:
    one = cbcl(draw(digits, 1, seed=0), 0)
    assert (one.chosen["D"], one.chosen["n"], one.chosen["centroids"]) == (*clustering.AT_ONE_SHOT, 10)
    many = cbcl(draw(digits, 100, seed=0), 0)
    assert many.chosen["D"] in clustering.DISTANCES
    assert many.chosen["n"] in clustering.VOTERS
    mean = preset("qi", draw(digits, 100, seed=0), 0)
    assert np.mean(many(digits.test) == digits.test_labels) > np.mean(mean(digits.test) == digits.test_labels) + 0.03


@pytest.mark.parametrize(
    ("contestant", "estimator"),
    [
        (logistic_cv, LogisticRegression(class_weight="balanced", max_iter=5000, tol=1e-6)),
        (svm_cv, LinearSVC(class_weight="balanced", dual=False, max_iter=5000)),
    ],
)
def test_regularisation_is_what_scikit_learns_search_chooses(digits: EmbeddingSet, contestant, estimator) -> None:
    seen = draw(digits, 8, seed=2)
    ours = contestant(seen, 5)
    parts = StratifiedKFold(5, shuffle=True, random_state=5)
    search = GridSearchCV(estimator, {"C": list(linear.GRID)}, scoring="balanced_accuracy", cv=parts)
    search.fit(normalise(seen.shots), seen.labels)
    assert ours.chosen["C"] == search.best_params_["C"]
    assert np.mean(ours(digits.test) == search.predict(normalise(digits.test))) > 0.99


def test_at_one_shot_c_is_the_usual_one(digits: EmbeddingSet) -> None:
    seen = draw(digits, 1, seed=0)
    assert logistic_cv(seen, 0).chosen == {"C": 10.0}
    assert svm_cv(seen, 0).chosen == {"C": 1.0}


@given(seed=st.integers(0, 100), per_class=st.integers(1, 9), classes=st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_folds_hold_every_shot_back_once_and_keep_every_class(seed: int, per_class: int, classes: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat([f"c{i}" for i in range(classes)], per_class))
    shots = np.arange(len(labels), dtype=np.float32)[:, None]
    parts = list(folds(shots, labels, seed))
    assert len(parts) == (min(per_class, tuning.FOLDS) if per_class > 1 else 0)
    for fit, fit_labels, held, held_labels in parts:
        assert set(fit_labels) == set(held_labels) == set(labels)
        assert sorted([*fit[:, 0], *held[:, 0]]) == shots[:, 0].tolist()
        assert np.all(np.diff(fit[:, 0]) > 0)  # still in the order in which they were shown
    if parts:
        assert sorted(np.concatenate([part[2][:, 0] for part in parts])) == shots[:, 0].tolist()


def test_many_shots_are_sampled_and_the_first_of_equal_settings_wins() -> None:
    labels = np.tile(["a", "b", "c", "d"], 1000)
    shots = np.zeros((4000, 1), np.float32)
    parts = list(folds(shots, labels, 0))
    assert len(parts) == tuning.FOLDS_OF_MANY
    assert sum(len(part[2]) for part in parts) == tuning.MOST_SHOTS

    def answers(fit: np.ndarray, fit_labels: np.ndarray, held: np.ndarray):
        yield (1.0,), np.full(len(held), "b")
        yield (2.0,), np.full(len(held), "a")
        yield (3.0,), np.full(len(held), "nothing")

    assert choose(shots, labels, 0, answers) == (1.0,)
    assert choose(shots[:4], labels[:4], 0, answers) is None
