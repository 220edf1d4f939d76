"""Advice: each statement on data where it is known to be true, and a defined answer to whatever a head may hold."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edge_imprint.errors import NotTaughtError, ShapeError, ValueRangeError
from edge_imprint.head.advice import Advice, ClassSummary, advise
from edge_imprint.head.learning_curve import curve_of
from edge_imprint.head.odd_shots import CAPACITY, OddShot, OddShots

DIM, SPREAD_DIM = 64, 40


def world(seed: int, classes: int = 6, scatter: float = 0.35, gap: float = 0.16) -> np.ndarray:
    """Means of classes, (classes, DIM): a common part, and one of their own, as real embeddings have."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(classes, DIM)) / np.sqrt(DIM)
    common = rng.normal(size=DIM) / np.sqrt(DIM)
    return np.sqrt(1 - scatter - gap) * common + np.sqrt(gap) * own


def shots_of(mean: np.ndarray, count: int, rng: np.random.Generator, scatter: float = 0.35) -> np.ndarray:
    x = mean + rng.normal(size=(count, DIM)) * np.sqrt(scatter / DIM)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def summary(label: str, x: np.ndarray, **more: object) -> ClassSummary:
    return replace(ClassSummary(label, len(x), x.mean(axis=0).astype(np.float32), 100), **more)


def of_kind(found: list[Advice], kind: str) -> list[Advice]:
    return [piece for piece in found if piece.kind == kind]


