"""Bad input: the exact error, and every byte as it was."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from heads import blob, clumps, used_bytes

from edge_imprint import ImprintHead
from edge_imprint.errors import (
    BudgetError,
    CapacityError,
    EdgeImprintError,
    LabelError,
    NotTaughtError,
    ShapeError,
    UnknownLabelError,
    ValueRangeError,
)
from edge_imprint.head import parse_budget, plan

DIM = 5
ROW = [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.fixture
def head() -> ImprintHead:
    x, y = clumps(0, classes=3, modes=2, shots=10, dim=DIM, noise=0.5)
    return ImprintHead(DIM, "2KB").partial_fit(x, y)


def unchanged(head: ImprintHead, error: type[EdgeImprintError], action, *, match: str | None = None) -> None:
    before, arena = blob(head), used_bytes(head)
    with pytest.raises(error, match=match) as raised:
        action()
    assert type(raised.value) is error
    assert blob(head) == before
    assert used_bytes(head) == arena
    head.undo()  # the journal still holds the last good shot
    head.partial_fit([ROW], 0)


SHAPES = {
    "one row without its axis": ROW,
    "too wide": [[*ROW, 6.0]],
    "too narrow": [ROW[:4]],
    "three axes": [[ROW]],
    "no rows": np.empty((0, DIM)),
    "no columns": np.empty((1, 0)),
    "nothing": [],
    "scalar": 3.0,
    "none": None,
    "ragged": [ROW, ROW[:3]],
    "text": "mug",
    "digits as text": [["1", "2", "3", "4", "5"]],
    "bytes": [[b"1"] * DIM],
    "objects": np.array([ROW], object),
    "none inside": [[None, *ROW[1:]]],
    "complex": [[1j, *ROW[1:]]],
    "dates": [[datetime.date(2020, 1, 1)] * DIM],
    "datetime64": np.array([["2020-01-01"] * DIM], "datetime64[D]"),
    "dict": {"a": ROW},
    "integers beyond 64 bits": [[2**70, *range(4)]],
}
VALUES = {
    "nan": [[np.nan, *ROW[1:]]],
    "infinity": [[np.inf, *ROW[1:]]],
    "minus infinity": [[-np.inf, *ROW[1:]]],
    "beyond float32": [[1e300, *ROW[1:]]],
    "an array beyond float32": np.array([[1e39, *ROW[1:]]]),
    "zeros": [[0.0] * DIM],
    "below float32": [[1e-300] * DIM],
    "a bad row after good ones": [ROW, ROW, [0.0] * DIM],
}


@pytest.mark.parametrize("method", ["partial_fit", "predict", "decision_function", "verdicts"])
@pytest.mark.parametrize(
    ("what", "error"), [*((k, ShapeError) for k in SHAPES), *((k, ValueRangeError) for k in VALUES)]
)
def test_bad_embeddings(head, method, what, error):
    x = (SHAPES | VALUES)[what]
    arguments = (x, 0) if method == "partial_fit" else (x,)
    unchanged(head, error, lambda: getattr(head, method)(*arguments))


BAD_LABELS = {
    "empty": "",
    "32 bytes": "x" * 32,
    "32 bytes of 2-byte letters": "ü" * 16,
    "lone surrogate": "mug\ud800",
    "line break": "mug\n",
    "nul": "mug\0",
    "escape": "\x1b[31mmug",
    "right-to-left override": "mug\u202e",
    "only spaces": "   ",
    "bytes": b"mug",
    "float": 1.0,
    "numpy float": np.float32(1),
    "nan": float("nan"),
    "none": None,
    "bool": True,
    "numpy bool": np.True_,
    "2^63": 1 << 63,
    "below -2^63": -(1 << 63) - 1,
    "tuple": ("mug", 1),
    "dict": {"mug": 1},
    "set": {"mug"},
    "object": object(),
}


@pytest.mark.parametrize("what", BAD_LABELS)
def test_bad_labels(head, what):
    label = BAD_LABELS[what]
    x = np.ones((3, DIM))
    unchanged(head, LabelError, lambda: head.partial_fit(x[:1], label))
    unchanged(head, LabelError, lambda: head.forget(label))
    # Nothing is learnt from a batch whose last label is bad.
    unchanged(head, LabelError, lambda: head.partial_fit(x, ["new", "newer", label]))


@pytest.mark.parametrize(
    "y",
    [[], ["a"], ["a", "b"], ["a"] * 4, np.array(["a"]), [["a"], ["b"], ["c"]], [["a"], ["b", "c"], []], iter("abc")],
)
def test_the_number_of_labels_must_be_that_of_the_shots(head, y):
    unchanged(head, LabelError, lambda: head.partial_fit(np.ones((3, DIM)), y))


@pytest.mark.parametrize(
    "label", ["x" * 31, "ü" * 15, "杯子", "a b", "0", 0, -(1 << 63), (1 << 63) - 1, np.int8(-3), np.str_("q")]
)
def test_good_labels_come_back_as_they_went_in(label):
    head = ImprintHead(2, "1KB").partial_fit([[1, 0], [2, 0]], label).partial_fit([[0, 1]], "other")
    expected = label.item() if isinstance(label, np.generic) else label
    assert head.shots_per_class() == {expected: 2, "other": 1}
    found = head.predict([[1, 0]])[0]
    assert found == expected
    head.forget(label)
    assert head.shots_per_class() == {"other": 1}


def test_one_label_means_every_shot_and_a_number_is_not_its_text():
    head = ImprintHead(3, "2KB").partial_fit(np.eye(3), "7").partial_fit(-np.eye(3)[:2], 7)
    assert head.shots_per_class() == {"7": 3, 7: 2}
    assert head.classes_.dtype == object
    assert ImprintHead(3, "2KB").partial_fit(np.eye(3), np.array(4)).shots_per_class() == {4: 3}


def test_unknown_label_and_questions_before_teaching(head):
    unchanged(head, UnknownLabelError, lambda: head.forget("mug"), match="got 'mug', known: ")
    empty = ImprintHead(DIM, "2KB")
    for ask in (empty.predict, empty.decision_function, empty.verdicts):
        with pytest.raises(NotTaughtError):
            ask([ROW])
    with pytest.raises(UnknownLabelError, match="known: none"):
        empty.forget(0)
    assert empty.classes_.tolist() == []
    assert empty.shots_per_class() == empty.proxies_per_class() == {}


@pytest.mark.parametrize("budget", [1, 100, 64, "1B", "100"])
def test_a_budget_without_room_for_a_class_says_what_is_needed(budget):
    with pytest.raises(BudgetError, match="at least one class") as raised:
        ImprintHead(256, budget, undo=True)
    least = int(str(raised.value).split("budget=")[1].split()[0])
    assert ImprintHead(256, least, undo=True)._arena.layout.max_classes == 1
    with pytest.raises(BudgetError):
        ImprintHead(256, least - 1, undo=True)
    # undo=False is the other way out that the message names.
    assert plan(256, least // 2, undo=False).max_classes >= 1


@pytest.mark.parametrize(
    "budget",
    [
        0,
        -1,
        (1 << 30) + 1,
        "2GB",
        "",
        "KB",
        "64 XB",
        "64K",
        "-1KB",
        "0.3B",
        "1e4",
        "1,5KB",
        64.0,
        None,
        True,
        b"64KB",
        [],
        "9" * 400,
    ],
)
def test_budgets_that_cannot_be_read(budget):
    for use in (lambda: parse_budget(budget), lambda: ImprintHead(4, budget), lambda: plan(4, budget)):
        with pytest.raises(BudgetError):
            use()


@pytest.mark.parametrize(
    ("budget", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("4KB", 4096),
        ("4 kib", 4096),
        ("0.5MB", 1 << 19),
        ("1GB", 1 << 30),
        (np.int32(9), 9),
    ],
)
def test_budgets_that_can(budget, size):
    assert parse_budget(budget) == size


@pytest.mark.parametrize("dim", [0, -1, 4097, True, 2.0, "3", None])
def test_dimensions_out_of_range(dim):
    for use in (lambda: ImprintHead(dim, "1MB"), lambda: plan(dim, "1MB")):
        with pytest.raises(ShapeError, match="1 to 4096"):
            use()


def test_a_dimension_in_a_small_integer_type_does_not_wrap():
    assert plan(np.uint8(200), "64KB") == plan(200, "64KB")
    assert type(ImprintHead(np.uint8(200), "64KB").dim) is int


@pytest.mark.parametrize(
    "options",
    [
        {"method": "magic"},
        {"method": None},
        {"max_proxies": 0},
        {"max_proxies": 257},
        {"max_proxies": "many"},
        {"max_proxies": True},
        {"shrinkage": 0},
        {"shrinkage": 4096},
        {"shrinkage": float("nan")},
    ],
)
def test_options_out_of_range(options):
    for undo in (True, False):
        with pytest.raises(ValueRangeError, match=next(iter(options))):
            ImprintHead(8, "2KB", undo=undo, **options)


@pytest.mark.parametrize("classes", [0, -3, 10**9])
def test_plans_for_impossible_numbers_of_classes(classes):
    with pytest.raises(CapacityError, match=f"got {classes}"):
        plan(64, "16KB", classes=classes)


@pytest.mark.parametrize("classes", [0, -1, 10**6, 2.5, "3", True])
def test_a_plan_for_no_whole_number_of_classes_that_fits(classes):
    with pytest.raises(CapacityError, match="got"):
        plan(8, "4KB", classes)
