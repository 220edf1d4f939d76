"""What the log of shots is for: forgetting a class takes what its shots said out of the scatter, to the byte."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from heads import blob, reload

from edge_imprint import ImprintHead
from edge_imprint.errors import CapacityError, SnapshotCorruptError
from edge_imprint.head import codec
from edge_imprint.head.ridge.layout import fixed_bytes, row_bytes
from edge_imprint.head.ridge.shot_log import MOST_LOGGED

DIM = 12


def made(budget: int | str = "64KB", **options) -> ImprintHead:
    return ImprintHead(dim=DIM, budget=budget, method="ridge", **options)


def course(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Shots whose first ones open the classes in order."""
    rng = np.random.default_rng(seed)
    places = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    x = rng.normal(size=(classes, DIM))[places] + rng.normal(size=(n, DIM))
    return x.astype(np.float32), [f"c{place}" for place in places]


def scatter_of(head: ImprintHead) -> tuple[bytes, int]:
    parts = codec.sections(head, None)
    return parts["scatter"], struct.unpack("<Ii", parts["ridge"])[0]


def entry_of(head: ImprintHead) -> np.dtype:
    step = row_bytes(DIM)
    return np.dtype(
        {"names": ["cls", "shift", "counted"], "formats": ["<u2", "u1", "u1"],
         "offsets": [step - 8, step - 6, step - 5], "itemsize": step}
    )  # fmt: skip


def test_a_class_that_came_and_went_leaves_the_scatter_as_it_was():
    head = made().partial_fit(*course(30, 3))
    before = scatter_of(head)
    x, _ = course(15, 1, seed=5)
    head.partial_fit(x, "guest")
    assert scatter_of(head) != before
    head.forget("guest")
    assert scatter_of(head) == before


@pytest.mark.parametrize("gone", ["c2", "c3"])
def test_shots_of_others_in_between_do_not_matter(gone):
    """All classes are opened before the others go on: a class's first shot is held against the classes there are."""
    x, y = course(60, 4)
    without = [place for place, label in enumerate(y) if label != gone]
    head = made().partial_fit(x[:4], y[:4])
    first = [scatter_of(head)]
    head.forget(gone)
    first.append(scatter_of(head))
    whole, rest = made().partial_fit(x, y), made().partial_fit(x[:4], y[:4])
    rest.forget(gone)
    assert scatter_of(rest) == first[1] != first[0]
    rest.partial_fit(x[without][3:], [y[place] for place in without][3:])
    whole.forget(gone)
    assert scatter_of(whole) == scatter_of(rest)
    assert np.array_equal(whole.decision_function(x), rest.decision_function(x))


def test_a_loaded_head_forgets_as_one_that_was_never_saved():
    head = made().partial_fit(*course(50, 4))
    loaded = reload(head)
    for label in ("c0", "c3"):
        head.forget(label)
        loaded.forget(label)
        assert blob(head) == blob(loaded)
    x, y = course(20, 5, seed=3)
    assert blob(head.partial_fit(x, y)) == blob(loaded.partial_fit(x, y))


def test_it_says_which_classes_it_forgets_exactly():
    head = made(fixed_bytes(DIM) + 3000, undo=False)
    assert head.forgets_exactly() == {}
    x, _ = course(3, 1)
    head.partial_fit(x, "few")
    rng = np.random.default_rng(1)
    head.partial_fit(rng.normal(size=(500, DIM)), "many")
    assert head.forgets_exactly() == {"few": True, "many": False}
    assert reload(head).forgets_exactly() == {"few": True, "many": False}
    proxies = ImprintHead(dim=DIM, budget="64KB").partial_fit(x, "few")
    assert proxies.forgets_exactly() == {"few": True}


def test_one_class_of_thousands_of_shots_leaves_half_and_what_is_logged_of_it_goes():
    head = made(max_proxies=1)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3000, DIM))
    head.partial_fit(x, "hog")
    log = head._engine.second.log
    places = min(head._engine.layout.rows - 1, MOST_LOGGED)
    assert places // 2 <= log.count <= places // 2 + 1
    head.partial_fit(x[:20] + 3, "other")
    assert head.forgets_exactly() == {"hog": False, "other": True}
    shots, logged = scatter_of(head)[1], log.of_class(0)
    head.forget("hog")
    assert scatter_of(head)[1] == shots - logged + 1  # the first shot of all is in the log, not in the scatter
    head.forget("other")
    assert scatter_of(head) == scatter_of(made())


