"""Two heads become one."""

from __future__ import annotations

import numpy as np
import pytest
from heads import blob, budget_for, clumps, digits, reload, row, split_digits

from edge_imprint import ImprintHead
from edge_imprint.errors import BackboneMismatchError, CapacityError, ShapeError, UsageError

SHOTS_WORD = 2


def half(x, y, part: slice, budget="64KB") -> ImprintHead:
    return ImprintHead(x.shape[1], budget).partial_fit(x[part], y[part])


def test_merge_commutes_in_classes_and_counts():
    x, y = clumps(1, classes=6, modes=3, shots=30, dim=32, noise=0.5)
    first, second = (ImprintHead(32, "16KB").partial_fit(x[m], y[m]) for m in (y < 4, y > 1))
    a, b = reload(first).merge(second), reload(second).merge(first)
    assert a.shots_per_class() == b.shots_per_class() == {0: 30, 1: 30, 2: 60, 3: 60, 4: 30, 5: 30}
    assert a.classes_[:4].tolist() == first.classes_.tolist()
    assert b.classes_[:4].tolist() == second.classes_.tolist()
    assert int(a._arena.header[SHOTS_WORD]) == int(b._arena.header[SHOTS_WORD]) == 240
    for label in range(6):
        mean_a, mean_b = (row(h, h.classes_.tolist().index(label)) for h in (a, b))
        # Both round n_1 m_1 + n_2 m_2 once, each from int16 rows of at least 2^-15: one step in all.
        assert np.abs(mean_a - mean_b).max() <= 2.0**-14


@pytest.mark.parametrize("fraction", [0.5, 0.1])
def test_means_of_merged_halves_are_the_means_of_all(fraction):
    x, y = clumps(2, classes=3, modes=2, shots=200, dim=48, noise=0.5)
    cut = int(len(x) * fraction)
    merged = half(x, y, slice(cut)).merge(half(x, y, slice(cut, None)))
    whole = half(x, y, slice(None))
    assert merged.shots_per_class() == whole.shots_per_class()
    for label in range(3):
        mine, theirs = (row(h, h.classes_.tolist().index(label)) for h in (merged, whole))
        # A mean of n shots is off by at most (n + 1) / 4 units of 2^-14 (test_head_reference), and like a random walk
        # by sqrt(n / 36) = 2.4 units; three of those for the larger and for the smaller mean each.
        assert np.sqrt(((mine - theirs) ** 2).mean()) <= 2 * 3 * np.sqrt(200 / 36) * 2.0**-14


def test_digits_taught_in_halves_are_recognised_as_well():
    x, y = digits()
    lost = []
    for seed in range(3):
        taught, asked = split_digits(seed, 60)
        middle = len(taught) // 2
        parts = [ImprintHead(64, "64KB").partial_fit(x[i], y[i]) for i in (taught[:middle], taught[middle:])]
        whole = ImprintHead(64, "64KB").partial_fit(x[taught], y[taught])
        merged = parts[0].merge(parts[1])
        lost.append((whole.predict(x[asked]) == y[asked]).mean() - (merged.predict(x[asked]) == y[asked]).mean())
    assert abs(np.mean(lost)) <= 0.015, lost


def test_merging_into_a_new_head_copies_classes_and_answers():
    x, y = clumps(3, classes=4, modes=1, shots=20, dim=32, noise=0.2)
    head = ImprintHead(32, "8KB").partial_fit(x, y)
    copy = ImprintHead(32, "8KB").merge(head)
    assert copy.shots_per_class() == head.shots_per_class()
    assert (copy.decision_function(x) == head.decision_function(x)).all()
    assert copy.thresholds() == head.thresholds()


