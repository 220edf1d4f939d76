"""The snapshot file: named sections of bytes that arrive whole or not at all (docs/FORMAT.md).

This is the container only: what the sections mean is the head's business. Parsing is bounded: every limit is
checked before anything of that size is allocated.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping

from edge_imprint.atomic import open_regular, replace_file, storage_errors
from edge_imprint.errors import CapacityError, SnapshotCorruptError, SnapshotVersionError, ValueRangeError

__all__ = ["MAJOR", "MAX_BYTES", "MAX_SECTIONS", "MINOR", "decode", "encode", "read", "write"]

MAJOR = 1
"""Format version written here; a reader refuses a larger major and accepts any minor."""
MINOR = 0
MAX_BYTES = 64 * 1024 * 1024
"""Largest snapshot, header included: nothing larger is written, and nothing larger is read into memory."""
MAX_SECTIONS = 16

_MAGIC = b"EIMPSNAP"
_HEADER = struct.Struct("<8sHHII")  # magic, major, minor, section count, total length
_CRC = struct.Struct("<I")  # of the header and the table
_ENTRY = struct.Struct("<8sII")  # name, length, CRC-32 of the payload
_TABLE_AT = _HEADER.size + _CRC.size
_WAY_OUT = "Restore a copy or teach again"


def encode(sections: Mapping[str, bytes]) -> bytes:
    """Pack named sections into one snapshot; the same sections in the same order give the same bytes.

    Args:
        sections: name (1 to 8 printable ASCII characters, no space) to payload; at most `MAX_SECTIONS`.

    Returns:
        The whole file, at most `MAX_BYTES`.

    Raises:
        ValueRangeError: a name breaks the rule, or there are too many sections.
        CapacityError: the snapshot would be larger than `MAX_BYTES`.

    Example:
        >>> encode({"LABELS": b"mug"})[:8]
        b'EIMPSNAP'
    """
    count = len(sections)
    if count > MAX_SECTIONS:
        raise ValueRangeError(f"a snapshot has at most {MAX_SECTIONS} sections; got {count}. Join some")
    total = _TABLE_AT + _ENTRY.size * count + sum(map(len, sections.values()))
    if total > MAX_BYTES:
        raise CapacityError(
            f"a snapshot is at most {MAX_BYTES} bytes; this one needs {total}. Use a smaller budget or forget classes"
        )
    table = b"".join(_ENTRY.pack(_packed(name), len(data), zlib.crc32(data)) for name, data in sections.items())
    header = _HEADER.pack(_MAGIC, MAJOR, MINOR, count, total)
    return b"".join([header, _CRC.pack(zlib.crc32(table, zlib.crc32(header))), table, *sections.values()])


def decode(blob: bytes) -> dict[str, bytes]:
    """Unpack a snapshot and verify every byte of it.

    A newer minor version is read like this one: sections that nobody knows are in the result, and ignored
    by whoever asks for others by name.

    Args:
        blob: the whole file. Not modified.

    Returns:
        Name to payload, in the order of the file.

    Raises:
        SnapshotCorruptError: not a snapshot, truncated, damaged, with trailing bytes, or over a limit.
        SnapshotVersionError: intact, and of a newer major version than is read here.

    Example:
        >>> decode(encode({"LABELS": b"mug"}))
        {'LABELS': b'mug'}
    """
    view = memoryview(blob)
    size = len(view)
    if size > MAX_BYTES:
        raise SnapshotCorruptError(f"a snapshot is at most {MAX_BYTES} bytes; got {size}. This is another file")
    start = bytes(view[: len(_MAGIC)])
    if not _MAGIC.startswith(start):
        raise SnapshotCorruptError(f"a snapshot starts with {_MAGIC!r}; got {start!r}. This is another file")
    if size < _TABLE_AT:
        raise _corrupt(f"the file is truncated: {size} bytes of at least {_TABLE_AT}")
    _, major, minor, count, total = _HEADER.unpack_from(view)
    table_end = _TABLE_AT + _ENTRY.size * count
    if table_end > size:
        raise _corrupt(f"the file is truncated or damaged: {size} bytes of {total} with {count} sections")
    (crc,) = _CRC.unpack_from(view, _HEADER.size)
    if zlib.crc32(view[_TABLE_AT:table_end], zlib.crc32(view[: _HEADER.size])) != crc:
        raise _corrupt("the header or the section table is damaged: its CRC-32 does not match")
    # Only an intact header may speak of versions: a flipped bit must not send anybody looking for an update.
    if major > MAJOR:
        raise SnapshotVersionError(
            f"snapshots are read up to format {MAJOR}.x; this one is {major}.{minor}. Update edge-imprint"
        )
    if major < MAJOR:
        raise _corrupt(f"formats start at {MAJOR}.0; this one says {major}.{minor}")
    if count > MAX_SECTIONS:
        raise _corrupt(f"a snapshot has at most {MAX_SECTIONS} sections; this one says {count}")
    if size < total:
        raise _corrupt(f"the file is truncated: {size} bytes of {total}")
    if size > total:
        raise _corrupt(f"{size - total} bytes follow the end of the snapshot at {total}")
    return dict(_verified(view, count, table_end))


def write(path: str | os.PathLike[str], sections: Mapping[str, bytes]) -> None:
    """Save a snapshot: at every moment `path` holds the old one or the new one, on return the new one.

    Args:
        path: the file to create or replace, as in `edge_imprint.atomic.replace_file`. Its folder must exist.
        sections: as in `encode`.

    Raises:
        ValueRangeError: as in `encode`; nothing was written.
        CapacityError: as in `encode`; nothing was written.
        StorageError: missing folder, no permission, disk full, not a regular file. The old file is unchanged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(f"{folder}/kitchen.eimp", {"LABELS": b"mug"})
        ...     read(f"{folder}/kitchen.eimp")
        {'LABELS': b'mug'}
    """
    replace_file(path, encode(sections))


def read(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Read and verify a snapshot file; a file over `MAX_BYTES` is refused before it is read.

    Args:
        path: the file. Not modified.

    Returns:
        Name to payload, as `decode`.

    Raises:
        StorageError: missing, unreadable, or not a regular file.
        SnapshotCorruptError: as in `decode`; the message starts with the path.
        SnapshotVersionError: as in `decode`; the message starts with the path.

    Example:
        >>> read("kitchen.eimp")
        Traceback (most recent call last):
        ...
        edge_imprint.errors.StorageError: cannot read kitchen.eimp: No such file or directory. Check the path\
; a missing folder is made with mkdir -p
    """
    try:
        with storage_errors("read", path), open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise SnapshotCorruptError(
                    f"a snapshot is at most {MAX_BYTES} bytes; the file has {size}. This is another file"
                )
            blob = file.read(size + 1)
        return decode(blob)
    except (SnapshotCorruptError, SnapshotVersionError) as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from None


