"""The second-moment head keeps the head's contract, on numpy and in C: bytes, answers, undo, budget, snapshots."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from heads import blob, digits, reload, split_digits

from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import (
    BudgetError,
    CapacityError,
    NotTaughtError,
    ShapeError,
    SnapshotCorruptError,
    UsageError,
    ValueRangeError,
)
from edge_imprint.head import codec
from edge_imprint.head.ridge.layout import RidgeLayout, fixed_bytes

DIM = 24


@dataclasses.dataclass
class Moments:
    mean: np.ndarray
    second_moment: np.ndarray


def shots(n: int = 60, classes: int = 4, seed: int = 0, dim: int = DIM):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, dim))
    places = rng.permutation(np.arange(n) % classes)
    return (centres[places] + rng.normal(size=(n, dim))).astype(np.float32), [f"c{place}" for place in places]


def made(dim: int = DIM, budget: int | str = "64KB", **options) -> ImprintHead:
    return ImprintHead(dim=dim, budget=budget, method="ridge", **options)


def taught(n: int = 60, **options) -> ImprintHead:
    return made(**options).partial_fit(*shots(n))


def test_single_shots_and_one_call_give_the_same_bytes():
    x, y = shots()
    one_by_one = made()
    for row, label in zip(x, y, strict=True):
        one_by_one.partial_fit(row[None], label)
    assert blob(one_by_one) == blob(made().partial_fit(x, y))


def test_asking_changes_no_byte():
    x, y = shots()
    asked, quiet = made(), made()
    for row, label in zip(x, y, strict=True):
        for head in (asked, quiet):
            head.partial_fit(row[None], label)
        asked.predict(x[:3])
        asked.confidence(x[:3])
        asked.verdicts(x[:3])
    assert blob(asked) == blob(quiet)


def test_a_loaded_head_goes_on_as_one_that_was_never_saved():
    x, y = shots(80)
    straight = made().partial_fit(x, y)
    broken = made()
    for start in range(0, 80, 16):
        broken = reload(broken.partial_fit(x[start : start + 16], y[start : start + 16]))
    assert blob(straight) == blob(broken)
    for ask in ("decision_function", "confidence", "predict", "verdicts"):
        assert np.array_equal(getattr(straight, ask)(x), getattr(broken, ask)(x))


def test_every_shot_can_be_taken_back_to_the_byte():
    head = made(budget=fixed_bytes(DIM) + 3000, undo=True)
    x, y = shots(50, classes=7, seed=3)
    for row, label in zip(x, y, strict=True):
        before = blob(head)
        try:
            head.partial_fit(row[None], label)
        except CapacityError:
            assert blob(head) == before
            continue
        after = blob(head)
        head.undo()
        assert blob(head) == before
        head.partial_fit(row[None], label)
        assert blob(head) == after
    head.undo()
    with pytest.raises(NotTaughtError):
        head.undo()


def test_forgetting_everything_is_starting_anew():
    head, fresh = taught(), made()
    for label in head.classes_.tolist():
        head.forget(label)
    x, y = shots(20, seed=9)
    head.partial_fit(x, y)
    fresh.partial_fit(x, y)
    parts, others = (codec.sections(one, None) for one in (head, fresh))
    # The number of shots learnt goes on.
    assert {name for name in parts if parts[name] != others[name]} == {"state"}
    assert np.array_equal(head.decision_function(x), fresh.decision_function(x))


def test_a_forgotten_class_leaves_no_answer_and_may_come_back():
    head = taught()
    head.forget("c1")
    assert "c1" not in set(head.predict(shots()[0]))
    head.partial_fit(shots(8, seed=5)[0], "c1")
    assert head.shots_per_class()["c1"] == 8


def test_bytes_add_up_and_stay_below_the_budget():
    head = made(budget=fixed_bytes(DIM) + 5000)
    x, y = shots(200, classes=9, seed=1)
    for row, label in zip(x, y, strict=True):
        head.partial_fit(row[None], label)
        parts = head.memory()
        assert sum(parts.values()) == head.budget
        assert head.nbytes == head.budget - parts["free"] <= head.budget
        assert parts["second_moment"] == fixed_bytes(DIM)


def test_a_full_head_refuses_a_class_and_stays_as_it_is():
    head = made(budget=fixed_bytes(DIM) + 700, undo=False)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, DIM))
    fits = head._engine.layout.max_classes
    head.partial_fit(x[:fits], [f"class {number}" for number in range(fits)])
    before = blob(head)
    with pytest.raises(CapacityError, match=r"budget=(\d+)") as refused:
        head.partial_fit(x[fits : fits + 1], "one more")
    assert blob(head) == before
    enough = int(str(refused.value).rsplit("budget=", 1)[1].split()[0])
    assert RidgeLayout(DIM, enough, False).max_classes > len(head.classes_)


def test_scores_are_cosines_range_and_the_best_is_the_answer():
    x, y = digits()
    train, test = split_digits(0, 20)
    head = made(64, "256KB").partial_fit(x[train], y[train])
    scores = head.decision_function(x[test])
    assert np.abs(scores).max() <= 1
    assert np.array_equal(head.classes_[scores.argmax(axis=1)], head.predict(x[test]))
    sure = head.confidence(x[test])
    assert sure.dtype == np.float32
    assert (sure > 0).all()
    assert (sure <= 1).all()


def test_it_learns_what_varies_within_classes():
    """Two classes that differ along one quiet direction, under noise that all share."""
    rng = np.random.default_rng(0)
    noise = np.diag([3.0] * 4 + [0.3] * (DIM - 4))

    def draw(n):
        y = rng.integers(0, 2, n)
        x = rng.normal(size=(n, DIM)) @ noise
        x[:, -1] += np.where(y == 1, 1.2, -1.2)
        return np.concatenate([x, np.full((n, 1), 6.0)], axis=1).astype(np.float32), y

    (x, y), (test, truth) = draw(80), draw(1000)
    right = {}
    for method in ("proxies", "ridge"):
        head = ImprintHead(dim=DIM + 1, budget="64KB", method=method).partial_fit(x, y)
        right[method] = float((head.predict(test) == truth).mean())
    assert right["ridge"] > 0.97
    assert right["ridge"] > right["proxies"] + 0.05


def test_confidence_means_what_it_says_on_real_digits():
    x, y = digits()
    for seed in range(3):
        train, test = split_digits(seed, 20)
        head = made(64, "256KB").partial_fit(x[train], y[train])
        right = float((head.predict(x[test]) == y[test]).mean())
        # Off by less than 6 points on average; without learning from its own shots it is off by 10.
        assert abs(float(head.confidence(x[test]).mean()) - right) < 0.06


def test_auto_takes_the_second_moment_at_two_thirds():
    for dim in (8, 100, 256):
        least = -(-3 * fixed_bytes(dim) // 2)
        for budget, method in ((least - 1, "proxies"), (least, "ridge")):
            assert ImprintHead(dim=dim, budget=budget, method="auto").method == method


def test_the_named_budget_is_enough_and_four_bytes_less_are_not():
    for dim in (1, 7, 64, 130):
        with pytest.raises(BudgetError, match="needs") as refused:
            made(dim, 100)
        least = int(str(refused.value).split(" needs ")[1].split()[0])
        assert made(dim, least).partial_fit(np.ones((1, dim)), "a").classes_.tolist() == ["a"]
        with pytest.raises(BudgetError):
            made(dim, least - 4)


def test_a_base_shapes_the_first_answers_and_is_checked():
    x, _ = shots(200, seed=7)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    base = Moments(unit.mean(axis=0), unit.T @ unit / len(unit))
    some = shots(8)
    assert blob(made(base=base).partial_fit(*some)) != blob(made().partial_fit(*some))
    for wrong, error in (
        (Moments(base.mean[:3], base.second_moment), ShapeError),
        (Moments(base.mean * np.nan, base.second_moment), ValueRangeError),
        (Moments(base.mean, base.second_moment * 1e6), ValueRangeError),
        (3, ShapeError),
    ):
        with pytest.raises(error, match="base must"):
            made(base=wrong)


def test_merging_adds_classes_and_scatter():
    x, y = shots(120, seed=2)
    left, right, whole = (
        made().partial_fit(x[:60], y[:60]),
        made().partial_fit(x[60:], y[60:]),
        made().partial_fit(x, y),
    )
    left.merge(right)
    assert left.shots_per_class() == whole.shots_per_class()
    test, _ = shots(400, seed=2)
    apart = np.abs(left.decision_function(test) - whole.decision_function(test)).mean()
    assert apart < 0.1
    assert (left.predict(test) == whole.predict(test)).mean() > 0.9
    with pytest.raises(NotTaughtError):
        left.undo()


def test_proxies_have_no_confidence_and_say_so():
    head = ImprintHead(dim=4, budget="4KB").partial_fit(np.eye(4)[:2], ["a", "b"])
    with pytest.raises(UsageError, match='"ridge"'):
        head.confidence(np.eye(4))


def changed(head: ImprintHead, name: str, change) -> bytes:
    parts = dict(codec.sections(head, None))
    parts[name] = change(parts[name])
    return snapshot.encode(parts)


def patched(place: int, value: int):
    def change(payload: bytes) -> bytes:
        numbers = np.frombuffer(payload, "<i4").copy()
        numbers[place] = value
        return numbers.tobytes()

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scatter", patched(0, -5)),
        ("scatter", patched(0, 0)),
        ("scatter", patched(1, 1 << 30)),
        ("scatter", patched(1, -(1 << 31))),
        ("scatter", patched(2, (1 << 31) - 1)),
        ("scatter", lambda payload: payload[:-4]),
        ("scatter", lambda payload: payload + b"\0\0\0\0"),
        ("scatter", lambda payload: bytes(len(payload))),
        ("ridge", lambda payload: payload[:-1]),
        ("ridge", patched(1, 1 << 30)),
        ("ridge", patched(1, -(1 << 31))),
    ],
)
def test_a_scatter_that_no_shots_have_is_refused(tmp_path, name, change):
    path = tmp_path / "crafted.eimp"
    path.write_bytes(changed(taught(), name, change))
    with pytest.raises(SnapshotCorruptError):
        ImprintHead.load(path)


@pytest.mark.parametrize("name", ["ridge", "scatter"])
def test_one_section_without_the_other_is_refused(tmp_path, name):
    parts = dict(codec.sections(taught(), None))
    del parts[name]
    path = tmp_path / "half.eimp"
    path.write_bytes(snapshot.encode(parts))
    with pytest.raises(SnapshotCorruptError, match=name):
        ImprintHead.load(path)


def test_any_flipped_bit_and_any_truncation_is_found(tmp_path):
    whole = blob(made(4, 4096).partial_fit(np.eye(4), list("abcd")))
    path = tmp_path / "damaged.eimp"
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(SnapshotCorruptError):
            ImprintHead.load(path)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotCorruptError):
            ImprintHead.load(path)


def test_clusters_that_a_line_cannot_part_keep_their_own_discriminants():
    x, y = clumps_in_a_square()
    head = made(3, "16KB").partial_fit(x, y)
    assert (head.predict(x) == y).mean() > 0.95


def clumps_in_a_square():
    """Exclusive or: each class has two clumps, and no straight line parts the classes."""
    rng = np.random.default_rng(0)
    corners = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)])
    places = rng.integers(0, 4, 400)
    plane = corners[places] + 0.15 * rng.normal(size=(400, 2))
    return np.concatenate([plane, np.ones((400, 1))], axis=1).astype(np.float32), (places >= 2).astype(int)
