"""Episodes: drawn fairly, repeatable, and scored as they should be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edge_imprint.episodes import METHODS, balanced_accuracy, draw_episodes, evaluate, interval95
from edge_imprint.errors import BudgetError, CapacityError, EdgeImprintError, ShapeError, UsageError, ValueRangeError
from edge_imprint.imprint import PRESETS

LABELS = [name for name, count in (("cap", 30), ("hat", 12), ("mug", 25), ("pen", 9)) for _ in range(count)]


def embeddings(spread: float, dim: int = 24, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = {name: rng.normal(size=dim) for name in sorted(set(LABELS))}
    rows = [centres[name] + spread * rng.normal(size=dim) for name in LABELS]
    return np.asarray(rows, np.float32)


def test_shots_and_queries_never_share_a_picture():
    names = np.asarray(LABELS)
    for episode in draw_episodes(LABELS, shots=[1, 5, 2], episodes=20, queries=6, seed=3):
        assert episode.classes == ("cap", "hat", "mug", "pen")
        assert [len(step) for step in episode.shots] == [
            4,
            4,
            12,
        ]  # 1, then one more, then three more of each
        shots = np.concatenate(episode.shots)
        assert len(set(shots) | set(episode.queries)) == len(shots) + len(episode.queries)
        seen = np.zeros(4, int)
        for step, total in zip(episode.shots, (1, 2, 5), strict=True):
            seen += [np.count_nonzero(names[step] == name) for name in episode.classes]
            assert (seen == total).all()
        asked = {name: np.count_nonzero(names[episode.queries] == name) for name in episode.classes}
        assert asked == {"cap": 6, "hat": 6, "mug": 6, "pen": 4}  # 9 pens less 5 shots leave 4


def test_shots_come_in_random_order_not_class_by_class():
    [episode] = draw_episodes(LABELS, shots=[8], episodes=1)
    order = np.asarray(LABELS)[episode.shots[0]]
    changes = np.count_nonzero(order[1:] != order[:-1])
    assert changes > 10  # class by class there would be 3


def test_the_seed_decides_everything():
    def drawn(seed):
        return [
            (e.classes, *(step.tolist() for step in e.shots), e.queries.tolist())
            for e in draw_episodes(LABELS, shots=[1, 3], episodes=4, ways=2, seed=seed)
        ]

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)
    assert len({repr(episode) for episode in drawn(5)}) == 4


def test_ways_draws_different_classes():
    chosen = [episode.classes for episode in draw_episodes(LABELS, shots=[1], episodes=40, ways=2)]
    assert all(len(set(classes)) == 2 for classes in chosen)
    assert len(set(chosen)) == 6  # every pair out of four


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"shots": [1, 9]}, UsageError, ["'pen'", "has 9", "at most 8"]),
        ({"shots": [1], "ways": 1}, UsageError, ["ways", "got 1"]),
        ({"shots": [1], "ways": 5}, UsageError, ["ways", "4", "got 5"]),
        ({"shots": [0]}, ValueRangeError, ["shots", "got 0"]),
        ({"shots": []}, ValueRangeError, ["shots"]),
        ({"shots": [1], "queries": 0}, ValueRangeError, ["queries"]),
        ({"shots": [1], "episodes": 0}, ValueRangeError, ["episodes"]),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(settings, error, words):
    with pytest.raises(error) as caught:  # without asking for the first episode
        draw_episodes(LABELS, **settings)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("labels", [[], ["mug"] * 9])
def test_less_than_two_classes(labels):
    with pytest.raises(UsageError, match="at least 2 classes"):
        draw_episodes(labels, shots=[1])


@pytest.mark.parametrize("count", [2, 3, 5, 10, 11, 20, 100])
def test_the_interval_is_students(count):
    stats = pytest.importorskip("scipy.stats", reason="pip install edge-imprint[test]")
    values = np.random.default_rng(count).uniform(0, 1, count)
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    got = interval95(values)
    assert got.mean == pytest.approx(values.mean())
    assert got.half_width == pytest.approx((high - low) / 2, rel=1e-4)


def test_the_interval_of_one_value_is_unknown():
    assert interval95([0.25]).half_width is None
    for wrong in ([], [[0.1, 0.2]]):
        with pytest.raises(ShapeError):
            interval95(wrong)


def test_balanced_accuracy_weighs_classes_not_pictures():
    reference = pytest.importorskip("sklearn.metrics", reason="pip install edge-imprint[test]")
    rng = np.random.default_rng(0)
    truth, answers = rng.choice(list("aaaab"), 200), rng.choice(list("aab"), 200)
    assert balanced_accuracy(truth, answers) == pytest.approx(reference.balanced_accuracy_score(truth, answers))
    for wrong in (([], []), (["a"], ["a", "b"])):
        with pytest.raises(ShapeError):
            balanced_accuracy(*wrong)


def test_methods_are_the_heads_and_every_preset():
    assert ("proxies", "ridge", *PRESETS) == METHODS
    assert {"qi", "hosoda", "janson", "westerhoff", "oracle"} <= set(METHODS)


def test_easy_classes_are_all_recognised_by_every_method():
    outcomes = evaluate(embeddings(0.05), LABELS, shots=[1, 5], episodes=3)
    assert [(outcome.method, outcome.shots) for outcome in outcomes] == [(m, s) for m in METHODS for s in (1, 5)]
    assert {outcome.accuracy.mean for outcome in outcomes} == {1.0}
    assert {len(outcome.per_episode) for outcome in outcomes} == {3}


def test_qi_is_the_nearest_mean_of_the_same_episodes():
    data, names = embeddings(1.5), np.asarray(LABELS)
    unit = data / np.linalg.norm(data, axis=1, keepdims=True)
    settings = {"shots": [1, 4], "episodes": 6, "queries": 5, "seed": 2}
    expected = {1: [], 4: []}
    for episode in draw_episodes(LABELS, **settings):
        for upto, count in enumerate((1, 4), start=1):
            seen = np.concatenate(episode.shots[:upto])
            means = np.stack([unit[seen[names[seen] == name]].mean(axis=0) for name in episode.classes])
            means /= np.linalg.norm(means, axis=1, keepdims=True)
            answers = np.asarray(episode.classes)[(unit[episode.queries] @ means.T).argmax(axis=1)]
            expected[count].append(balanced_accuracy(names[episode.queries], answers))
    for outcome in evaluate(data, LABELS, methods=["qi"], **settings):
        assert outcome.per_episode == pytest.approx(expected[outcome.shots])
        assert 0.3 < outcome.accuracy.mean < 1.0  # hard enough to notice a difference


def test_the_head_gains_with_shots_and_stays_near_the_mean_of_the_class():
    outcomes = evaluate(embeddings(1.5), LABELS, shots=[1, 8], methods=["head", "qi"], episodes=20)
    reached = {(outcome.method, outcome.shots): outcome.accuracy.mean for outcome in outcomes}
    assert reached["head", 8] > reached["head", 1] + 0.05
    for shots in (1, 8):
        assert reached["head", shots] > reached["qi", shots] - 0.03  # int8 and streaming, on few test pictures


def test_auto_is_the_method_that_the_budget_affords():
    data = embeddings(1.5)
    for budget, taken in (("512KB", "ridge"), ("4KB", "proxies")):
        reached = {}
        for outcome in evaluate(data, LABELS, shots=[4], methods=["auto", "head", taken], episodes=4, budget=budget):
            reached[outcome.method] = outcome.per_episode
        assert reached["auto"] == reached["head"] == reached[taken]


def test_ridge_is_left_out_by_default_where_it_does_not_fit_and_refused_when_asked_for():
    settings = {"shots": [1], "episodes": 1, "budget": "4KB"}
    outcomes = evaluate(embeddings(0.5), LABELS, **settings)
    assert [outcome.method for outcome in outcomes] == [method for method in METHODS if method != "ridge"]
    with pytest.raises(BudgetError, match="ridge"):
        evaluate(embeddings(0.5), LABELS, methods=["ridge"], **settings)


def test_base_statistics_reach_the_ridge_head_and_no_other():
    data = embeddings(1.5)
    unit = data / np.linalg.norm(data, axis=1, keepdims=True)
    base = SimpleNamespace(mean=unit.mean(axis=0), second_moment=unit.T @ unit / len(unit))
    settings = {"shots": [1, 2], "episodes": 10, "methods": ["proxies", "ridge"]}
    without, given = evaluate(data, LABELS, **settings), evaluate(data, LABELS, base=base, **settings)
    assert [outcome.method for outcome, other in zip(without, given, strict=True) if outcome != other][:1] == ["ridge"]
    assert given[:2] == without[:2]


def test_the_budget_is_the_heads():
    with pytest.raises(CapacityError):
        evaluate(embeddings(0.5, dim=256), LABELS, shots=[1], methods=["head"], episodes=1, budget="1KB")


def test_progress_and_repeatability():
    calls = []
    settings = {"shots": [2], "methods": ["head", "westerhoff"], "episodes": 4}
    first = evaluate(embeddings(1.5), LABELS, **settings, advance=lambda: calls.append(1))
    assert len(calls) == 4
    assert evaluate(embeddings(1.5), LABELS, **settings) == first


def test_wrong_arguments():
    data = embeddings(0.5)
    with pytest.raises(UsageError, match="magic"):
        evaluate(data, LABELS, methods=["head", "magic"])
    with pytest.raises(UsageError, match="methods"):
        evaluate(data, LABELS, methods=[])
    with pytest.raises(ShapeError):
        evaluate(data[:-1], LABELS)
    with pytest.raises(ShapeError):
        evaluate(data[0], LABELS[:24])
    data[:] = np.nan
    with pytest.raises(EdgeImprintError):
        evaluate(data, LABELS, shots=[1], episodes=1)