def measured(centres: np.ndarray, taught: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share of each class's new shots that the nearest mean by cosine answers right."""
    unit = taught / np.linalg.norm(taught, axis=1, keepdims=True)
    return np.array([((shots_of(c, 200, rng) @ unit.T).argmax(axis=1) == i).mean() for i, c in enumerate(centres)])


@pytest.mark.parametrize("shots", [2, 5, 10])
def test_the_learning_curve_rises_as_answers_do(shots):
    """Data that the constants were not made for, so ten points either way; the sign and the order are what counts."""
    said, real = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        centres = world(seed)
        x = [shots_of(c, shots + 5, rng) for c in centres]
        few, more = (np.array([mine[:n].mean(axis=0) for mine in x]) for n in (shots, shots + 5))
        said.append(curve_of(few, [shots] * len(x)).gain(5).mean())
        real.append((measured(centres, more, rng) - measured(centres, few, rng)).mean())
    assert np.mean(said) > 0
    assert abs(np.mean(said) - np.mean(real)) < 0.10, (np.mean(said), np.mean(real))


def test_gain_falls_with_every_shot_and_vanishes():
    means = world(3)
    gains = [curve_of(means, [n] * len(means)).gain(5).mean() for n in (5, 10, 40, 200, 10_000)]
    assert all(a > b for a, b in pairwise(gains)), gains
    assert 0 <= gains[-1] < 1e-3


def test_a_class_that_is_ahead_gains_nothing_from_the_others_being_behind():
    means = world(1)
    level = curve_of(means, [5] * 6).gain()[0]
    ahead = curve_of(means, [5, 50, 50, 50, 50, 50]).gain()
    assert ahead[0] > level
    assert (ahead[1:] < level).all()
    assert (ahead[1:] >= 0).all()


def test_two_classes_that_are_alike_are_named_first():
    rng = np.random.default_rng(0)
    centres = world(0)
    centres[4] = centres[2] + 0.15 * (centres[4] - centres[2])
    found = advise([summary(f"c{i}", shots_of(c, 30, rng)) for i, c in enumerate(centres)])
    pairs = of_kind(found, "confusable")
    assert pairs[0].labels == ("c2", "c4")
    assert found[0] is pairs[0]
    assert pairs[0].numbers["chance"] > 0.3
    assert "'c2' and 'c4' are easily mistaken" in pairs[0].sentence
    assert "larger backbone" in pairs[0].sentence


def test_classes_that_are_far_apart_get_no_warning():
    rng = np.random.default_rng(0)
    x = [shots_of(3 * np.eye(DIM)[i], 30, rng, scatter=0.05) for i in range(4)]
    found = advise([summary(f"c{i}", mine) for i, mine in enumerate(x)])
    assert [piece.kind for piece in found] == ["enough shots"]
    assert found[0].labels == ("c0", "c1", "c2", "c3")
    assert "have enough shots" in found[0].sentence


def test_the_class_with_few_shots_is_the_one_to_show():
    rng = np.random.default_rng(5)
    centres = world(5)
    counts = [2, 60, 60, 60, 60, 60]
    found = advise(
        [summary(f"c{i}", shots_of(c, n, rng)) for i, (c, n) in enumerate(zip(centres, counts, strict=True))]
    )
    wanted = of_kind(found, "more shots")
    assert [piece.labels for piece in wanted] == [("c0",)]
    assert "has 2 shots: 5 more" in wanted[0].sentence
    assert wanted[0].numbers["gain"] > 0.1
    assert of_kind(found, "enough shots")[0].labels == ("c1", "c2", "c3", "c4", "c5")


def test_centres_close_to_their_mean_waste_bytes_and_distant_ones_do_not():
    rng = np.random.default_rng(2)
    x = [shots_of(3 * np.eye(DIM)[i], 30, rng, scatter=0.05) for i in range(3)]
    plain = [summary(f"c{i}", mine) for i, mine in enumerate(x)]
    mean = plain[0].mean
    close = np.stack([mean + 0.05 * np.eye(DIM)[9], mean - 0.05 * np.eye(DIM)[9]]).astype(np.float32)
    far = np.stack([mean + 0.6 * np.eye(DIM)[9], mean - 0.6 * np.eye(DIM)[9]]).astype(np.float32)
    (piece,) = of_kind(advise([replace(plain[0], centres=close, size_bytes=300), *plain[1:]]), "wasted bytes")
    assert piece.labels == ("c0",)
    assert piece.numbers["bytes"] == 200
    assert not of_kind(advise([replace(plain[0], centres=far), *plain[1:]]), "wasted bytes")
    # One centre far away does not count while it stands for one shot in a thousand.
    mixed = replace(plain[0], centres=np.stack([close[0], far[0]]), counts=np.array([999, 1]))
    assert of_kind(advise([mixed, *plain[1:]]), "wasted bytes")


def test_a_class_that_is_never_the_answer_is_named_once_there_were_answers():
    rng = np.random.default_rng(2)
    plain = [summary(f"c{i}", shots_of(c, 9, rng)) for i, c in enumerate(world(2, 3))]
    counted = [replace(plain[0], answers=0), replace(plain[1], answers=50), replace(plain[2], answers=20)]
    (piece,) = of_kind(advise(counted), "never the answer")
    assert piece.labels == ("c0",)
    assert not of_kind(advise([counted[0], replace(plain[1], answers=20), counted[2]]), "never the answer")
    assert not of_kind(advise([counted[0], counted[1], plain[2]]), "never the answer")


def test_one_class_and_none():
    assert advise([]) == []
    (piece,) = advise([ClassSummary("mug", 1, np.ones(4, np.float32) / 2, 9)])
    assert piece.kind == "one class"
    assert piece.importance == 1


def test_odd_shots_weigh_less_in_a_class_of_many_and_those_of_forgotten_classes_are_left_out():
    plain = [summary(f"c{i}", shots_of(c, 10 * (i + 1), np.random.default_rng(i))) for i, c in enumerate(world(2, 3))]
    odd = [OddShot(7, "c2", "c0", -0.2, 0.9), OddShot(5, "c0", "c1", -0.2, 0.6), OddShot(1, "gone", "c0", -0.5, 0.9)]
    found = of_kind(advise(plain, odd), "odd shot")
    assert [piece.labels for piece in found] == [("c0", "c1"), ("c2", "c0")]
    assert "Shot 5, taught as 'c0', looks like 'c1' (60 % sure)" in found[0].sentence


def test_advice_survives_json():
    rng = np.random.default_rng(0)
    found = advise(
        [summary(f"c{i}", shots_of(c, 2, rng)) for i, c in enumerate(world(0))], [OddShot(1, "c0", "c1", -1.0, 0.5)]
    )
    back = json.loads(json.dumps([piece.as_dict() for piece in found]))
    assert [Advice(**{**item, "labels": tuple(item["labels"])}) for item in back] == found


@pytest.mark.parametrize(
    ("means", "shots", "error", "message"),
    [
        (np.eye(3)[:1], [1], NotTaughtError, "got 1. Teach another class"),
        (np.eye(3), [1, 1], ShapeError, r"got \(3, 3\) and \(2,\)"),
        (np.eye(3), [1, 0, 1], ValueRangeError, "shots at least 1"),
        (np.eye(3) * np.nan, [1, 1, 1], ValueRangeError, "must be finite"),
        (np.eye(3) * 1e300, [1, 1, 1], ValueRangeError, "at most 1 long; got 1e"),
    ],
)
def test_curves_refuse_what_no_head_has(means, shots, error, message):
    with pytest.raises(error, match=message):
        curve_of(means, shots)


def test_advice_refuses_classes_of_several_heads():
    with pytest.raises(ShapeError, match="of one dim"):
        advise([ClassSummary("a", 1, np.ones(2, np.float32), 1), ClassSummary("b", 1, np.ones(3, np.float32), 1)])
    pair = [
        ClassSummary("a", 1, np.eye(2, dtype=np.float32)[0], 1),
        ClassSummary("b", 1, np.eye(2, dtype=np.float32)[1], 1),
    ]
    with pytest.raises(ShapeError, match="centres must be"):
        advise([replace(pair[0], centres=np.ones((1, 3), np.float32)), pair[1]])
    with pytest.raises(ValueRangeError, match="with counts"):
        advise([replace(pair[0], centres=np.full((1, 2), np.nan, np.float32)), pair[1]])


UNIT = npst.arrays(
    np.float64, npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7), elements=st.floats(-1, 1)
)


