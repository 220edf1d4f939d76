"""ImprintClassifier and AGG on real digits, against scikit-learn and brute force, and what bad input gets."""

from __future__ import annotations

import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_digits
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from edge_imprint.errors import EdgeImprintError, LabelError, NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.imprint import PRESETS, ImprintClassifier
from edge_imprint.imprint.aggregation import AGGREGATIONS, METRICS, VOTES
from edge_imprint.imprint.covariance import shrunk_covariance, whitening
from edge_imprint.imprint.generation import GENERATORS
from edge_imprint.imprint.normalization import NORMS, POST_NORMS

FEW = load_digits()
RAW = {"norm_pre": "none", "norm_post": "none", "norm_inf": "none"}


@pytest.fixture(scope="module")
def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    data = load_digits()
    X = data.data.astype(np.float32)
    return X[:900], data.target[:900], X[900:], data.target[900:]


@pytest.mark.parametrize(
    ("name", "least"),
    [("qi", 0.85), ("hosoda", 0.8), ("janson", 0.85), ("westerhoff", 0.93), ("oracle", 0.85)],
)
def test_presets_recognise_digits(split, name: str, least: float) -> None:
    X, y, Xt, yt = split
    assert (ImprintClassifier.preset(name).fit(X, y).predict(Xt) == yt).mean() >= least


def test_presets_are_the_special_cases_of_the_design() -> None:
    assert sorted(PRESETS) == ["hosoda", "janson", "oracle", "qi", "westerhoff"]
    qi, own = ImprintClassifier.preset("qi"), ImprintClassifier.preset("westerhoff", seed=3)
    assert (qi.norm_pre, qi.gen, qi.norm_post, qi.norm_inf, qi.agg) == ("l2", "mean", "l2", "l2", "max")
    assert (own.norm_pre, own.gen, own.k, own.norm_post, own.norm_inf) == ("l2", "kmeans", 20, "l2", "l2")
    assert own.seed == 3
    janson = ImprintClassifier.preset("janson")
    assert (janson.gen, janson.agg, janson.m, janson.metric) == ("mean", "m-nn", 1, "euclidean")
    with pytest.raises(TypeError):
        PRESETS["qi"] = {}  # type: ignore[index]


def test_janson_is_the_nearest_centroid(split) -> None:
    X, y, Xt, _ = split
    varies = (np.stack([X[y == digit].mean(axis=0) for digit in range(10)])[y] != X).any(axis=0)
    X, Xt = X[:, varies], Xt[:, varies]  # scikit-learn warns about pixels that never change
    reference = NearestCentroid().fit(X, y)
    np.testing.assert_array_equal(ImprintClassifier.preset("janson").fit(X, y).predict(Xt), reference.predict(Xt))


def test_qi_is_the_cosine_to_the_mean_of_unit_shots(split) -> None:
    X, y, Xt, _ = split
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    means = np.stack([unit[y == digit].mean(axis=0) for digit in range(10)])
    expected = 1 - pairwise_distances(Xt, means, metric="cosine")
    scores = ImprintClassifier.preset("qi").fit(X, y).decision_function(Xt)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float32


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("m", [1, 5])
def test_votes_by_inverse_distance_match_scikit_learn(split, metric: str, m: int) -> None:
    X, y, Xt, _ = split
    Xt = Xt[:300]
    reference = KNeighborsClassifier(m, weights="distance", metric=metric, algorithm="brute").fit(X, y)
    ours = ImprintClassifier(**RAW, gen="all", agg="m-nn", metric=metric, m=m, votes="inverse-distance").fit(X, y)
    expected = reference.predict_proba(Xt)
    # whole-number pixels make equal distances; such a query may have another m-th neighbour
    distances = np.sort(pairwise_distances(Xt, X, metric=metric), axis=1)
    clear = distances[:, m] - distances[:, m - 1] > 1e-6
    assert clear.mean() > 0.7
    np.testing.assert_allclose(ours.decision_function(Xt)[clear], expected[clear], atol=2e-5)
    np.testing.assert_array_equal(ours.predict(Xt)[clear], reference.predict(Xt)[clear])


