"""The container's bytes: a golden file, every defect by hand, every truncation, every flip, a seeded fuzz."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib

import pytest

from edge_imprint import snapshot
from edge_imprint.errors import (
    CapacityError,
    SnapshotCorruptError,
    SnapshotVersionError,
    ValueRangeError,
)

SECTIONS = {
    "HEAD": b"\x01\x02\x03",
    "LABELS": "mug\nTasse ä".encode(),
    "EMPTY": b"",
    "PROXIES8": bytes(range(40)),
}

# Written by format 1.0, never regenerated: a reader that refuses this file has broken every saved snapshot.
GOLDEN = bytes.fromhex(
    "45494d50534e4150"  # EIMPSNAP
    "0100 0000 02000000 3e000000"  # 1.0, 2 sections, 62 bytes
    "56ebe7ad"  # CRC-32 of header and table
    "4100000000000000 04000000 5aa39c7c"  # A, 4 bytes
    "4c4142454c530000 02000000 eef35c42"  # LABELS, 2 bytes
    "deadbeef 6d67"
)


def build(
    entries: list[tuple[bytes, int, int]],
    payload: bytes = b"",
    *,
    magic: bytes = b"EIMPSNAP",
    version: tuple[int, int] = (1, 0),
    count: int | None = None,
    total: int | None = None,
) -> bytes:
    """Bytes of a file that may be wrong in any field and whose header CRC is right all the same."""
    table = b"".join(struct.pack("<8sII", *entry) for entry in entries)
    count = len(entries) if count is None else count
    total = 24 + len(table) + len(payload) if total is None else total
    header = struct.pack("<8sHHII", magic, *version, count, total)
    return header + struct.pack("<I", zlib.crc32(header + table)) + table + payload


def entry(name: bytes, payload: bytes) -> tuple[bytes, int, int]:
    return (name, len(payload), zlib.crc32(payload))


def test_round_trip_keeps_order_and_bytes():
    blob = snapshot.encode(SECTIONS)
    assert snapshot.decode(blob) == SECTIONS
    assert list(snapshot.decode(blob)) == list(SECTIONS)
    assert snapshot.encode(SECTIONS) == blob
    assert snapshot.encode(dict(reversed(SECTIONS.items()))) != blob
    assert snapshot.decode(snapshot.encode({})) == {}


def test_golden_file_is_read_and_written_to_the_byte():
    sections = {"A": b"\xde\xad\xbe\xef", "LABELS": b"mg"}
    assert snapshot.decode(GOLDEN) == sections
    assert snapshot.encode(sections) == GOLDEN


def test_every_length_but_the_whole_is_refused_as_truncated():
    blob = snapshot.encode(SECTIONS)
    for size in range(len(blob)):
        with pytest.raises(SnapshotCorruptError, match="truncated") as raised:
            snapshot.decode(blob[:size])
        assert str(size) in str(raised.value)


def test_every_inverted_byte_and_every_flipped_bit_is_refused():
    blob = snapshot.encode(SECTIONS)
    for position in range(len(blob)):
        for mask in (0xFF, *(1 << bit for bit in range(8))):
            damaged = bytearray(blob)
            damaged[position] ^= mask
            # Corrupt, never "newer version": the version is believed only when the header's CRC is right.
            with pytest.raises(SnapshotCorruptError):
                snapshot.decode(bytes(damaged))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "truncated: 0 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "starts with b'EIMPSNAP'; got b'\\\\x89PNG"),
        (b"PK", "starts with"),
        (build([], magic=b"EIMPSNAQ"), "starts with b'EIMPSNAP'"),
        (build([], version=(0, 9)), "formats start at 1.0; this one says 0.9"),
        (build([entry(b"%d" % i, b"") for i in range(17)]), "at most 16 sections; this one says 17"),
        (build([], count=0xFFFFFFFF), "truncated or damaged: 24 bytes of 24 with 4294967295 sections"),
        (build([entry(b"A", b"abc")], b"abc", total=42), "1 bytes follow the end of the snapshot at 42"),
        (build([entry(b"A", b"abc")], b"abc", total=44), "truncated: 43 bytes of 44"),
        (build([entry(b"A", b"abc")], b"abc") + b"\0", "1 bytes follow the end"),
        (build([(b"A", 0xFFFFFFFF, 0)], b"abc"), "section A says 4294967295 bytes; 3 are left"),
        (build([entry(b"A", b"ab")], b"abc"), "the sections end at byte 42 of 43"),
        (build([entry(b"A", b"ab"), entry(b"B", b"bc")], b"abc"), "section B says 2 bytes; 1 are left"),
        (build([(b"A", 3, 7)], b"abc"), "section A is damaged"),
        (build([entry(b"A", b"a"), entry(b"A", b"b")], b"ab"), "section A occurs twice"),
        (build([entry(b"", b"")]), "section 0 has the impossible name"),
        (build([entry(b"A\0B", b"")]), "impossible name"),
        (build([entry(b"A B", b"")]), "impossible name"),
        (build([entry("ä".encode(), b"")]), "impossible name"),
    ],
)
def test_each_defect_has_its_own_message(blob, message):
    with pytest.raises(SnapshotCorruptError, match=message):
        snapshot.decode(blob)


@pytest.mark.parametrize("version", [(2, 0), (2, 7), (65535, 0)])
def test_newer_major_is_refused_with_both_versions(version):
    blob = build([entry(b"NEW", b"abc")], b"abc", version=version)
    with pytest.raises(SnapshotVersionError, match=rf"up to format 1\.x; this one is {version[0]}\.{version[1]}"):
        snapshot.decode(blob)


def test_newer_minor_is_read_with_its_unknown_sections():
    blob = build([entry(b"HEAD", b"abc"), entry(b"FUTURE", b"de")], b"abcde", version=(1, 9))
    assert snapshot.decode(blob) == {"HEAD": b"abc", "FUTURE": b"de"}


@pytest.mark.parametrize("name", ["", "NINECHARS", "A B", "ä", "A\0", "A\n", "\x7f"])
def test_encode_refuses_a_bad_name(name):
    with pytest.raises(ValueRangeError, match="1 to 8 printable ASCII"):
        snapshot.encode({name: b""})


def test_encode_refuses_too_many_sections_and_too_many_bytes():
    with pytest.raises(ValueRangeError, match="at most 16 sections; got 17"):
        snapshot.encode({str(number): b"" for number in range(17)})
    full = bytes(snapshot.MAX_BYTES - 40)
    assert len(snapshot.encode({"A": full})) == snapshot.MAX_BYTES
    with pytest.raises(CapacityError, match=f"at most {snapshot.MAX_BYTES} bytes; this one needs"):
        snapshot.encode({"A": full + b"\0"})


def test_decode_refuses_more_than_the_limit():
    with pytest.raises(SnapshotCorruptError, match="at most"):
        snapshot.decode(bytes(snapshot.MAX_BYTES + 1))


@pytest.mark.parametrize(
    "blob",
    [
        build([], total=0xFFFFFFFF),
        build([], count=0xFFFFFFFF, total=0xFFFFFFFF),
        build([(b"A", 0xFFFFFFFF, 0)], total=0xFFFFFFFF),
        build([(b"A", 60_000_000, 0)] * 16),
    ],
)
def test_numbers_in_the_file_allocate_nothing(blob):
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotCorruptError):
            snapshot.decode(blob)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_fuzz_random_damage_is_always_found():
    blob = snapshot.encode(SECTIONS)
    generator = random.Random(20250323)
    for _ in range(5000):
        damaged = bytearray(blob)
        for _ in range(generator.randint(1, 8)):
            kind, at = generator.randrange(4), generator.randrange(len(damaged))
            if kind == 0:
                damaged[at] = generator.randrange(256)
            elif kind == 1:
                damaged[at:at] = generator.randbytes(generator.randint(1, 9))
            elif kind == 2:
                del damaged[at : at + generator.randint(1, min(9, len(damaged) - 1))]
            else:
                damaged[at : at + 4] = generator.choice([bytes(4), b"\xff" * 4, b"\x00\x00\x00\x80"])
        if damaged != blob:
            with pytest.raises(SnapshotCorruptError):
                snapshot.decode(bytes(damaged))


def test_fuzz_lying_headers_never_escape_the_error_classes():
    """The CRC of the header is made right here, so that the checks behind it do the work."""
    generator = random.Random(20250324)
    accepted = 0
    for _ in range(5000):
        payload = generator.randbytes(generator.randint(0, 12))
        entries, position = [], 0
        for _ in range(generator.randint(0, 18)):
            length = generator.randint(0, len(payload) - position)
            name = bytes(generator.choices(b"ABC\0 \xff", (40, 40, 40, 1, 1, 1), k=generator.randint(1, 8)))
            part = payload[position : position + length]
            wrong = generator.random() < 0.02
            entries.append((name, generator.randrange(2**32) if wrong else length, zlib.crc32(part)))
            position += length
        if generator.random() < 0.8:
            payload = payload[:position]
        version = (generator.choice((1, 1, 1, 1, 1, 0, 2)), generator.choice((0, 0, 3)))
        count = generator.choice((None, None, None, None, None, None, generator.randint(0, 40)))
        total = generator.choice((None, None, None, None, None, None, generator.randrange(2**32)))
        blob = build(entries, payload, version=version, count=count, total=total)
        try:
            sections = snapshot.decode(blob)
        except SnapshotVersionError:
            assert version[0] == 2
        except SnapshotCorruptError:
            assert version[0] < 2 or count is not None  # a wrong count means a CRC of other bytes
        else:
            accepted += 1
            assert b"".join(sections.values()) == payload
            if version == (1, 0):
                assert snapshot.encode(sections) == blob  # one file per content: nothing is accepted and lost
    assert 200 < accepted < 4800  # otherwise one side of the parser was not tried
