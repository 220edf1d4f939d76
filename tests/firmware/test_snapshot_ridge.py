"""Second moments in C: it reads and writes the bytes of Python, and refuses what Python refuses, with its code."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest
from damage import flipped_bits, truncations

from benchmarks.identity.c_head import CError, CHead
from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import SnapshotCorruptError
from edge_imprint.head import codec
from edge_imprint.head.ridge.layout import fixed_bytes

CORRUPT, VERSION, SHAPE, CAPACITY, STORAGE = -10, -11, -3, -8, -13
DIM, BUDGET = 6, 4096
RIDGE = ("ridge", "scatter")

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: apt-get install gcc")


def taught(dim: int = DIM, budget: int = BUDGET, **options) -> ImprintHead:
    rng = np.random.default_rng(1)
    head = ImprintHead(dim, budget, **{"method": "ridge", **options})
    head.partial_fit(rng.normal(size=(30, dim)), [["mug", "杯子", 7][i % 3] for i in range(30)])
    head.backbone = "digest {}"
    return head


def blob_of(head: ImprintHead) -> bytes:
    return snapshot.encode(codec.sections(head, head.backbone))


BLOB = blob_of(taught())
PARTS = snapshot.decode(BLOB)
# Large pivots, yet the inverse of its square grows by a factor of 133 with each dimension.
LOWER = np.eye(DIM) * 0.75 + np.eye(DIM, k=-1) * 100


def packed(matrix: np.ndarray) -> bytes:
    return np.rint(matrix[np.tril_indices(DIM)] * 65536).astype("<i4").tobytes()


@pytest.fixture
def head() -> CHead:
    made = CHead(DIM, BUDGET, method="ridge")
    made.learn(np.arange(1, 7, dtype=np.int16)[None], "before")
    made.learn(np.arange(6, 0, -1, dtype=np.int16)[None], "other")
    return made


def refuses(head: CHead, blob: bytes, code: int) -> None:
    before, asked = head.snapshot(), np.arange(3, 9, dtype=np.int16)[None]
    said = head.predict(asked)
    with pytest.raises(CError) as refused:
        head.load(blob)
    assert refused.value.code == code
    assert head.snapshot() == before
    assert head.predict(asked) == said
    head.check_guard()


def test_it_reads_what_python_writes_and_writes_the_same(head):
    head.load(BLOB)
    assert head.snapshot() == BLOB
    for piece in (1, 2, 3, 7, 64):
        assert head.snapshot(piece) == BLOB
    assert len(BLOB) <= head.most_snapshot_bytes() <= len(BLOB) + BUDGET
    nameless = taught()
    nameless.backbone = None
    head.load(blob_of(nameless))
    assert head.snapshot() == blob_of(nameless)


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("made_with", [0, 1, 2])
def test_heads_with_and_without_undo_and_of_smaller_budgets_are_taken(undo, made_with):
    largest = CHead(DIM, BUDGET, undo=made_with, method="ridge")
    for budget in (BUDGET, BUDGET - 1, BUDGET - 9, fixed_bytes(DIM) + 1000, BUDGET):
        python = taught(budget=budget, undo=undo)
        largest.load(blob_of(python))
        assert largest.snapshot() == blob_of(python)
        row = np.arange(1, 7, dtype=np.int16)[None]
        for label in ["mug", *(f"c{i}" for i in range(9)), "mug", 7]:
            if len(python.classes_) < python._engine.layout.max_classes or label in python.classes_.tolist():
                python.partial_fit(row, label)
                largest.learn(row, label)
                row = row + row % 5 - 2
        assert largest.snapshot() == blob_of(python)
        largest.check_guard()


def test_what_was_loaded_goes_on_as_in_python(head):
    python = codec.head_from(ImprintHead, PARTS)
    head.load(BLOB)
    rng = np.random.default_rng(4)
    for number in range(20):
        row = rng.integers(-99, 100, (1, DIM)).astype(np.int16)
        python.partial_fit(row, number % 4)
        head.learn(row, number % 4)
    python.undo()
    head.undo()
    python.forget("mug")
    head.forget("mug")
    assert head.snapshot() == blob_of(python)
    rows = rng.integers(-99, 100, (8, DIM)).astype(np.int16)
    assert [label for label, _, _ in head.predict(rows)] == python.predict(rows).tolist()
    assert [verdict for _, _, verdict in head.predict(rows)] == python.verdicts(rows).tolist()
    head.predict(rows)
    assert head.confidences_q16 == [round(float(sure) * 65536) for sure in python.confidence(rows)]


def test_every_truncation_is_refused(head):
    for short in truncations(BLOB):
        refuses(head, short, CORRUPT)
    refuses(head, BLOB + b"\0", CORRUPT)


def test_every_flipped_bit_is_refused(head):
    for damaged in flipped_bits(BLOB):
        with pytest.raises(CError) as refused:
            head.load(damaged)
        assert refused.value.code == CORRUPT


def parts(**changes) -> bytes:
    return snapshot.encode({**PARTS, **changes})


def ridge(shots: int, sharpness: int) -> bytes:
    return struct.pack("<Ii", shots, sharpness)


def with_number(place: int, number: int) -> bytes:
    return PARTS["scatter"][: 4 * place] + struct.pack("<i", number) + PARTS["scatter"][4 * place + 4 :]


def without(*names: str) -> bytes:
    return snapshot.encode({name: part for name, part in PARTS.items() if name not in names})


STEP = 16  # bytes of a shot in the log


def log_with(place: int, number: int) -> bytes:
    damaged = bytearray(PARTS["log"])
    damaged[place] = number
    return bytes(damaged)


REFUSED = {
    "a logged shot of no class": parts(log=log_with(STEP - 8, 3)),
    "a logged shot of a class far away": parts(log=log_with(STEP - 7, 1)),
    "a logged shot of a large scale": parts(log=log_with(STEP - 6, 8)),
    "a logged shot that is counted twice": parts(log=log_with(STEP - 5, 2)),
    "a piece of a logged shot": parts(log=PARTS["log"][:-1]),
    "more logged shots than fit": parts(log=PARTS["log"] * 20, ridge=ridge(0xFFFFFFFF, 0)),
    "more logged shots than were counted": parts(ridge=ridge(len(PARTS["log"]) // STEP - 2, 0)),
    "a logged shot that the scatter does not have": parts(log=PARTS["log"][:STEP] * 30),
    "a sharpness above 6": parts(ridge=ridge(11, (6 << 16) + 1)),
    "a sharpness below -6": parts(ridge=ridge(11, -(6 << 16) - 1)),
    "the least sharpness": parts(ridge=ridge(11, -(1 << 31))),
    "nothing on the diagonal": parts(scatter=with_number(0, 0)),
    "too much on the diagonal": parts(scatter=with_number(0, 1 << 30)),
    "less than nothing on the diagonal": parts(scatter=with_number(20, -(1 << 31))),
    "a small pivot": parts(scatter=with_number(0, 1)),
    "a pivot of a quarter": parts(scatter=with_number(0, 1 << 14)),
    "more beside the diagonal than on it": parts(scatter=with_number(1, 1 << 30)),
    "beside the diagonal the least number": parts(scatter=with_number(15, -(1 << 31))),
    "no scatter": without("scatter"),
    "no state": without("ridge"),
    "a short scatter": parts(scatter=PARTS["scatter"][:-4]),
    "a long scatter": parts(scatter=PARTS["scatter"] + bytes(4)),
    "an empty scatter": parts(scatter=b""),
    "a short state": parts(ridge=bytes(7)),
    "next to nothing in some direction": parts(scatter=packed(LOWER @ LOWER.T)),
    "a long state": parts(ridge=bytes(9)),
    "an empty state": parts(ridge=b""),
    "a budget for proxies only": parts(config=PARTS["config"][:4] + struct.pack("<I", 512) + PARTS["config"][8:]),
}


@pytest.mark.parametrize("blob", REFUSED.values(), ids=REFUSED)
def test_what_no_head_writes_is_refused_by_both(head, blob):
    refuses(head, blob, CORRUPT)
    with pytest.raises(SnapshotCorruptError):
        codec.head_from(ImprintHead, snapshot.decode(blob))


@pytest.mark.parametrize("number", [(1 << 15) + 1, 1 << 29, (1 << 30) - 1])
def test_numbers_at_the_ends_of_their_ranges_are_read_by_both(head, number):
    size = DIM * (DIM + 1) // 2
    scatter = np.zeros(size, "<i4")
    scatter[np.cumsum(np.arange(1, DIM + 1)) - 1] = number
    changes = {"scatter": scatter.tobytes(), "ridge": ridge(0xFFFFFFFF, -(6 << 16))}
    blob = snapshot.encode({**{name: part for name, part in PARTS.items() if name != "log"}, **changes})
    python = codec.head_from(ImprintHead, snapshot.decode(blob))
    head.load(blob)
    rows = np.arange(-9, 9, dtype=np.int16).reshape(3, 6)
    assert [verdict for _, _, verdict in head.predict(rows)] == python.verdicts(rows).tolist()
    head.learn(rows, "mug")
    python.partial_fit(rows, "mug")
    assert head.snapshot() == blob_of(python)


@pytest.mark.parametrize(
    ("blob", "code"),
    [
        (blob_of(taught(dim=7)), SHAPE),
        (blob_of(taught(budget=BUDGET + 1)), CAPACITY),
        (blob_of(taught(max_proxies=22)), CAPACITY),
        (parts(backbone=b"x" * 257), CAPACITY),
        (blob_of(taught(method="proxies")), VERSION),
    ],
)
def test_what_belongs_to_another_head_is_refused(head, blob, code):
    refuses(head, blob, code)


@pytest.mark.parametrize("blob", [BLOB, without("scatter"), without("ridge")])
def test_a_head_of_proxies_refuses_each_section(blob):
    with pytest.raises(CError) as refused:
        CHead(DIM, BUDGET).load(blob)
    assert refused.value.code == VERSION


def test_sections_in_another_order_are_read(head):
    head.load(snapshot.encode(dict(reversed(PARTS.items()))))
    assert head.snapshot() == BLOB
    head.load(parts(FUTURE=b"something"))
    assert head.snapshot() == BLOB


def test_storage_that_fails_while_reading_leaves_the_head_or_empties_it(head):
    before, empty = head.snapshot(), blob_of(ImprintHead(DIM, BUDGET, method="ridge"))
    codes, reads = [], 0
    while True:
        fresh = CHead(DIM, BUDGET, method="ridge")
        fresh.load(before)
        try:
            fresh.load(BLOB, fail_after=reads)
        except CError as error:
            codes.append(error.code)
            assert fresh.snapshot() in (before, empty)
            reads += 1
        else:
            break
    assert set(codes) == {STORAGE}
    assert len(codes) > 50