def test_uniform_votes_match_scikit_learn_and_the_nearest_breaks_ties(split) -> None:
    X, y, Xt, _ = split
    reference = KNeighborsClassifier(4, algorithm="brute").fit(X, y)
    ours = ImprintClassifier(**RAW, gen="all", agg="m-nn", metric="euclidean", m=4).fit(X, y)
    shares = ours.decision_function(Xt)
    assert (np.abs(shares - reference.predict_proba(Xt)).max(axis=1) < 1e-6).mean() > 0.97
    tied = (shares == shares.max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert tied.any()
    nearest = ImprintClassifier(**RAW, gen="all", agg="max", metric="euclidean").fit(X, y).predict(Xt)
    best = np.take_along_axis(shares, nearest[:, None], axis=1)[:, 0] == shares.max(axis=1)
    np.testing.assert_array_equal(ours.predict(Xt)[tied & best], nearest[tied & best])


def test_a_proxy_at_distance_zero_outvotes_all_others(split) -> None:
    X, y, _, _ = split
    head = ImprintClassifier(**RAW, gen="all", agg="m-nn", metric="euclidean", m=50, votes="inverse-distance")
    shares = head.fit(X, y).decision_function(X)
    np.testing.assert_array_equal(shares[np.arange(len(y)), y], 1)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine", "mahalanobis", "inner"])
def test_max_scores_match_brute_force(split, metric: str) -> None:
    X, y, Xt, _ = split
    head = ImprintClassifier(**RAW, gen="kfps", k=3, metric=metric).fit(X, y)
    queries, proxies = Xt[:40].astype(np.float64), head.proxies_.astype(np.float64)
    if metric == "inner":
        near = queries @ proxies.T
    elif metric == "mahalanobis":
        inverse = np.linalg.inv(shrunk_covariance([X[y == digit] for digit in range(10)]))
        near = -pairwise_distances(queries, proxies, metric="mahalanobis", VI=inverse)
    else:
        near = (metric == "cosine") - pairwise_distances(queries, proxies, metric=metric)
    expected = np.stack([near[:, head.proxy_labels_ == digit].max(axis=1) for digit in range(10)], axis=1)
    np.testing.assert_allclose(head.decision_function(Xt[:40]), expected, rtol=1e-4, atol=1e-5)


def test_blocks_do_not_change_the_answer(split, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, Xt, _ = split
    for options in ({"metric": "manhattan"}, {"agg": "m-nn", "metric": "euclidean", "m": 3}):
        head = ImprintClassifier(**RAW, gen="krandom", k=7, **options).fit(X, y)
        whole = head.decision_function(Xt[:60])
        with monkeypatch.context() as patch:
            patch.setattr("edge_imprint.imprint.aggregation.BLOCK", 500)
            np.testing.assert_allclose(head.decision_function(Xt[:60]), whole, rtol=1e-6)


def test_covariance_is_ledoit_wolf_when_shots_are_plentiful(split) -> None:
    X, y, _, _ = split
    shots = [X[y == digit] for digit in range(10)]
    gaps = np.concatenate([own - own.mean(axis=0, dtype=np.float64) for own in shots])
    expected, share = ledoit_wolf(gaps, assume_centered=True)
    assert share > 10 / len(X)  # else the floor C / n would be at work
    np.testing.assert_allclose(shrunk_covariance(shots), expected, rtol=1e-6, atol=1e-8)


def test_a_handful_of_shots_still_gives_a_metric() -> None:
    pair = np.array([[0, 0, 0], [2, 0, 0]], dtype=np.float32)
    # Ledoit and Wolf alone would not shrink one pair at all and leave two directions without length.
    covariance = shrunk_covariance([pair])
    np.testing.assert_allclose(covariance, np.diag([0.5 + 0.5 / 3, 0.5 / 3, 0.5 / 3]))
    V = whitening(covariance)
    np.testing.assert_allclose(V @ V.T, np.linalg.inv(covariance))


@pytest.mark.parametrize("gen", GENERATORS)
def test_every_combination_of_choices_answers(split, gen: str) -> None:
    X, y, Xt, _ = split
    X, y, Xt = X[:120] + 0.5, y[:120], Xt[:5] + 0.5
    for pre, post, inf, agg, metric in product(NORMS, POST_NORMS, NORMS, AGGREGATIONS, METRICS):
        for votes in VOTES if agg == "m-nn" else VOTES[:1]:
            head = ImprintClassifier(
                norm_pre=pre,
                gen=gen,
                k=2,
                norm_post=post,
                norm_inf=inf,
                agg=agg,
                metric=metric,
                m=3,
                votes=votes,
            ).fit(X, y)
            scores = head.decision_function(Xt)
            assert scores.shape == (5, 10)
            assert np.isfinite(scores).all()
            assert set(head.predict(Xt).tolist()) <= set(range(10))


def test_labels_come_back_as_they_came(split) -> None:
    X, y, Xt, _ = split
    numbers = ImprintClassifier.preset("qi").fit(X, y.astype(np.int16) - 5)
    assert numbers.predict(Xt).dtype == np.int16
    assert numbers.classes_.tolist() == list(range(-5, 5))
    words = np.array(["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"])
    for labels in (words[y], words[y].tolist(), words[y].astype(object)):
        named = ImprintClassifier.preset("qi").fit(X, labels)
        assert named.classes_.tolist() == sorted(words)
        np.testing.assert_array_equal(named.predict(Xt), words[numbers.predict(Xt) + 5])
        assert isinstance(named.predict(Xt[:1]).tolist()[0], str)
    assert named.proxy_labels_.tolist() == sorted(words)


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["mean", "least-squares", "all"]))
def test_the_order_of_the_shots_does_not_matter(random, gen: str) -> None:
    X, y = FEW.data[:200].astype(np.float32), FEW.target[:200]
    order = random.sample(range(200), 200)
    first = ImprintClassifier(gen=gen).fit(X, y).decision_function(X)
    second = ImprintClassifier(gen=gen).fit(X[order], y[order]).decision_function(X)
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_one_class_one_shot_and_input_left_alone() -> None:
    X = np.array([[3.0, 4.0]])
    for name in set(PRESETS) - {"oracle"}:
        head = ImprintClassifier.preset(name).fit(X, ["mug"])
        assert head.predict([[1, 1], [5, 0]]).tolist() == ["mug", "mug"]
    with pytest.raises(NotTaughtError, match="gen='mean'"):
        ImprintClassifier.preset("oracle").fit(X, ["mug"])
    assert X.tolist() == [[3.0, 4.0]]


