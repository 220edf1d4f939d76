"""Undo gives back the bytes before the shot, whatever kind of shot it was; forget gives back the bytes of a class."""

from __future__ import annotations

import numpy as np
import pytest
from heads import blob, budget_for, clumps, reload, unit, used_bytes

from edge_imprint import ImprintHead
from edge_imprint.errors import NotTaughtError, UnknownLabelError
from edge_imprint.head.budget import RECORD_BYTES, Layout


def kind_of_shot(head: ImprintHead, x: np.ndarray, label: str) -> str:
    """Learn one shot and say what it did to the arena."""
    before = head.proxies_per_class()
    full = not head._arena.has_room(1, 1)
    rows = centre_rows(head, label)
    head.partial_fit(x, label)
    after = head.proxies_per_class()
    if label not in before:
        return "new class in a full arena" if full else "new class"
    lost = [k for k in before if after[k] < before[k]]
    if after[label] > before[label]:
        return "taken from another class" if lost else "first centre" if before[label] == 1 else "centre"
    if not rows:
        return "mean only"
    # The shot joins one centre, or two centres become one and it takes the place of the other.
    return "absorb" if len(set(rows.items()) - set(centre_rows(head, label).items())) == 1 else "merge"


def centre_rows(head: ImprintHead, label: str) -> dict[int, tuple[bytes, int]]:
    """Row and count of each centre of a class, by slot."""
    arena, labels = head._arena, head.classes_.tolist()
    slots = arena.centres_of(labels.index(label)).tolist() if label in labels else []
    return {s: (arena.high[s].tobytes() + arena.low[s].tobytes(), int(arena.count[s])) for s in slots}


def undo_everywhere(head: ImprintHead, x: np.ndarray, y: list[str]) -> set[str]:
    """Learn every shot, undo it, learn it again, and compare all bytes on the way."""
    seen = set()
    for i, label in enumerate(y):
        shot = x[i : i + 1]
        state, arena, limits = blob(head), used_bytes(head), head.thresholds()
        kind = kind_of_shot(head, shot, label)
        learnt = blob(head)
        head.undo()
        assert blob(head) == state, kind
        assert used_bytes(head) == arena, kind
        assert head.thresholds() == limits, kind
        with pytest.raises(NotTaughtError):
            head.undo()
        assert blob(head) == state
        assert kind_of_shot(head, shot, label) == kind
        assert blob(head) == learnt
        seen.add(kind)
    return seen


KINDS = {"new class", "new class in a full arena", "first centre", "centre", "absorb", "merge", "mean only"}


def test_every_kind_of_shot_can_be_taken_back():
    # A tight class keeps its mean alone; shots without any order keep merging; late classes find the arena full.
    tight = clumps(8, classes=1, modes=1, shots=3, dim=24, noise=0.01)[0]
    scattered = np.random.default_rng(9).normal(size=(40, 24))
    x, y = clumps(3, classes=2, modes=6, shots=40, dim=24, noise=0.5)
    late = [clumps(4 + k, 1, 4, 25, 24, 0.5)[0] for k in range(3)]
    x = np.concatenate([tight, scattered, x, *late])
    names = (
        ["tight"] * 3 + ["c0", "c1"] * 20 + [f"c{k}" for k in y] + [f"late {k}" for k in range(3) for _ in range(25)]
    )
    head = ImprintHead(24, budget_for(24, 6, 15, spare=30), undo=True)
    assert undo_everywhere(head, x, names) >= KINDS | {"taken from another class"}


@pytest.mark.parametrize("dim", [1, 2, 4, 12, 16, 17, 64])
@pytest.mark.parametrize("spare", [0, 4, 20, 40, 51])
def test_a_new_class_in_a_full_arena_can_be_taken_back_at_every_remainder(dim, spare):
    # A record covers up to three slots of a small dim: then several slots must be freed for one new class.
    head = ImprintHead(dim, budget_for(dim, 3, 16, spare), undo=True)
    x, y = clumps(dim + spare, classes=3, modes=8, shots=40, dim=dim, noise=0.4)
    head.partial_fit(x, y)
    fits = head._arena.layout.max_classes
    for label in range(3, min(fits, 9)):
        state, arena = blob(head), used_bytes(head)
        head.partial_fit(-x[label : label + 1], label)
        assert head.nbytes <= head.budget
        head.undo()
        assert blob(head) == state
        assert used_bytes(head) == arena
        head.partial_fit(x[label : label + 1], label)