def _corrupt(what: str) -> SnapshotCorruptError:
    return SnapshotCorruptError(f"{what}. {_WAY_OUT}")


def _packed(name: str) -> bytes:
    if not (1 <= len(name) <= 8 and all("!" <= character <= "~" for character in name)):
        raise ValueRangeError(f"a section name is 1 to 8 printable ASCII characters; got {name!r}. Rename it")
    return name.encode("ascii")


def _verified(view: memoryview, count: int, position: int) -> Iterator[tuple[str, bytes]]:
    """Yield the sections; `view` is exactly as long as its header says and its table is intact."""
    seen = set()
    for index in range(count):
        packed, length, crc = _ENTRY.unpack_from(view, _TABLE_AT + _ENTRY.size * index)
        raw = packed.rstrip(b"\0")
        if not raw or not all(0x21 <= byte <= 0x7E for byte in raw):
            raise _corrupt(f"section {index} has the impossible name {packed!r}")
        name = raw.decode("ascii")
        if name in seen:
            raise _corrupt(f"section {name} occurs twice")
        seen.add(name)
        if length > len(view) - position:
            raise _corrupt(f"section {name} says {length} bytes; {len(view) - position} are left")
        payload = view[position : position + length]
        if zlib.crc32(payload) != crc:
            raise _corrupt(f"section {name} is damaged: its CRC-32 does not match")
        position += length
        yield name, bytes(payload)
    if position != len(view):
        raise _corrupt(f"the sections end at byte {position} of {len(view)}")