def test_merging_a_head_with_itself_doubles_the_counts_like_merging_a_copy():
    x, y = clumps(4, classes=3, modes=5, shots=40, dim=24, noise=0.5)
    # A tight budget: centres move and merge while they are read.
    head = ImprintHead(24, budget_for(24, 3, 12), undo=True).partial_fit(x, y)
    copy, expected = reload(head), reload(head)
    expected.merge(copy)
    means = [row(head, slot) for slot in range(3)]
    assert head.merge(head) is head
    assert blob(head) == blob(expected)
    assert head.shots_per_class() == dict.fromkeys(head.classes_.tolist(), 80)
    # The mean of two equal vectors is that vector.
    assert all((row(head, slot) == mean).all() for slot, mean in enumerate(means))


@pytest.mark.parametrize("seed", range(560, 580))
def test_merging_a_head_with_itself_is_not_misled_by_centres_that_move(seed):
    # In few dimensions centres lie so close that one joins another while the head is read (at seed 570, for one).
    rng = np.random.default_rng(seed)
    dim, classes, modes = (int(rng.integers(*bounds)) for bounds in ((1, 12), (1, 5), (1, 8)))
    x, y = clumps(seed, classes, modes, 40, dim, float(rng.choice([0.05, 0.3, 1.0])))
    head = ImprintHead(dim, budget_for(dim, 5, int(rng.integers(5, 25)))).partial_fit(x, y)
    expected = reload(head).merge(reload(head))
    assert blob(head.merge(head)) == blob(expected)


def refused(mine: ImprintHead, theirs: object, error: type[Exception]) -> str:
    before = blob(mine)
    after = blob(theirs) if isinstance(theirs, ImprintHead) else None
    with pytest.raises(error) as raised:
        mine.merge(theirs)
    assert blob(mine) == before
    assert after is None or blob(theirs) == after
    return str(raised.value)


def test_what_does_not_fit_together_is_refused_and_changes_nothing():
    x = np.eye(8)
    mine = ImprintHead(8, budget_for(8, 4, 6), undo=True).partial_fit(x[:3], ["a", "b", "c"])
    wide = ImprintHead(9, "4KB").partial_fit(np.eye(9), "a")
    assert "got 8 and 9" in refused(mine, wide, ShapeError)
    many = ImprintHead(8, "4KB").partial_fit(x, list("abcdefgh"))
    assert "holds 4 classes" in refused(mine, many, CapacityError)
    assert "got dict" in refused(mine, {}, ShapeError)
    assert "got NoneType" in refused(mine, None, ShapeError)


def test_heads_of_different_backbones_do_not_merge():
    mine, theirs = (ImprintHead(8, "4KB").partial_fit(np.eye(8)[:2], ["a", "b"]) for _ in range(2))
    mine.backbone, theirs.backbone = "aaaa", "bbbb"
    assert "aaaa and bbbb" in refused(mine, theirs, BackboneMismatchError)
    theirs.backbone = "aaaa"
    assert mine.merge(theirs).shots_per_class() == {"a": 2, "b": 2}
    unnamed = ImprintHead(8, "4KB").merge(mine)
    assert unnamed.backbone == "aaaa"
    assert mine.merge(ImprintHead(8, "4KB")).backbone == "aaaa"


def test_merging_an_empty_head_changes_nothing_but_undo():
    x, y = clumps(5, classes=3, modes=2, shots=10, dim=16, noise=0.5)
    head = ImprintHead(16, "4KB").partial_fit(x, y)
    before = blob(head)
    head.merge(ImprintHead(16, "2KB"))
    assert blob(head) == before


def test_heads_of_different_methods_are_not_merged():
    proxies, ridge = (ImprintHead(dim=8, budget="16KB", method=method) for method in ("proxies", "ridge"))
    for head in (proxies, ridge):
        head.partial_fit(np.eye(8)[:2], ["a", "b"])
    for mine, theirs in ((proxies, ridge), (ridge, proxies)):
        with pytest.raises(UsageError, match="one method"):
            mine.merge(theirs)
        assert mine.classes_.tolist() == ["a", "b"]
        assert mine.shots_per_class() == {"a": 1, "b": 1}
