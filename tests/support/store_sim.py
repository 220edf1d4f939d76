"""The flash store of the C library on the simulated flash, driven by ctypes."""

from __future__ import annotations

import ctypes
import functools
import struct
import zlib
from pathlib import Path

from cbuild import ROOT, SRC, shared_library

C_TESTS = ROOT / "tests" / "firmware" / "c"
STORE_SOURCES: tuple[Path, ...] = tuple(
    SRC / name for name in ("eimp_store.c", "eimp_store_flash.c", "eimp_store_scan.c", "eimp_crc.c")
)
STORE_BYTES = 128  # what eimp_store.h promises as the most


@functools.cache
def library() -> ctypes.CDLL:
    lib = shared_library("store", *STORE_SOURCES, C_TESTS / "flash_sim.c", flags=(f"-I{C_TESTS}",))
    lib.flash_sim_config.restype = ctypes.c_void_p
    lib.flash_sim_bytes.restype = ctypes.c_void_p
    lib.flash_sim_violation.restype = ctypes.c_char_p
    for name in ("capacity", "current_size", "received", "pending_size", "erases"):
        getattr(lib, f"eimp_store_{name}").restype = ctypes.c_uint32
    lib.eimp_crc32.restype = ctypes.c_uint32
    lib.eimp_crc32.argtypes = [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    return lib


class Flash:
    """A simulated flash with one mounted store. `status` is the code of the last mount."""

    def __init__(
        self, program_bytes: int = 4, erase_value: int = 0xFF, sector_bytes: int = 512, sectors_per_slot: int = 1
    ) -> None:
        self.lib = library()
        self.sim = ctypes.create_string_buffer(self.lib.flash_sim_size())
        self.lib.flash_sim_init(self.sim, program_bytes, erase_value, sector_bytes, sectors_per_slot)
        self.config = ctypes.c_void_p(self.lib.flash_sim_config(self.sim))
        self.slot_bytes = sector_bytes * sectors_per_slot
        self.bytes = (ctypes.c_uint8 * (2 * self.slot_bytes)).from_address(self.lib.flash_sim_bytes(self.sim))
        self.record_bytes = 64 if program_bytes == 64 else 32
        self.erase_value = erase_value
        self.store = (ctypes.c_uint64 * (STORE_BYTES // 8))()
        self.status = self.mount()

    def mount(self) -> int:
        """Power on again: nothing in RAM survives."""
        ctypes.memset(self.store, 0xA5, STORE_BYTES)
        self.status = self.lib.eimp_store_mount(self.store, self.config)
        return self.status

    def fail(self, read: int = 0, program: int = 0, erase: int = 0) -> None:
        self.lib.flash_sim_fail(self.sim, read, program, erase)

    @property
    def operations(self) -> int:
        return int(self.lib.flash_sim_operations(self.sim))

    @property
    def violation(self) -> bytes | None:
        found: bytes | None = self.lib.flash_sim_violation(self.sim)
        return found

    @property
    def capacity(self) -> int:
        return int(self.lib.eimp_store_capacity(self.config))

    @property
    def size(self) -> int:
        return int(self.lib.eimp_store_current_size(self.store))

    @property
    def received(self) -> int:
        return int(self.lib.eimp_store_received(self.store))

    @property
    def pending_size(self) -> int:
        return int(self.lib.eimp_store_pending_size(self.store))

    @property
    def erases(self) -> tuple[int, int]:
        first, second = (self.lib.eimp_store_erases(self.store, slot) for slot in (0, 1))
        return first, second

    def begin(self, size: int) -> int:
        return int(self.lib.eimp_store_begin(self.store, size))

    def append(self, data: bytes) -> int:
        return int(self.lib.eimp_store_append(self.store, data, len(data)))

    def commit(self, crc32: int) -> int:
        return int(self.lib.eimp_store_commit(self.store, ctypes.c_uint32(crc32)))

    def read(self, offset: int, count: int, *, pending: bool = False) -> tuple[int, bytes]:
        """Status and bytes; what the store did not write stays 0x5A."""
        buffer = ctypes.create_string_buffer(b"\x5a" * count, count)
        function = self.lib.eimp_store_pending_read if pending else self.lib.eimp_store_read
        status = function(self.store, ctypes.c_uint32(offset), buffer, ctypes.c_uint32(count))
        return int(status), buffer.raw

    def save(self, data: bytes, piece: int = 50) -> int:
        """Begin, append in pieces, commit: the first code that is not 0, or 0."""
        status = self.begin(len(data))
        for start in range(0, len(data), piece):
            status = status or self.append(data[start : start + piece])
        return status or self.commit(zlib.crc32(data))

    def current(self) -> bytes:
        """The current snapshot, b"" where there is none."""
        if self.size == 0:
            return b""
        status, data = self.read(0, self.size)
        assert status == 0
        return data

    def put_record(self, offset: int, magic: bytes, *fields: int) -> None:
        """Write a record as docs/STORE.md describes it, past the store."""
        body = magic + struct.pack("<3I", *fields)
        record = body + struct.pack("<I", zlib.crc32(body))
        place = record.ljust(self.record_bytes, b"\xa5")
        self.bytes[offset : offset + self.record_bytes] = list(place)

    def record(self, offset: int) -> tuple[bytes, tuple[int, ...]] | None:
        """Magic and fields of a whole record, read by the rules of docs/STORE.md; None where there is none."""
        place = bytes(self.bytes[offset : offset + self.record_bytes])
        *fields, crc = struct.unpack_from("<4I", place, 4)
        if zlib.crc32(place[:16]) != crc or set(place[20:]) != {0xA5}:
            return None
        return place[:4], tuple(fields)

    def commit_at(self, slot: int) -> int:
        return (slot + 1) * self.slot_bytes - 9 * self.record_bytes