def test_proxies_push_the_newest_shots_out_and_undo_brings_them_back():
    head = made(fixed_bytes(DIM) + 3500, undo=True)
    rng = np.random.default_rng(3)
    log, pushed = head._engine.second.log, 0
    for number in range(120):
        row, label = rng.normal(size=(1, DIM)), f"c{number % 5}"
        before, logged = blob(head), log.count
        head.partial_fit(row, label)
        after = blob(head)
        pushed += log.count < logged
        head.predict(row)  # discriminants are made: the place of what was pushed out is written to
        head.undo()
        assert blob(head) == before
        head.partial_fit(row, label)
        assert blob(head) == after
    assert pushed > 2
    assert log.free(head._arena.n_slots) >= 0


def test_a_full_head_has_no_log_and_goes_on():
    head = made(fixed_bytes(DIM) + 900, undo=False, max_proxies=1)
    rng = np.random.default_rng(4)
    for number in range(30):
        try:
            head.partial_fit(rng.normal(size=(2, DIM)), number)
        except CapacityError:
            break
    assert head._engine.second.log.free(head._arena.n_slots) >= 0
    assert reload(head).predict(np.eye(DIM)).tolist() == head.predict(np.eye(DIM)).tolist()


def test_merging_takes_new_classes_shots_over_and_not_those_of_common_ones():
    left, right = made().partial_fit(*course(20, 3)), made()
    x, y = course(24, 2, seed=8)
    right.partial_fit(x, ["new" if label == "c0" else "c1" for label in y])
    alone = made().partial_fit(*course(20, 3))
    left.merge(right)
    assert left.forgets_exactly() == {"c0": True, "c1": False, "c2": True, "new": True}
    assert right.forgets_exactly() == {"new": True, "c1": True}
    shots = scatter_of(left)[1]
    left.forget("new")
    assert scatter_of(left)[1] == shots - sum(label == "c0" for label in y) + 1
    assert left.shots_per_class()["c0"] == alone.shots_per_class()["c0"]
    assert blob(reload(left)) == blob(left)


def crafted(change) -> dict[str, bytes]:
    head = made().partial_fit(*course(10, 3))
    parts = dict(codec.sections(head, None))
    log = np.frombuffer(parts["log"], entry_of(head)).copy()
    rows = np.frombuffer(log.tobytes(), np.uint8).reshape(len(log), -1).copy()
    return {**parts, "log": change(rows)}


def with_number(column: int, value: int):
    def change(rows: np.ndarray) -> bytes:
        rows[3, column] = value
        return rows.tobytes()

    return change


STEP = row_bytes(DIM)


@pytest.mark.parametrize(
    "change",
    [
        with_number(STEP - 8, 3),  # no such class
        with_number(STEP - 7, 1),
        with_number(STEP - 6, 8),  # shift
        with_number(STEP - 5, 2),  # counted
        lambda rows: rows.tobytes()[:-1],
        lambda rows: np.repeat(rows, 400, axis=0).tobytes(),  # more than fit
        lambda rows: np.repeat(rows[:1], 10, axis=0).tobytes(),  # ten times what one shot gave
        lambda rows: np.concatenate([rows, rows[:1]]).tobytes(),  # more than are in the scatter
    ],
)
def test_a_log_that_the_scatter_does_not_have_is_refused(change):
    with pytest.raises(SnapshotCorruptError, match="scatter"):
        codec.head_from(ImprintHead, crafted(change))


def test_a_head_without_the_section_loads_and_forgets_what_it_can():
    parts = crafted(lambda rows: b"")
    del parts["log"]
    head = codec.head_from(ImprintHead, parts)
    assert set(head.forgets_exactly().values()) == {False}
    before = scatter_of(head)
    head.forget("c1")
    assert scatter_of(head) == before