@settings(deadline=None, max_examples=150)
@given(UNIT, st.data())
def test_whatever_a_head_holds_advice_is_finite_sorted_and_says_something(means, data):
    length = np.linalg.norm(means, axis=1, keepdims=True)
    means = np.where(length > 1, means / np.maximum(length, 1e-300), means)
    shots = data.draw(st.lists(st.integers(1, 100_000), min_size=len(means), max_size=len(means)))
    classes = [
        ClassSummary(i, n, m.astype(np.float32), 50, centres=np.stack([m, -m]).astype(np.float32), answers=i)
        for i, (m, n) in enumerate(zip(means, shots, strict=True))
    ]
    found = advise(classes)
    importance = [piece.importance for piece in found]
    assert importance == sorted(importance, reverse=True)
    for piece in found:
        assert 0 <= piece.importance <= 1
        assert np.isfinite(
            [v for v in piece.numbers.values() if not (piece.kind == "wasted bytes" and v == np.inf)]
        ).all()
        assert piece.sentence.endswith(".")
        assert "nan" not in piece.sentence
    if len(means) > 1:
        curve = curve_of(means, shots)
        for values in (curve.confusion(), curve.accuracy()):
            assert ((values >= -1e-9) & (values <= 1 + 1e-9)).all()
        assert (np.abs(curve.gain()) <= 1).all()


def watched(
    rng: np.random.Generator, classes: int = 5, shots: int = 200, wrong: float = 0.05
) -> tuple[OddShots, set[int]]:
    """A log that saw shots well apart, some of them planted with a wrong label."""
    log, planted = OddShots(), set()
    for number in range(shots):
        label = int(rng.integers(classes))
        own, other = 0.7 + 0.05 * rng.normal(), 0.5 + 0.05 * rng.normal()
        if number > 40 and rng.random() < wrong:
            planted.add(number)
            own, other = other, own
        log.observe(number, label, number // classes, own, other, (label + 1) % classes)
    return log, planted


def test_planted_labels_are_found_where_classes_are_well_apart():
    hits = flags = all_planted = 0
    sure: list[float] = []
    for seed in range(20):
        log, planted = watched(np.random.default_rng(seed), wrong=0.04)
        found = log.found(0.5)
        flags, hits = flags + len(found), hits + sum(odd.number in planted for odd in found)
        all_planted += len(planted)
        sure += [odd.sure for odd in found]
    assert hits / flags > 0.8
    assert hits / all_planted > 0.6
    assert abs(np.mean(sure) - hits / flags) < 0.15


def test_nothing_is_odd_before_the_third_shot_of_a_class_nor_without_experience():
    log = OddShots()
    for number in range(20):
        log.observe(number, "a", 5, 0.9, 0.5 + 0.01 * (number % 4), "b")
    log.observe(20, "c", 0, 0.0, 0.9, "b")
    log.observe(21, "c", 1, 0.0, 0.9, "b")
    assert not log.events
    log.observe(22, "c", 2, 0.0, 0.9, "b")
    assert [event.number for event in log.events] == [22]
    fresh = OddShots()
    fresh.observe(1, "a", 9, 0.0, 0.9, "b")
    assert not fresh.events


def test_the_log_keeps_the_oddest_and_forgets_on_demand():
    log = OddShots()
    for number in range(200):
        log.observe(number, "a", 5, 0.9, 0.5 + 0.01 * (number % 4), "b")
    for number in range(200, 260):
        log.observe(number, "a", 5, 0.5, 0.5 + 0.01 * (number - 199), "b")
    assert len(log.events) == CAPACITY
    assert min(event.number for event in log.events) >= 240
    log.take_back(259)
    assert len(log.events) == CAPACITY - 1
    log.forget("b")
    assert not log.events


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=60)
)
def test_any_scores_in_any_order_give_a_short_log_of_probabilities(shots):
    log = OddShots()
    for number, (label, before, own, other) in enumerate(shots):
        log.observe(number, label, before, own, other, label + 1)
    found = log.found(0.0)
    assert len(found) <= CAPACITY
    assert all(0 <= odd.sure <= 1 and odd.margin < 0 for odd in found)
    assert [odd.sure for odd in found] == sorted((odd.sure for odd in found), reverse=True)


def test_the_unit_of_the_scores_does_not_matter():
    logs = OddShots(), OddShots()
    rng = np.random.default_rng(0)
    for number in range(100):
        own, other = 0.6 + 0.2 * rng.normal(), 0.5 + 0.2 * rng.normal()
        for log, unit in zip(logs, (1.0, 2.0**-12), strict=True):
            log.observe(number, number % 3, 5, unit * own, unit * other, 4)
    first, second = ([(odd.number, odd.sure) for odd in log.found(0.0)] for log in logs)
    assert len(first) == CAPACITY
    assert first == second


def test_scores_that_are_no_numbers_change_nothing():
    log = OddShots()
    with pytest.raises(ValueRangeError, match="scores must be finite"):
        log.observe(1, "a", 5, float("nan"), 0.5, "b")
    assert not log.events
