"""Streams that no backbone should send, and that some will."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from heads import blob, clumps, reload, row

from edge_imprint import ImprintHead, snapshot
from edge_imprint.head import codec


def answers_are_defined(head: ImprintHead, x: np.ndarray) -> None:
    scores = head.decision_function(x)
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() <= 1
    assert set(head.predict(x).tolist()) <= set(head.classes_.tolist())
    limits = head.thresholds()
    assert limits is None or np.isfinite(limits).all()
    assert blob(reload(head)) == blob(head)


@pytest.mark.parametrize("max_proxies", [1, 2, 21])
@pytest.mark.parametrize("dim", [1, 2, 16, 300])
def test_shots_that_cancel_each_other(dim, max_proxies):
    x = np.random.default_rng(dim).normal(size=(1, dim))
    head = ImprintHead(dim, "64KB", max_proxies=max_proxies)
    for n in range(20):
        head.partial_fit(x if n % 2 == 0 else -x, "both")
        answers_are_defined(head, np.concatenate([x, -x]))
    assert np.abs(row(head, 0)).max() < 1e-3
    # Beside another class the proxies must find both ends where they are allowed to.
    other = np.zeros((1, dim)) + np.linspace(-1, 1, dim) + 1e-3
    head.partial_fit(other, "other")
    answers_are_defined(head, np.concatenate([x, -x, other]))
    if max_proxies > 2 and dim > 2:
        assert head.predict(np.concatenate([x, -x, other])).tolist() == ["both", "both", "other"]


def test_one_dimension_knows_two_directions():
    head = ImprintHead(1, "1KB").partial_fit([[3.0], [0.001], [-7.0]], ["plus", "plus", "minus"])
    assert head.predict([[5.0], [-1e-20], [1e20]]).tolist() == ["plus", "minus", "plus"]
    assert head.decision_function([[2.0]]).tolist() == [[1.0, -1.0]]


def test_the_same_shot_many_times_changes_nothing_but_counts():
    x = np.random.default_rng(0).normal(size=(2, 32))
    once = ImprintHead(32, "4KB").partial_fit(x, ["a", "b"])
    many = ImprintHead(32, "4KB").partial_fit(np.repeat(x, 3000, axis=0), ["a"] * 3000 + ["b"] * 3000)
    assert many.shots_per_class() == {"a": 3000, "b": 3000}
    assert many.proxies_per_class() == {"a": 1, "b": 1}
    assert (many.decision_function(x) == once.decision_function(x)).all()
    # The scatter of identical shots is nothing, so a stranger is told apart at once.
    assert many.verdicts(x).tolist() == ["known", "known"]


@pytest.mark.parametrize("count", [100_000, (1 << 16) - 1, 1 << 16, (1 << 32) - 2, (1 << 32) - 1])
def test_counts_near_their_caps(count):
    x, y = clumps(1, classes=3, modes=4, shots=30, dim=16, noise=0.5)
    head = ImprintHead(16, "4KB").partial_fit(x, y)
    parts = codec.sections(head, None)
    records = bytearray(parts["classes"])
    for i in range(3):
        struct.pack_into("<I", records, 52 * i + 32, count)
    n = head._arena.n_slots
    parts |= {"count": struct.pack(f"<{n}I", *[count] * n), "classes": bytes(records)}
    parts["state"] = parts["state"][:8] + struct.pack("<Q", 3 * count) + parts["state"][16:]
    old = codec.head_from(ImprintHead, snapshot.decode(snapshot.encode(parts)))
    before = [row(old, slot) for slot in range(3)]
    old.partial_fit(x, y)
    answers_are_defined(old, x)
    most = (1 << 32) - 1
    assert set(old.shots_per_class().values()) == {min(count + 30, most)}
    # Thirty shots after so many move a mean by a thousandth at most: (n + w) of the rule is capped at 2^16 + 1.
    assert max(np.abs(row(old, slot) - before[slot]).max() for slot in range(3)) < 1e-3
    old.merge(reload(old))
    assert set(old.shots_per_class().values()) == {min(2 * min(count + 30, most), most)}
    answers_are_defined(old, x)
    state = blob(old)
    old.partial_fit(x[:1], y[:1])
    old.undo()
    assert blob(old) == state


def test_a_thousand_classes_of_one_shot():
    x = np.random.default_rng(2).normal(size=(1000, 32)).astype(np.float32)
    head = ImprintHead(32, "256KB").partial_fit(x, np.arange(1000))
    assert (head.predict(x) == np.arange(1000)).all()
    assert set(head.proxies_per_class().values()) == {1}
    answers_are_defined(head, x[:50])
    for label in range(0, 1000, 2):
        head.forget(label)
    assert head.classes_.tolist() == list(range(1, 1000, 2))
    assert (head.predict(x[1::2]) == np.arange(1, 1000, 2)).all()


def test_the_largest_dimension_with_extreme_rows():
    dim = 4096
    rng = np.random.default_rng(3)
    x = np.concatenate([np.ones((1, dim)), rng.choice([-1.0, 1.0], (30, dim)), np.eye(dim)[:10]])
    y = np.arange(len(x)) % 4
    head = ImprintHead(dim, "1MB").partial_fit(x, y)
    answers_are_defined(head, np.concatenate([x, -x]))
    assert head.decision_function(x[:1])[0, 0] > head.decision_function(-x[:1])[0, 0]


def test_numbers_from_the_smallest_to_the_largest_float32():
    x = np.array([[1e-45, 0, 0], [0, 3.4e38, 0], [0, 0, 1e-38], [1e-45, 3.4e38, 0]], np.float32)
    head = ImprintHead(3, "2KB").partial_fit(x, ["a", "b", "c", "b"])
    assert head.predict(x).tolist() == ["a", "b", "c", "b"]
    assert head.decision_function(x[:1]).tolist() == [[1.0, 0.0, 0.0]]


def test_drifting_means_stay_within_their_box():
    # Each component of a mean stays between the smallest and the largest of its shots, whatever is rounded on the way.
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4000, 8)) + np.linspace(-3, 3, 4000)[:, None] * rng.normal(size=8)
    head = ImprintHead(8, "2KB", max_proxies=1)
    head.partial_fit(x, "a")
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean = row(head, 0)
    assert (mean >= unit.min(axis=0) - 2.0**-14).all()
    assert (mean <= unit.max(axis=0) + 2.0**-14).all()
    assert np.abs(mean - unit.mean(axis=0)).max() < 0.02
