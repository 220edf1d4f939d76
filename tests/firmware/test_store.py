"""eimp_store: what each function promises in eimp_store.h. Power cuts are in test_store_power_cut.py."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

import pytest
from store_sim import Flash, library

OK, ARGUMENT, CAPACITY, CORRUPT, STORAGE, STATE = 0, -1, -8, -10, -13, -16
OLD, NEW = bytes(range(100)), bytes(range(150, 30, -1))
GEOMETRIES = [(1, 0xFF, 512, 1), (4, 0x00, 256, 3), (32, 0xFF, 1024, 1), (64, 0xFF, 768, 2)]


@pytest.fixture(params=GEOMETRIES, ids=str)
def flash(request: pytest.FixtureRequest) -> Iterator[Flash]:
    made = Flash(*request.param)
    yield made
    assert made.violation is None


@pytest.fixture
def small() -> Iterator[Flash]:
    made = Flash()
    yield made
    assert made.violation is None


def test_crc32_is_the_one_of_zlib() -> None:
    crc32 = library().eimp_crc32
    data = random.Random(1).randbytes(1000)
    assert crc32(0, b"123456789", 9) == 0xCBF43926
    assert crc32(crc32(0, data[:333], 333), data[333:], 667) == zlib.crc32(data)


def test_an_erased_flash_is_an_empty_store(flash: Flash) -> None:
    assert flash.status == OK
    assert flash.size == 0
    assert flash.erases == (0, 0)
    assert flash.read(0, 1) == (STATE, b"\x5a")
    assert flash.operations == 0


@pytest.mark.parametrize("seed", range(20))
def test_foreign_bytes_are_an_empty_store(seed: int) -> None:
    flash = Flash(4, 0xFF, 512, 1)
    flash.lib.flash_sim_fill(flash.sim, seed)
    assert flash.mount() == OK
    assert flash.size == 0
    assert flash.save(NEW) == OK
    assert flash.mount() == OK
    assert flash.current() == NEW
    assert flash.violation is None


def test_what_was_saved_is_there_after_a_mount(flash: Flash) -> None:
    for turn in range(6):
        data = random.Random(turn).randbytes(90 + turn)
        assert flash.save(data, piece=turn * 13 + 1) == OK
        assert flash.current() == data
        assert flash.mount() == OK
        assert flash.current() == data
    assert flash.erases == (3, 3)


def test_any_part_can_be_read(small: Flash) -> None:
    small.save(NEW)
    assert small.read(7, 13) == (OK, NEW[7:20])
    assert small.read(len(NEW), 0) == (OK, b"")
    assert small.read(len(NEW), 1) == (ARGUMENT, b"\x5a")
    assert small.read(len(NEW) + 1, 0)[0] == ARGUMENT
    assert small.read(1, 0xFFFF)[0] == ARGUMENT


def test_a_snapshot_may_fill_the_capacity(flash: Flash) -> None:
    assert flash.capacity == flash.slot_bytes - 10 * flash.record_bytes
    data = random.Random(3).randbytes(flash.capacity)
    assert flash.save(data) == OK
    assert flash.mount() == OK
    assert flash.current() == data


def test_too_large_is_refused_before_anything_changes(flash: Flash) -> None:
    flash.save(OLD)
    flash.begin(50)
    flash.append(b"x" * 20)
    before = bytes(flash.bytes)
    assert flash.begin(flash.capacity + 1) == CAPACITY
    assert flash.begin(0xFFFFFFFF) == CAPACITY
    assert flash.begin(0) == ARGUMENT
    assert bytes(flash.bytes) == before
    assert flash.received == 20


def test_a_transfer_goes_on_where_it_stopped(small: Flash) -> None:
    small.begin(len(NEW))
    assert small.append(NEW[:33]) == OK
    assert (small.received, small.pending_size) == (33, len(NEW))
    assert small.append(NEW[small.received :]) == OK
    assert small.read(5, 20, pending=True) == (OK, NEW[5:25])
    assert small.read(5, len(NEW), pending=True)[0] == ARGUMENT
    assert small.commit(zlib.crc32(NEW)) == OK
    assert (small.received, small.pending_size) == (0, 0)
    assert small.current() == NEW


def test_nothing_is_current_before_commit(flash: Flash) -> None:
    flash.save(OLD)
    flash.begin(len(NEW))
    flash.append(NEW)
    assert flash.current() == OLD
    flash.mount()
    assert flash.current() == OLD
    assert flash.received == 0


def test_steps_out_of_order_are_refused(small: Flash) -> None:
    assert small.append(b"x") == STATE
    assert small.commit(0) == STATE
    assert small.read(0, 1, pending=True)[0] == STATE
    small.begin(10)
    small.append(b"123456789")
    assert small.commit(zlib.crc32(b"123456789")) == STATE
    assert small.read(0, 1, pending=True)[0] == STATE
    assert small.append(b"ab") == ARGUMENT
    assert small.received == 9
    assert small.append(b"0") == OK
    assert small.append(b"") == OK
    assert small.commit(zlib.crc32(b"1234567890")) == OK
    assert small.commit(zlib.crc32(b"1234567890")) == STATE
    assert small.append(b"x") == STATE


def test_a_wrong_crc_is_refused_and_the_right_one_still_taken(small: Flash) -> None:
    small.save(OLD)
    small.begin(len(NEW))
    small.append(NEW)
    operations = small.operations
    assert small.commit(zlib.crc32(NEW) ^ 1) == CORRUPT
    assert small.operations == operations
    assert small.current() == OLD
    assert small.commit(zlib.crc32(NEW)) == OK
    assert small.current() == NEW


@pytest.mark.parametrize("place", ["header", "payload", "padding", "commit"])
def test_flash_that_holds_other_bytes_is_not_committed(place: str) -> None:
    flash = Flash(program_bytes=16)
    flash.save(OLD)
    flash.begin(len(NEW) + 1)
    flash.append(NEW + b"!")
    offsets = {"header": 8, "payload": 40, "padding": 32 + len(NEW) + 1, "commit": 512 - 9 * 32 + 19}
    flash.bytes[flash.slot_bytes + offsets[place]] ^= 4
    before = flash.operations
    assert flash.commit(zlib.crc32(NEW + b"!")) == (OK if place == "commit" else STORAGE)
    assert (flash.operations == before) == (place != "commit")
    flash.mount()
    assert flash.current() == (NEW + b"!" if place == "commit" else OLD)
    assert flash.save(NEW) == OK


def test_a_flash_that_cannot_be_read_looks_empty_and_loses_nothing(small: Flash) -> None:
    small.save(OLD)
    small.fail(read=1)
    assert small.mount() == STORAGE
    assert small.size == 0
    assert small.begin(10) == STORAGE
    small.fail()
    assert small.begin(10) == OK
    assert small.current() == OLD


def test_a_failed_erase_or_program_keeps_the_current_snapshot(small: Flash) -> None:
    small.save(OLD)
    small.fail(erase=1)
    assert small.begin(len(NEW)) == STORAGE
    assert small.append(NEW) == STATE
    small.fail(program=1)
    assert small.begin(len(NEW)) == STORAGE
    small.fail()
    assert small.begin(len(NEW)) == OK
    assert small.append(NEW[:10]) == OK
    small.fail(program=1)
    assert small.append(NEW[10:]) == STORAGE
    assert small.received == 0
    small.fail()
    assert small.append(NEW[10:]) == STATE
    assert small.begin(len(NEW)) == OK
    assert small.append(NEW) == OK
    small.fail(program=1)
    assert small.commit(zlib.crc32(NEW)) == STORAGE
    small.fail()
    assert small.current() == OLD
    assert small.mount() == OK
    assert small.current() == OLD
    assert small.save(NEW) == OK


def test_the_older_snapshot_is_not_erased_when_the_newer_has_rotted(small: Flash) -> None:
    small.save(OLD)
    small.save(NEW)
    small.bytes[small.slot_bytes + 50] ^= 1
    assert small.begin(10) == OK
    assert small.current() == OLD
    small.mount()
    assert small.current() == OLD


def test_two_rotten_snapshots_are_none(small: Flash) -> None:
    small.save(OLD)
    small.save(NEW)
    small.bytes[50] ^= 1
    small.bytes[small.slot_bytes + 50] ^= 1
    assert small.mount() == OK
    assert small.size == 0
    assert small.save(NEW) == OK
    assert small.current() == NEW


@pytest.mark.parametrize("first", [0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0])
def test_the_sequence_number_wraps(small: Flash, first: int) -> None:
    small.save(OLD)
    small.put_record(small.commit_at(0), b"EISC", first, len(OLD), zlib.crc32(OLD))
    assert small.mount() == OK
    for turn in range(3):
        data = bytes([turn]) * 20
        assert small.save(data) == OK
        assert small.mount() == OK
        assert small.current() == data
    assert small.record(small.commit_at(1)) == (b"EISC", ((first + 3) % 2**32, 20, zlib.crc32(data)))


def test_bytes_on_flash_are_those_of_the_document(flash: Flash) -> None:
    flash.save(OLD)
    flash.save(NEW)
    flash.begin(5)
    slot = flash.slot_bytes
    space = flash.record_bytes
    assert flash.record(0) == (b"EISH", (slot, 2, 1))
    assert flash.record(slot) == (b"EISH", (slot, 1, 1))
    assert bytes(flash.bytes[slot + space : slot + space + len(NEW)]) == NEW
    assert flash.record(flash.commit_at(1)) == (b"EISC", (2, len(NEW), zlib.crc32(NEW)))
    assert flash.record(flash.commit_at(1) + space) == (b"EISW", (2, 0, 0))
    unused = {*flash.bytes[space : flash.slot_bytes], *flash.bytes[2 * slot - 7 * space : 2 * slot]}
    assert unused == {flash.erase_value}


def test_every_aborted_transfer_is_counted(small: Flash) -> None:
    small.save(OLD)
    small.save(NEW)
    counted = []
    for _ in range(400):
        small.begin(10)
        small.mount()
        counted.append(small.erases[0])
    assert counted == [turn + 2 for turn in range(400)]
    assert small.current() == NEW


def test_a_slot_without_header_keeps_the_announced_count(small: Flash) -> None:
    small.save(OLD)
    small.save(NEW)
    for _ in range(8):
        small.begin(10)
        small.bytes[8] ^= 1
        small.mount()
    assert small.erases == (1 + 1 + 1 + 1 + 1 + 4 + 16 + 64 + 256, 1)


def test_a_store_of_another_geometry_is_empty() -> None:
    flash = Flash(4, 0xFF, 512, 2)
    flash.save(OLD)
    other = Flash(4, 0xFF, 1024, 1)
    other.bytes[:] = flash.bytes[:]
    assert other.mount() == OK
    assert other.current() == OLD, "same slots, other sectors"
    smaller = Flash(4, 0xFF, 512, 1)
    smaller.bytes[:] = flash.bytes[:1024]
    assert smaller.mount() == OK
    assert smaller.size == 0


@pytest.mark.parametrize(
    "geometry",
    [(0, 255, 512, 1), (3, 255, 512, 1), (128, 255, 512, 1), (4, 254, 512, 1), (4, 255, 0, 1), (4, 255, 520, 1),
     (4, 255, 512, 0), (4, 255, 320, 1), (64, 255, 640, 1), (4, 255, 4096, 1 << 19), (4, 255, 64, 0xFFFFFFFF)],
)  # fmt: skip
def test_a_config_out_of_range_is_refused(geometry: tuple[int, int, int, int]) -> None:
    flash = Flash()
    program_bytes, erase_value, sector_bytes, sectors_per_slot = geometry
    flash.lib.flash_sim_init(flash.sim, program_bytes, erase_value, sector_bytes, sectors_per_slot)
    assert flash.capacity == 0
    assert flash.mount() == ARGUMENT


def test_null_is_refused(small: Flash) -> None:
    assert small.lib.eimp_store_mount(None, small.config) == ARGUMENT
    assert small.lib.eimp_store_mount(small.store, None) == ARGUMENT
    assert small.lib.eimp_store_capacity(None) == 0
