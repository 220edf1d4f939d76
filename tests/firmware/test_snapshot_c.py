"""The C library's reader of snapshots: whatever is wrong is refused with its code, and the head keeps what it holds."""

from __future__ import annotations

import shutil
import struct
import zlib

import numpy as np
import pytest
from damage import flipped_bits, truncations

from benchmarks.identity.c_head import CError, CHead
from edge_imprint import ImprintHead, snapshot
from edge_imprint.errors import StateFileError
from edge_imprint.head import codec

CORRUPT, VERSION, SHAPE, CAPACITY, STORAGE = -10, -11, -3, -8, -13

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: apt-get install gcc")


def taught(dim: int = 6, budget: int = 4096, **options) -> ImprintHead:
    rng = np.random.default_rng(1)
    head = ImprintHead(dim, budget, **options)
    head.partial_fit(rng.normal(size=(30, dim)), [["mug", "杯子", 7][i % 3] for i in range(30)])
    head.backbone = "digest {}"
    return head


def blob_of(head: ImprintHead) -> bytes:
    return snapshot.encode(codec.sections(head, head.backbone))


BLOB = blob_of(taught())


@pytest.fixture
def head() -> CHead:
    made = CHead(6, 4096)
    made.learn(np.arange(1, 7, dtype=np.int16)[None], "before")
    return made


def refuses(head: CHead, blob: bytes, code: int | None = None) -> int:
    before = head.snapshot()
    with pytest.raises(CError) as refused:
        head.load(blob)
    assert head.snapshot() == before
    head.check_guard()
    if code is not None:
        assert refused.value.code == code
    return refused.value.code


def test_it_reads_what_python_writes_and_writes_the_same(head):
    head.load(BLOB)
    assert head.snapshot() == BLOB
    for piece in (1, 2, 3, 7, 64):
        assert head.snapshot(piece) == BLOB


def test_every_truncation_is_refused(head):
    for short in truncations(BLOB):
        refuses(head, short, CORRUPT)
    refuses(head, BLOB + b"\0", CORRUPT)


def test_every_flipped_bit_is_refused(head):
    for damaged in flipped_bits(BLOB):
        refuses(head, damaged, CORRUPT)


def parts(**changes) -> bytes:
    """The snapshot with sections replaced, checksums right."""
    return snapshot.encode({**snapshot.decode(BLOB), **changes})


def patched(section: str, place: int, new: bytes) -> bytes:
    old = snapshot.decode(BLOB)[section]
    return parts(**{section: old[:place] + new + old[place + len(new) :]})


@pytest.mark.parametrize(
    ("blob", "code"),
    {
        "another dim": (blob_of(taught(dim=7)), SHAPE),
        "a larger budget": (blob_of(taught(budget=4097)), CAPACITY),
        "more proxies to a class": (blob_of(taught(max_proxies=22)), CAPACITY),
        "a longer backbone": (parts(backbone=b"x" * 257), CAPACITY),
        "an impossible backbone": (parts(backbone=b"x" * 4097), CORRUPT),
        "a rate of 0": (patched("config", 8, bytes(4)), CORRUPT),
        "no proxies": (patched("config", 12, bytes(2)), CORRUPT),
        "no shrinkage": (patched("config", 14, bytes(2)), CORRUPT),
        "no budget": (patched("config", 4, bytes(4)), CORRUPT),
        "dim 0": (patched("config", 0, bytes(4)), CORRUPT),
        "a short config": (parts(config=bytes(19)), CORRUPT),
        "more shots than there can be": (patched("state", 8, struct.pack("<Q", (1 << 48) + 1)), CORRUPT),
        "more classes than slots": (patched("state", 4, struct.pack("<I", 10_000)), CORRUPT),
        "a label of zeros": (patched("classes", 0, bytes(32)), CORRUPT),
        "a label twice": (patched("classes", 52, snapshot.decode(BLOB)["classes"][:32]), CORRUPT),
        "a class without shots": (patched("classes", 32, bytes(4)), CORRUPT),
        "means out of order": (patched("class", 0, b"\1"), CORRUPT),
        "a class that is not there": (patched("class", 8, b"\x09"), CORRUPT),
        "a proxy without shots": (patched("count", 0, bytes(4)), CORRUPT),
        "a shift of 15": (patched("shift", 2, b"\x0f"), CORRUPT),
        "a component out of range": (patched("high", 5, b"\x80"), CORRUPT),
        "a missing section": (
            snapshot.encode({k: v for k, v in snapshot.decode(BLOB).items() if k != "low"}),
            CORRUPT,
        ),
    }.values(),
)
def test_what_no_head_writes_is_refused_although_its_checksums_are_right(head, blob, code):
    refuses(head, blob, code)
    if code == CORRUPT:
        with pytest.raises(StateFileError):
            codec.head_from(ImprintHead, snapshot.decode(blob))


def test_a_newer_major_version_is_named_and_a_newer_minor_is_read(head):
    def versioned(major: int, minor: int) -> bytes:
        start = BLOB[:8] + struct.pack("<HH", major, minor) + BLOB[12:20]
        table_end = 24 + 16 * 9
        return start + struct.pack("<I", zlib.crc32(BLOB[24:table_end], zlib.crc32(start))) + BLOB[24:]

    refuses(head, versioned(2, 0), VERSION)
    refuses(head, versioned(0, 9), CORRUPT)
    head.load(versioned(1, 7))
    assert head.snapshot() == BLOB


def test_unknown_sections_are_ignored(head):
    head.load(parts(FUTURE=b"something", other=b""))
    assert head.snapshot() == BLOB


def test_storage_that_fails_while_reading_leaves_the_head_or_empties_it(head):
    before, empty = head.snapshot(), blob_of(taught().__class__(6, 4096))
    codes, reads = [], 0
    while True:
        fresh = CHead(6, 4096)
        fresh.load(before)
        try:
            fresh.load(BLOB, fail_after=reads)
        except CError as error:
            codes.append(error.code)
            # Before the first byte is put in, nothing changes; after it the head is empty.
            assert fresh.snapshot() == before or len(fresh.snapshot()) == len(empty)
            reads += 1
        else:
            break
    assert set(codes) == {STORAGE}
    assert len(codes) > 50


def test_a_second_moment_is_refused_by_what_reads_none(head):
    ridge = ImprintHead(6, 4096, method="ridge")
    ridge.partial_fit(np.random.default_rng(1).normal(size=(6, 6)), ["mug", "cup"] * 3)
    with pytest.raises(CError) as refused:
        head.load(blob_of(ridge))
    assert refused.value.code == VERSION