def test_a_failed_fit_leaves_the_classifier_as_it_was(split) -> None:
    X, y, Xt, _ = split
    head = ImprintClassifier.preset("qi").fit(X, y)
    before = head.decision_function(Xt)
    for bad in (np.full((2, 64), np.nan), np.zeros((2, 64)), np.zeros((2, 3))):
        with pytest.raises(EdgeImprintError):
            head.fit(bad, ["a", "b"])
    np.testing.assert_array_equal(head.decision_function(Xt), before)
    copy = pickle.loads(pickle.dumps(head))
    np.testing.assert_array_equal(copy.decision_function(Xt), before)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ([1.0, 2.0], ["a", "b"], ShapeError, r"Use X\[None\]"),
        ([[[1.0]]], ["a"], ShapeError, r"got shape \(1, 1, 1\)"),
        (np.zeros((0, 4)), [], ShapeError, "Pass at least one"),
        ([[1.0], [2.0, 3.0]], ["a", "b"], ShapeError, "different lengths"),
        ([[1.0], [2.0]], ["a"], ShapeError, r"labels must be \(2,\), one per shot; got shape \(1,\)"),
        ([[1.0]], "a", ShapeError, r"got shape \(\)"),
        ([[1.0], [np.nan]], ["a", "b"], ValueRangeError, "row 1 holds NaN"),
        ([[np.inf], [1.0]], ["a", "b"], ValueRangeError, "row 0 holds NaN or infinity"),
        ([[1e20]], ["a"], ValueRangeError, r"1e\+14; got 1e\+20"),
        ([[0.0, 1.0], [0.0, 0.0]], ["a", "b"], ValueRangeError, "shot 1 is all zeros"),
        ([["x"]], ["a"], ValueRangeError, "real numbers"),
        ([[1 + 2j]], ["a"], ValueRangeError, "real numbers; got dtype complex128"),
        ([[1.0], [2.0]], [0.5, 1.5], LabelError, "str or int; got dtype float64"),
        ([[1.0], [2.0]], ["a", 1], LabelError, "mix of both"),
        ([[1.0], [2.0]], ["a", ""], LabelError, "must not be empty"),
        ([[1.0], [2.0]], ["a", "\ud800"], LabelError, "UTF-8"),
        ([[1.0], [2.0]], np.array(["a", None], dtype=object), LabelError, "other types"),
    ],
)
def test_bad_shots_and_labels(X, y, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ImprintClassifier(gen="mean").fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gen": "kmeen"}, "gen must be one of mean, kmeans, .*; got 'kmeen'"),
        ({"norm_pre": "quantile"}, "norm_pre must be one of none, l2; got 'quantile'"),
        ({"norm_post": "l1"}, "one of none, l2, quantile"),
        ({"agg": "min"}, "one of max, m-nn"),
        ({"metric": "hamming"}, "inner, cosine, euclidean, manhattan, mahalanobis"),
        ({"votes": "secret"}, "uniform, inverse-distance"),
        ({"k": 0}, "k must be a whole number of at least 1; got 0"),
        ({"k": 2.5}, "got 2.5"),
        ({"m": True}, "m must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"n_init": 0}, "n_init"),
        ({"ridge": 0}, "ridge must be a finite number above 0; got 0"),
        ({"ridge": float("nan")}, "got nan"),
    ],
)
def test_bad_options_name_the_choices(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueRangeError, match=message):
        ImprintClassifier(**options)  # type: ignore[arg-type]


