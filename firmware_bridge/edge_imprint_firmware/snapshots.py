"""Snapshots to and from a device, in pieces that go on where a line failed."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from edge_imprint import snapshot
from edge_imprint.errors import SnapshotCorruptError
from edge_imprint.head import ImprintHead, codec
from edge_imprint_firmware import protocol
from edge_imprint_firmware.errors import DeviceError
from edge_imprint_firmware.link import Link
from edge_imprint_firmware.options import check_method
from edge_imprint_firmware.protocol import Command

__all__ = ["Progress", "blob_of", "device_method", "open_snapshot", "read_snapshot", "write_snapshot"]

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes of the whole."""


def blob_of(head: ImprintHead) -> bytes:
    """The bytes that `head.save` writes."""
    return snapshot.encode(codec.sections(head, head.backbone))


def open_snapshot(link: Link) -> tuple[int, int]:
    """Bytes and CRC-32 of the snapshot that the device's head would write now."""
    payload = link.request(Command.SNAPSHOT_OPEN, reply_bytes=protocol.SNAPSHOT_OPEN_REPLY.size)
    size, crc = protocol.SNAPSHOT_OPEN_REPLY.unpack_from(payload)
    return size, crc


def device_method(link: Link) -> str:
    """What answers on the device: "proxies" or "ridge"."""
    return "ridge" if protocol.Capability.RIDGE & link.device.capabilities else "proxies"


def read_snapshot(link: Link, progress: Progress | None = None) -> bytes:
    """The snapshot of the device's head, its CRC-32 verified.

    Raises:
        LinkError: the port broke or the device was silent.
        SnapshotCorruptError: the bytes do not add up to what the device said.
    """
    size, crc = open_snapshot(link)
    if size > snapshot.MAX_BYTES:
        raise SnapshotCorruptError(f"a snapshot is at most {snapshot.MAX_BYTES} bytes; {link.port} says {size}")
    blob = bytearray()
    while len(blob) < size:
        left, action = size - len(blob), "read its snapshot"
        asked, piece = link.piece(
            Command.SNAPSHOT_READ, len(blob), left, protocol.SNAPSHOT_READ_REQUEST.pack, overhead=0, action=action
        )
        if len(piece) != asked:
            raise DeviceError(f"{link.port} was asked for {asked} bytes of a snapshot and sent {len(piece)}")
        blob += piece
        if progress:
            progress(len(blob), size)
    if zlib.crc32(blob) != crc:
        raise SnapshotCorruptError(f"the snapshot from {link.port} does not have its CRC-32. Read it again")
    return bytes(blob)


def write_snapshot(link: Link, head: ImprintHead, blob: bytes, progress: Progress | None = None) -> None:
    """Write a snapshot into the device's store and load it into its head.

    Args:
        link: the session.
        head: what `blob` holds, for the checks that come before anything is erased.
        blob: the snapshot. Where the device has already received a part of the same, only the rest is sent.
        progress: told after each piece.

    Raises:
        UsageError: the head's method is not the device's; nothing was sent.
        ShapeError, CapacityError, BudgetError: the device's arena or store cannot hold it; nothing was erased.
        StorageError: the device's flash failed; the stored snapshot is the old one.
        LinkError: the port broke or the device was silent. The same call goes on where this one ended.
    """
    check_method(head, device_method(link))
    backbone_bytes = len((head.backbone or "").encode())
    facts = (head.dim, head.budget, backbone_bytes, head.max_proxies, int(bool(head._arena.layout.undo)))
    what = f"take a snapshot of {len(blob)} bytes (dim={head.dim}, budget={head.budget})"
    asked = protocol.SNAPSHOT_BEGIN_REQUEST.pack(len(blob), zlib.crc32(blob), *facts)
    payload = link.request(Command.SNAPSHOT_BEGIN, asked, reply_bytes=protocol.SNAPSHOT_BEGIN_REPLY.size, action=what)
    (received,) = protocol.SNAPSHOT_BEGIN_REPLY.unpack_from(payload)

    def request(offset: int, count: int) -> bytes:
        return protocol.SNAPSHOT_WRITE_REQUEST.pack(offset) + blob[offset : offset + count]

    fields = protocol.SNAPSHOT_WRITE_REPLY
    while received < len(blob):
        _, payload = link.piece(
            Command.SNAPSHOT_WRITE,
            received,
            len(blob) - received,
            request,
            overhead=protocol.SNAPSHOT_WRITE_REQUEST.size,
            reply_bytes=fields.size,
            action=what,
        )
        before, (received,) = received, fields.unpack_from(payload)
        if not before < received <= len(blob):
            raise DeviceError(f"{link.port} says it has {received} bytes after {before}. Load the snapshot again")
        if progress:
            progress(received, len(blob))
    link.request(Command.SNAPSHOT_COMMIT, action=what)
