"""What a second-moment head makes of odd lessons: a defined answer, no NaN, no exception but the documented ones."""

from __future__ import annotations

import numpy as np
import pytest
from heads import blob
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_imprint import ImprintHead
from edge_imprint.errors import EdgeImprintError, ValueRangeError
from edge_imprint.head import moment
from edge_imprint.head.ridge.layout import fixed_bytes

# Numbers of every size that float32 has, and many that are equal.
NUMBERS = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-1, 1, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def check(head: ImprintHead, x: np.ndarray) -> None:
    """Every answer is there, in its range, and the same when asked again."""
    scores, sure, known = head.decision_function(x), head.confidence(x), head.known_score(x)
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() <= 1
    assert ((sure > 0) & (sure <= 1)).all()
    assert np.isfinite(known).all()
    assert set(head.verdicts(x).tolist()) <= {"known", "uncertain", "unknown"}
    assert set(head.predict(x).tolist()) <= set(head.classes_.tolist())
    assert np.array_equal(scores, head.decision_function(x))
    assert head.nbytes <= head.budget


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dim=st.integers(1, 9), undo=st.booleans())
def test_any_lessons_leave_a_head_that_answers(data, dim, undo):
    head = ImprintHead(dim=dim, budget=fixed_bytes(dim) + 2500, method="ridge", undo=undo)
    rows = data.draw(st.lists(st.lists(NUMBERS, min_size=dim, max_size=dim), min_size=1, max_size=25))
    for row in rows:
        x = np.array([row], np.float32)
        label = data.draw(st.sampled_from(["a", "b", "c"]))
        before = blob(head)
        try:
            head.partial_fit(x, label)
        except ValueRangeError:
            assert not np.abs(x).max() > 0
            assert blob(head) == before
            continue
        check(head, x)
        what = data.draw(st.sampled_from(["go on", "go on", "undo", "forget"]))
        if what == "undo" and undo:
            head.undo()
            assert blob(head) == before
        elif what == "forget":
            head.forget(label)
        if len(head.classes_):
            check(head, x)


def test_one_shot_of_one_class():
    head = ImprintHead(dim=5, budget="8KB", method="ridge").partial_fit([[1, 2, 3, 4, 5]], "only")
    check(head, np.array([[1, 2, 3, 4, 5], [-1, 0, 0, 0, 0]], np.float32))
    assert head.confidence([[9, 9, 9, 9, 9]]).tolist() == [1.0]


@pytest.mark.parametrize("scale", [1.0, 2.0, 3e-38, 3e37])
def test_identical_shots_and_exact_multiples(scale):
    head = ImprintHead(dim=4, budget="8KB", method="ridge")
    for number in range(40):
        head.partial_fit(np.array([[1, 2, 0, 0]], np.float32) * np.float32(scale if number % 2 else 1), "a")
        head.partial_fit(np.array([[0, 0, 3, 1]], np.float32), "b")
    check(head, np.eye(4, dtype=np.float32))
    assert head.predict([[1, 2, 0, 0], [0, 0, 3, 1]]).tolist() == ["a", "b"]
    assert head.proxies_per_class() == {"a": 1, "b": 1}


def test_a_direction_that_no_shot_has():
    rng = np.random.default_rng(0)
    x = np.zeros((50, 12), np.float32)
    x[:, :2] = rng.normal(size=(50, 2))
    y = np.where(x[:, 0] > 0, "right", "left")
    head = ImprintHead(dim=12, budget="16KB", method="ridge").partial_fit(x, y)
    check(head, np.eye(12, dtype=np.float32))
    assert (head.predict(x) == y).mean() > 0.9


def test_the_same_shot_under_two_names():
    head = ImprintHead(dim=3, budget="8KB", method="ridge")
    for _ in range(10):
        head.partial_fit([[1, 1, 0], [1, 1, 0]], ["a", "b"])
    check(head, np.eye(3, dtype=np.float32))
    assert head.confidence([[1, 1, 0]])[0] == pytest.approx(0.5, abs=0.01)


def test_a_class_forgotten_and_taught_again():
    rng = np.random.default_rng(0)
    head = ImprintHead(dim=6, budget="8KB", method="ridge")
    for _ in range(5):
        head.partial_fit(rng.normal(size=(6, 6)) + 2, "a")
        head.partial_fit(rng.normal(size=(6, 6)) - 2, "b")
        head.forget("a")
        check(head, rng.normal(size=(3, 6)).astype(np.float32))
    head.forget("b")
    with pytest.raises(EdgeImprintError):
        head.predict(np.eye(6))


def test_a_thousand_classes_of_one_shot(kernels):
    classes = 1000 if kernels == "native" else 60
    rng = np.random.default_rng(0)
    x = rng.normal(size=(classes, 16)).astype(np.float32)
    head = ImprintHead(dim=16, budget="256KB", method="ridge")
    head.partial_fit(x, [f"class {number}" for number in range(classes)])
    check(head, x[:50])
    assert (head.predict(x) == head.classes_).mean() > 0.95


@pytest.mark.slow
def test_a_hundred_thousand_shots_of_one_class(kernels):
    if kernels == "numpy":
        pytest.skip("the C library's bytes are numpy's; this takes numpy minutes")
    rng = np.random.default_rng(0)
    head = ImprintHead(dim=32, budget="64KB", method="ridge").partial_fit(rng.normal(size=(5, 32)) - 1, "few")
    for _ in range(20):
        head.partial_fit(rng.normal(size=(5000, 32)) + 1, "many")
    check(head, rng.normal(size=(5, 32)).astype(np.float32))
    assert (head.predict(rng.normal(size=(200, 32)) + 1) == "many").mean() > 0.99
    assert (head.predict(rng.normal(size=(200, 32)) - 1) == "few").mean() > 0.9


def test_a_scatter_that_is_full_stays_as_it_is_and_undo_with_it():
    head = ImprintHead(dim=1, budget="4KB", method="ridge").partial_fit([[1], [-1]], ["a", "b"])
    second = head._engine.second
    assert second is not None
    second.scatter[0] = moment.MOST - 1
    head._engine.loaded()
    before, shots = blob(head), second.shots
    head.partial_fit([[-1]], "a")
    assert (second.scatter[0], second.shots) == (moment.MOST - 1, shots)
    check(head, np.array([[1], [-1]], np.float32))
    head.undo()
    assert blob(head) == before