def test_spelling_of_choices_and_unknown_presets() -> None:
    head = ImprintClassifier(norm_pre=None, gen="K-Means", agg="mnn", votes="inverse_distance")
    assert (head.norm_pre, head.gen, head.agg, head.votes) == ("none", "kmeans", "m-nn", "inverse-distance")
    assert eval(repr(head)).__dict__ == head.__dict__
    with pytest.raises(ValueRangeError, match="qi, hosoda, janson, westerhoff, oracle"):
        ImprintClassifier.preset("resnet")


def test_questions_that_cannot_be_answered(split) -> None:
    X, y, _, _ = split
    with pytest.raises(NotTaughtError, match="Call fit"):
        ImprintClassifier().predict(X)
    head = ImprintClassifier.preset("qi").fit(X, y)
    with pytest.raises(ShapeError, match=r"must be \(n, 64\).*got \(1, 63\)"):
        head.predict(X[:1, 1:])
    with pytest.raises(ValueRangeError, match="embedding 0 is all zeros"):
        head.predict(np.zeros((1, 64)))
    with pytest.raises(ValueRangeError, match="the cosine needs a length"):
        ImprintClassifier(**RAW, gen="mean", metric="cosine").fit(X, y).predict(np.zeros((1, 64)))
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0]])
    with pytest.raises(ValueRangeError, match="proxy 0 is all zeros"):
        ImprintClassifier.preset("qi").fit(opposite, ["a", "a"])