def test_undo_takes_back_only_the_last_shot_of_a_call():
    x, y = clumps(5, classes=3, modes=3, shots=8, dim=16, noise=0.5)
    head = ImprintHead(16, "4KB").partial_fit(x, y)
    head.undo()
    assert blob(head) == blob(ImprintHead(16, "4KB").partial_fit(x[:-1], y[:-1]))
    assert head.shots_per_class()[y[-1]] == 7


def test_undo_of_the_only_shot_gives_a_new_head():
    head = ImprintHead(8, "2KB")
    fresh = blob(head)
    with pytest.raises(NotTaughtError):
        head.undo()
    head.partial_fit(np.ones((1, 8)), "a")
    head.undo()
    assert blob(head) == fresh
    assert head.nbytes == ImprintHead(8, "2KB").nbytes
    with pytest.raises(NotTaughtError):
        head.predict(np.ones((1, 8)))


def test_undo_survives_questions_and_refused_shots():
    head = ImprintHead(8, "2KB").partial_fit(np.eye(8), np.arange(8) % 2)
    before = blob(head)
    head.partial_fit(np.ones((1, 8)), 1)
    head.predict(np.eye(8))
    with pytest.raises(ValueError, match="finite"):
        head.partial_fit(np.full((1, 8), np.nan), 1)
    head.undo()
    assert blob(head) == before


@pytest.mark.parametrize("what", ["load", "forget", "merge", "undo", "never"])
def test_undo_is_refused_after_anything_but_a_shot(what):
    head = ImprintHead(8, "2KB")
    if what != "never":
        head.partial_fit(np.eye(8), np.arange(8) % 2)
    if what == "load":
        head = reload(head)
    elif what == "forget":
        head.forget(1)
    elif what == "merge":
        head.merge(ImprintHead(8, "2KB").partial_fit(np.eye(8)[:1], "b"))
    elif what == "undo":
        head.undo()
    state = blob(head)
    with pytest.raises(NotTaughtError, match="undo takes back one shot"):
        head.undo()
    assert blob(head) == state


def test_without_a_journal_there_is_more_room_and_no_undo():
    head = ImprintHead(64, "4KB", undo=False).partial_fit(np.eye(64), np.arange(64) % 3)
    with pytest.raises(NotTaughtError):
        head.undo()
    assert head.memory()["journal"] == 0
    assert head._arena.layout.max_classes > ImprintHead(64, "4KB", undo=True)._arena.layout.max_classes
    assert not reload(head)._arena.layout.undo


def test_forget_gives_exactly_the_bytes_back_and_leaves_the_others_answers():
    x, y = clumps(6, classes=4, modes=4, shots=40, dim=32, noise=0.6)
    head = ImprintHead(32, "8KB").partial_fit(x, [f"c{k}" for k in y])
    layout = Layout(32, 8192)
    for label in ("c2", "c0", "c3", "c1"):
        before, proxies = head.nbytes, head.proxies_per_class()[label]
        others = [k for k in head.classes_.tolist() if k != label]
        columns = [head.classes_.tolist().index(k) for k in others]
        scores = head.decision_function(unit(x))[:, columns]
        head.forget(label)
        assert before - head.nbytes == proxies * layout.slot_bytes + RECORD_BYTES
        assert head.classes_.tolist() == others
        if others:
            assert (head.decision_function(unit(x)) == scores).all()
        with pytest.raises(UnknownLabelError):
            head.forget(label)
    fresh = ImprintHead(32, "8KB")
    fresh._arena.header[2] = head._arena.header[2]  # the counter of all shots goes on
    assert blob(head) == blob(fresh)
    assert head.nbytes == fresh.nbytes
